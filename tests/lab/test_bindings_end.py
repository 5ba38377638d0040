"""What is over leaves the store, so that a prefix can be given to somebody else."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from moorage.lab.lab import Lab
from moorage.service import ServiceType
from moorage.store.model import BindingState
from moorage.store.protocol import BindingChanged, BindingGone, Create, Event, RouterChanged
from moorage.store.sqlite import SqliteStore
from tests.bindings import OVER

pytestmark = pytest.mark.netns

EXPIRED = replace(OVER, client=b"\x00\x04client", type=ServiceType.SESSION_LASTING)


async def test_an_anchor_releases_what_is_over_and_forgets_it_after_the_quarantine(
    mark: str, tmp_path: Path
) -> None:
    quarantined = replace(
        EXPIRED,
        prefix=IPv6Network("2001:db8:a100:1::/64"),
        state=BindingState.RELEASED,
        valid_until=time.time() + 1.0,
    )
    lasting = replace(
        EXPIRED,
        prefix=IPv6Network("2001:db8:a100:2::/64"),
        iaid=2,
        valid_until=time.time() + 3600.0,
    )
    foreign = replace(EXPIRED, prefix=IPv6Network("2001:db8:a200::/64"), iaid=3, anchor="ar2")
    store = SqliteStore.open(str(tmp_path / "bindings.db"))
    bindings = [EXPIRED, quarantined, lasting, foreign]
    start = await store.commit([Create(binding) for binding in bindings])
    events: list[Event] = []
    with Lab.start("two-routers", state=tmp_path) as lab:
        lab.daemon("ar1").start(lifetimes={"session-lasting": {"quarantine": 1}})
        async with asyncio.timeout(30), aclosing(store.watch(start)) as watch:
            while sum(isinstance(event, BindingGone) for event in events) < 2:
                event = await anext(watch)
                if not isinstance(event, RouterChanged):
                    events.append(event)
    changed = [event.binding for event in events if isinstance(event, BindingChanged)]
    assert [binding.prefix for binding in changed] == [EXPIRED.prefix]
    assert changed[0].state is BindingState.RELEASED
    gone = {event.prefix for event in events if isinstance(event, BindingGone)}
    assert gone == {EXPIRED.prefix, quarantined.prefix}
    assert (await store.snapshot()).bindings == (lasting, foreign)
    await store.close()
