"""What a router knows of the store, told twice, early, or anew."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network

from moorage.router.anchors import LINGER
from moorage.router.mirror import Mirror
from moorage.store.model import BindingState
from moorage.store.protocol import (
    AnchorChanged,
    BindingChanged,
    BindingGone,
    RouterChanged,
    RouterGone,
    Snapshot,
)
from tests.bindings import HERE, NOWHERE
from tests.domain import START, router_config

PREFIX = HERE.prefix
THERE = replace(HERE, serving="ar2", seq=2)
LOST = replace(NOWHERE, seq=2)
HOLD = 10.0


def test_only_what_is_newer_counts() -> None:
    mirror = Mirror(HOLD)
    assert mirror.learn(BindingChanged(5, HERE), START)
    assert not mirror.learn(BindingChanged(5, HERE), START)
    assert not mirror.learn(BindingChanged(4, THERE), START)
    assert not mirror.learn(BindingGone(5, PREFIX), START)
    assert PREFIX in mirror
    assert mirror.learn(BindingGone(6, PREFIX), START)
    assert not mirror.learn(BindingGone(6, PREFIX), START)
    assert PREFIX not in mirror


def test_a_prefix_given_to_somebody_else_begins_anew() -> None:
    mirror = Mirror(HOLD)
    mirror.learn(BindingChanged(5, replace(HERE, seq=9)), START)
    other = replace(THERE, client=b"other", seq=1)
    # Our own commit is known before the watch has told the end of the old binding.
    assert mirror.learn(BindingChanged(7, other), START)
    assert not mirror.learn(BindingGone(6, PREFIX), START)
    known = mirror.get(PREFIX)
    assert known is not None
    assert known.binding == other
    assert known.former is None


def test_the_former_place_is_remembered_for_a_while() -> None:
    mirror = Mirror(HOLD)
    mirror.learn(BindingChanged(1, HERE), START)
    assert mirror.next_timer() is None
    mirror.learn(BindingChanged(2, THERE), START)
    renewed = replace(THERE, seq=3)
    mirror.learn(BindingChanged(3, renewed), START + 1)
    known = mirror.get(PREFIX)
    assert known is not None
    assert known.former == HERE
    assert mirror.next_timer() == START + LINGER
    assert mirror.forget(START + LINGER - 0.1) == []
    assert mirror.forget(START + LINGER) == [PREFIX]
    known = mirror.get(PREFIX)
    assert known is not None
    assert (known.binding, known.former) == (renewed, None)
    assert mirror.next_timer() is None


def test_packets_are_dropped_quietly_just_after_a_departure() -> None:
    mirror = Mirror(HOLD)
    mirror.learn(BindingChanged(1, HERE), START)
    mirror.learn(BindingChanged(2, LOST), START)
    known = mirror.get(PREFIX)
    assert known is not None
    assert known.quiet
    assert mirror.forget(START + HOLD) == [PREFIX]
    known = mirror.get(PREFIX)
    assert known is not None
    assert not known.quiet


def test_the_end_of_a_binding_ends_what_is_remembered() -> None:
    mirror = Mirror(HOLD)
    mirror.learn(BindingChanged(1, HERE), START)
    mirror.learn(BindingChanged(2, THERE), START)
    released = replace(LOST, seq=3, state=BindingState.RELEASED)
    mirror.learn(BindingChanged(3, released), START)
    assert mirror.next_timer() is None
    mirror.learn(BindingChanged(4, HERE), START)
    mirror.learn(BindingChanged(5, THERE), START)
    mirror.learn(BindingGone(6, PREFIX), START)
    assert mirror.next_timer() is None


def test_a_snapshot_replaces_everything_but_the_memory() -> None:
    mirror = Mirror(HOLD)
    gone = IPv6Network("2001:db8:a100:1::/64")
    mirror.learn(BindingChanged(1, HERE), START)
    mirror.learn(BindingChanged(1, replace(HERE, prefix=gone, iaid=2)), START)
    mirror.learn(BindingChanged(2, replace(THERE, prefix=gone, iaid=2)), START)
    router = router_config().router()
    mirror.reset(Snapshot(9, (THERE,), (router,)), START)
    [known] = mirror.known()
    assert (known.binding, known.former) == (THERE, HERE)
    assert mirror.routers == {"ar1": router}
    assert mirror.next_timer() == START + LINGER
    assert not mirror.learn(BindingChanged(9, HERE), START)


def test_a_router_is_news_when_it_comes_goes_or_is_another_one() -> None:
    mirror = Mirror(HOLD)
    router = router_config().router()
    assert not mirror.learn(RouterGone(1, "ar1"), START)
    for revision in (2, 4):
        assert mirror.learn(RouterChanged(revision, router), START)
        assert mirror.present == {"ar1"}
        assert not mirror.learn(RouterChanged(revision, router), START)
        assert mirror.learn(RouterGone(revision + 1, "ar1"), START)
        assert (mirror.present, mirror.routers) == (set(), {"ar1": router})
    mirror.learn(RouterChanged(6, router), START)
    assert mirror.learn(RouterChanged(7, replace(router, down_sid=router.up_sid)), START)


def test_a_pool_is_held_by_its_router_until_somebody_else_says_so() -> None:
    mirror = Mirror(HOLD)
    own = router_config().anchor()
    assert mirror.holder("ar1") == "ar1"
    assert mirror.learn(AnchorChanged(1, own), START)
    taken = replace(own, holder="ar2", epoch=2)
    assert mirror.learn(AnchorChanged(2, taken), START)
    assert not mirror.learn(AnchorChanged(1, own), START)
    assert mirror.holder("ar1") == "ar2"
    assert mirror.anchors.of("ar2") == [taken]


def test_what_was_before_ends_in_its_turn() -> None:
    mirror = Mirror(HOLD)
    others = [IPv6Network(f"2001:db8:a100:{number}::/64") for number in range(3)]
    for number, prefix in enumerate(others):
        mirror.learn(BindingChanged(1, replace(HERE, prefix=prefix, iaid=number)), START)
        moved = replace(THERE, prefix=prefix, iaid=number)
        mirror.learn(BindingChanged(2, moved), START + number)
    # The last one moves again, and so is kept for longer.
    mirror.learn(BindingChanged(3, replace(HERE, prefix=others[0], iaid=0, seq=3)), START + 1.5)
    assert mirror.forget(START + 3) == [others[1]]
    assert mirror.next_timer() == START + 1.5 + LINGER
    assert mirror.forget(START + 10) == [others[0], others[2]]
    assert mirror.next_timer() is None
