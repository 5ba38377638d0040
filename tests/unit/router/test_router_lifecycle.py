"""Bindings whose time is up, and hosts that leave without a word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address
from math import inf

from moorage.router.lifecycle import Departures, Expiry
from moorage.service import ServiceType
from moorage.store.model import Binding, BindingState
from moorage.store.protocol import Change, Delete
from tests.domain import SOURCE, START, Client, router_config, two_routers

CONFIG = router_config()
OTHER = IPv6Address("fe80::dead")


async def bindings() -> list[Binding]:
    """Return a binding of every type, anchored and served by ``ar1``."""
    domain = two_routers()
    client = Client(domain.clock)
    for kind in ServiceType:
        await client.acquire(domain.sites[0], kind, kind.value)
    return sorted(await domain.bindings(), key=lambda binding: binding.type)


def after(changes: Iterable[Change]) -> dict[ServiceType, Binding]:
    """Return the bindings as they are after changes that delete none."""
    found: dict[ServiceType, Binding] = {}
    for change in changes:
        assert not isinstance(change, Delete)
        found[change.binding.type] = change.binding
    return found


async def test_an_anchor_releases_and_then_forgets() -> None:
    expiry = Expiry(CONFIG)
    [fixed, *_] = await bindings()
    assert expiry.next_timer == inf
    expiry.note(fixed)
    assert expiry.next_timer == fixed.valid_until
    assert expiry.due([fixed], fixed.valid_until - 1) == []
    assert expiry.next_timer == fixed.valid_until
    released = after(expiry.due([fixed], fixed.valid_until))[ServiceType.FIXED]
    assert released.state is BindingState.RELEASED
    assert released.valid_until == fixed.valid_until + 86_400
    assert expiry.due([released], released.valid_until) == [Delete(fixed.prefix, released.seq)]
    assert expiry.next_timer == inf


async def test_bindings_of_other_anchors_are_theirs_to_end() -> None:
    expiry = Expiry(router_config(2))
    [fixed, *_] = await bindings()
    expiry.note(fixed)
    assert expiry.due([fixed], fixed.valid_until + 1) == []
    assert expiry.next_timer == inf


async def test_the_anchor_keeps_the_prefixes_of_a_host_that_left() -> None:
    before = await bindings()
    gone = after(Departures(CONFIG).left(before, "acc0", SOURCE, START))
    assert {kind: binding.state for kind, binding in gone.items()} == {
        ServiceType.FIXED: BindingState.DETACHED,
        ServiceType.SESSION_LASTING: BindingState.DETACHED,
        ServiceType.NON_PERSISTENT: BindingState.RELEASED,
        ServiceType.GRACEFUL_REPLACEMENT: BindingState.DETACHED,
    }
    assert gone[ServiceType.FIXED].valid_until == START + 60 * 86_400
    assert gone[ServiceType.SESSION_LASTING].valid_until == START + 7200
    assert gone[ServiceType.GRACEFUL_REPLACEMENT].valid_until == START + 60
    assert all(binding.serving is None for binding in gone.values())


async def test_a_host_that_has_just_asked_is_not_believed_to_be_gone() -> None:
    """A probe that began before the host left and came back fails after it has rebound."""
    departures = Departures(CONFIG)
    assert departures.doubt("acc0", SOURCE, START) == 0
    for binding in await bindings():
        departures.heard(binding, START)
    assert departures.doubt("acc0", SOURCE, START + 1) == 3
    assert departures.doubt("acc1", SOURCE, START + 1) == 0
    assert departures.doubt("acc0", SOURCE, START + 5) == 0


async def test_a_link_without_carrier_has_no_hosts() -> None:
    before = await bindings()
    assert len(Departures(CONFIG).left(before, "acc0", None, START)) == len(before)


async def test_others_are_not_concerned() -> None:
    before = await bindings()
    departures = Departures(CONFIG)
    assert departures.left(before, "acc0", OTHER, START) == []
    assert departures.left(before, "acc1", SOURCE, START) == []
    assert Departures(router_config(2)).left(before, "acc0", SOURCE, START) == []
    assert departures.returned(lambda: before, "acc0", SOURCE) == []


async def test_a_host_that_was_only_silent_has_its_prefixes_back() -> None:
    before = await bindings()
    departures = Departures(CONFIG)
    gone = after(departures.left(before, "acc0", SOURCE, START))
    back = after(departures.returned(gone.values, "acc0", SOURCE))
    assert set(back) == set(ServiceType) - {ServiceType.NON_PERSISTENT}
    for binding in before:
        if binding.type in back:
            assert back[binding.type] == replace(binding, seq=binding.seq + 2)
    assert departures.returned(gone.values, "acc0", SOURCE) == []


async def test_a_host_that_moved_meanwhile_stays_there() -> None:
    before = await bindings()
    departures = Departures(CONFIG)
    gone = after(departures.left(before, "acc0", SOURCE, START))
    moved = [
        replace(binding, serving="ar2", seq=binding.seq + 1, state=BindingState.ACTIVE)
        for binding in gone.values()
    ]
    assert departures.returned(lambda: moved, "acc0", SOURCE) == []
