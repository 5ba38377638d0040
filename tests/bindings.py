"""Bindings that tests start from; `dataclasses.replace` makes others of them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network
from typing import Final

from moorage.service import ServiceType
from moorage.store.model import Binding, BindingState
from tests.domain import SOURCE, START

HERE: Final = Binding(
    prefix=IPv6Network("2001:db8:a100::/64"),
    client=b"client",
    iaid=1,
    type=ServiceType.FIXED,
    anchor="ar1",
    serving="ar1",
    link="acc0",
    next_hop=SOURCE,
    seq=1,
    key=None,
    last_time=0,
    state=BindingState.ACTIVE,
    preferred_until=START + 10,
    valid_until=START + 20,
)
"""The client is on a link of the router that gave it the prefix."""

NOWHERE: Final = replace(HERE, serving=None, link=None, next_hop=None, state=BindingState.DETACHED)
"""It is on no link."""

OVER: Final = replace(NOWHERE, preferred_until=0.0, valid_until=0.0)
"""That was long ago."""
