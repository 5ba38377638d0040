"""Routers while nobody answers for their store, and afterwards."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final

import pytest

from moorage.lab import topology
from moorage.lab.errors import LabError
from moorage.lab.lab import Lab
from moorage.lab.ping import ping
from moorage.lab.programs import typed_address
from moorage.service import ServiceType

pytestmark = pytest.mark.netns

MEMBERS: Final = ("st1", "st2", "st3")
_RECOVERY_SECONDS: Final = 60.0


def reached(lab: Lab, address: str) -> bool:
    """Whether the correspondent reaches an address of the host."""
    return ping(lab.node("cn"), IPv6Address(address), within=20.0) is not None


def until_given(lab: Lab) -> str:
    """A Graceful-replacement address, as soon as there is one."""
    give_up = time.monotonic() + _RECOVERY_SECONDS
    while True:
        try:
            return typed_address(lab.node("mn"), ServiceType.GRACEFUL_REPLACEMENT)
        except LabError:
            if time.monotonic() > give_up:
                raise


def test_without_a_store_routers_forward_and_put_off_and_then_recover(mark: str) -> None:
    with Lab.start(topology.load(Path("examples/cluster.toml"))) as lab:
        lab.start_daemons()
        fixed = typed_address(lab.node("mn"), ServiceType.FIXED)
        lab.move("mn", "ar2")
        assert reached(lab, fixed)
        for member in MEMBERS:
            lab.daemon(member).kill()
        with pytest.raises(LabError, match="try again later"):
            typed_address(lab.node("mn"), ServiceType.GRACEFUL_REPLACEMENT)
        assert reached(lab, fixed)
        with ThreadPoolExecutor() as pool:  # none is ready before most are
            list(pool.map(lambda member: lab.daemon(member).start(), MEMBERS))
        assert reached(lab, until_given(lab))
        lab.move("mn", "ar3")
        assert reached(lab, fixed)
