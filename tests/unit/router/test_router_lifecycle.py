"""Bindings whose time is up, and hosts that leave without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from math import inf

from moorage.router.anchors import Anchors
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


PLACE = ("acc0", SOURCE)
MAC = bytes.fromhex("020000000001")
OTHER_MAC = bytes.fromhex("020000000002")


def lookup(*found: Binding) -> Callable[[IPv6Network], Binding | None]:
    """Return what finds one of these bindings by its prefix."""
    return {binding.prefix: binding for binding in found}.get


async def test_an_anchor_releases_and_then_forgets() -> None:
    expiry = Expiry(CONFIG, Anchors().holder)
    [fixed, *_] = await bindings()
    assert expiry.next_timer == inf
    expiry.note(fixed, None)
    assert expiry.next_timer == fixed.valid_until
    assert expiry.due(lookup(fixed), fixed.valid_until - 1) == []
    assert expiry.next_timer == fixed.valid_until
    released = after(expiry.due(lookup(fixed), fixed.valid_until))[ServiceType.FIXED]
    assert released.state is BindingState.RELEASED
    assert released.valid_until == fixed.valid_until + 86_400
    expiry.note(released, fixed)
    deletion = [Delete(fixed.prefix, released.seq)]
    assert expiry.due(lookup(released), released.valid_until - 1) == []
    assert expiry.due(lookup(released), released.valid_until) == deletion
    assert expiry.due(lookup(), inf) == []
    assert expiry.next_timer == inf


async def test_what_the_store_did_not_take_is_tried_again() -> None:
    expiry = Expiry(CONFIG, Anchors().holder)
    [fixed, *_] = await bindings()
    expiry.start([fixed])
    first = expiry.due(lookup(fixed), fixed.valid_until)
    assert len(first) == 1
    assert fixed.valid_until < expiry.next_timer < fixed.valid_until + 60
    assert len(expiry.due(lookup(fixed), expiry.next_timer)) == 1


async def test_a_binding_that_is_renewed_lives_on() -> None:
    expiry = Expiry(CONFIG, Anchors().holder)
    [fixed, *_] = await bindings()
    renewed = replace(fixed, valid_until=fixed.valid_until + 100)
    expiry.note(fixed, None)
    expiry.note(renewed, fixed)
    assert expiry.due(lookup(renewed), fixed.valid_until) == []
    assert expiry.next_timer == renewed.valid_until
    shortened = replace(fixed, valid_until=fixed.valid_until - 100)
    expiry.note(shortened, renewed)
    assert len(expiry.due(lookup(shortened), shortened.valid_until)) == 1


async def test_bindings_of_other_anchors_are_theirs_to_end() -> None:
    expiry = Expiry(router_config(2), Anchors().holder)
    [fixed, *_] = await bindings()
    expiry.note(fixed, None)
    expiry.start([fixed])
    assert expiry.due(lookup(fixed), fixed.valid_until + 1) == []
    assert expiry.next_timer == inf


async def test_the_anchor_keeps_the_prefixes_of_a_host_that_left() -> None:
    before = await bindings()
    gone = after(Departures(CONFIG).left(before, START))
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


def test_a_host_is_asked_again_before_it_counts_as_gone() -> None:
    """A probe that began before the host left and came back fails after it has rebound."""
    departures = Departures(CONFIG)
    assert not departures.missed(PLACE)
    assert not departures.missed(("acc1", SOURCE))
    assert departures.missed(PLACE)
    assert not departures.missed(PLACE)
    assert departures.returned(lookup(), PLACE, MAC) == []
    assert not departures.missed(PLACE)


async def test_what_others_serve_is_not_concerned() -> None:
    before = await bindings()
    departures = Departures(router_config(2))
    assert departures.left(before, START) == []
    assert departures.returned(lookup(*before), PLACE, MAC) == []
    assert not departures.is_awaited(PLACE, START)


async def test_a_host_that_was_only_silent_has_its_prefixes_back() -> None:
    before = await bindings()
    departures = Departures(CONFIG)
    gone = after(departures.left(before, START))
    assert departures.is_awaited(PLACE, START + 30)
    assert not departures.is_awaited(PLACE, START + 90)
    assert not departures.is_awaited(("acc0", OTHER), START)
    assert departures.returned(lookup(*gone.values()), ("acc0", OTHER), MAC) == []
    back = after(departures.returned(lookup(*gone.values()), PLACE, MAC))
    assert set(back) == set(ServiceType) - {ServiceType.NON_PERSISTENT}
    for binding in before:
        if binding.type in back:
            assert back[binding.type] == replace(binding, seq=binding.seq + 2)
    assert departures.returned(lookup(*gone.values()), PLACE, MAC) == []


async def test_a_host_is_back_only_where_its_signature_says_it_is() -> None:
    before = [replace(binding, mac=MAC) for binding in await bindings()]
    departures = Departures(CONFIG)
    gone = after(departures.left(before, START))
    assert departures.returned(lookup(*gone.values()), PLACE, OTHER_MAC) == []
    assert departures.is_awaited(PLACE, START)
    back = after(departures.returned(lookup(*gone.values()), PLACE, MAC))
    assert {binding.mac for binding in back.values()} == {MAC}


async def test_a_host_that_moved_meanwhile_stays_there() -> None:
    before = await bindings()
    departures = Departures(CONFIG)
    gone = after(departures.left(before, START))
    moved = [
        replace(binding, serving="ar2", seq=binding.seq + 1, state=BindingState.ACTIVE)
        for binding in gone.values()
    ]
    assert departures.returned(lookup(*moved), PLACE, MAC) == []
