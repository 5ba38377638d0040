"""What a router writes down of its work, and which of it is worth telling."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from moorage.router.account import Account, Place, place_of
from moorage.router.anchors import Anchors
from moorage.router.events import (
    HostLeft,
    HostMoved,
    PrefixGiven,
    PrefixReleased,
    Refused,
    RouterEvent,
    of_change,
)
from moorage.service import ServiceType
from moorage.store.model import Binding, BindingState
from moorage.wire.dhcp6 import RefusalReason
from tests.bindings import HERE, NOWHERE
from tests.domain import START, Clock

FIXED = ServiceType.FIXED
PREFIX, CLIENT = HERE.prefix, HERE.client
AWAY = replace(HERE, serving="ar2")
GIVEN_BACK = replace(NOWHERE, state=BindingState.RELEASED)
SOMEBODY_ELSES = replace(HERE, client=b"\3")
RENEWED = replace(HERE, seq=2, valid_until=START + 40)
ELSEWHERE = replace(HERE, anchor="ar3", serving="ar2")


@pytest.fixture
def told() -> list[RouterEvent]:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def account(told: list[RouterEvent], clock: Clock) -> Account:
    return Account("ar1", Anchors().holder, told.append, clock)


@pytest.mark.parametrize(
    ("binding", "at_ar1", "at_ar2"),
    [
        (HERE, Place.HERE, None),
        (AWAY, Place.AWAY, Place.VISITING),
        (NOWHERE, Place.DETACHED, None),
        (GIVEN_BACK, Place.RELEASED, None),
    ],
)
def test_a_prefix_has_a_place_for_each_router(
    binding: Binding, at_ar1: Place, at_ar2: Place | None
) -> None:
    assert place_of(binding, "ar1", "ar1") is at_ar1
    assert place_of(binding, "ar1", "ar2") is at_ar2


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        (None, HERE, PrefixGiven(PREFIX, FIXED, CLIENT, "ar1")),
        (HERE, RENEWED, None),
        (HERE, AWAY, HostMoved(PREFIX, FIXED, CLIENT, "ar1", "ar2")),
        (NOWHERE, HERE, HostMoved(PREFIX, FIXED, CLIENT, "", "ar1")),
        (HERE, NOWHERE, HostLeft(PREFIX, FIXED, CLIENT, "ar1")),
        (NOWHERE, GIVEN_BACK, PrefixReleased(PREFIX, FIXED, CLIENT)),
        (GIVEN_BACK, None, None),
        (GIVEN_BACK, SOMEBODY_ELSES, PrefixGiven(PREFIX, FIXED, b"\3", "ar1")),
        (HERE, None, PrefixReleased(PREFIX, FIXED, CLIENT)),
    ],
)
def test_a_change_means_something_to_an_operator_or_nothing(
    before: Binding | None, after: Binding | None, event: RouterEvent | None
) -> None:
    assert of_change(before, after) == event
    if event is not None:
        assert str(PREFIX) in str(event)


def test_bindings_are_counted_as_they_change(account: Account) -> None:
    account.listed([AWAY])
    assert account.bindings == Counter({(FIXED, Place.AWAY): 1})
    history = [AWAY, HERE, NOWHERE, GIVEN_BACK, None]
    for before, after in pairwise(history):
        account.changed(before, after)
    assert +account.bindings == Counter()


def test_what_does_not_concern_this_router_is_not_told(
    account: Account, told: list[RouterEvent]
) -> None:
    account.changed(None, ELSEWHERE)
    account.changed(ELSEWHERE, replace(ELSEWHERE, serving="ar4"))
    assert told == []
    account.changed(ELSEWHERE, replace(ELSEWHERE, serving="ar1"))
    assert told == [HostMoved(PREFIX, FIXED, CLIENT, "ar2", "ar1")]


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        (AWAY, HERE, 1),
        (NOWHERE, HERE, 1),
        (replace(HERE, link="acc1"), HERE, 1),
        (HERE, RENEWED, 0),
        (None, HERE, 0),
        (GIVEN_BACK, HERE, 0),
        (HERE, NOWHERE, 0),
    ],
)
def test_only_a_host_that_comes_is_a_handoff(
    account: Account, before: Binding | None, after: Binding, count: int
) -> None:
    account.changed(before, after)
    assert account.handoffs == count


def test_a_refusal_is_counted_always_and_told_once_a_minute(
    account: Account, told: list[RouterEvent], clock: Clock
) -> None:
    quota = RefusalReason.QUOTA
    for _ in range(3):
        account.refused(b"\1", FIXED, quota, "acc0")
    assert told == [Refused(b"\1", FIXED, quota, "acc0")]
    assert str(told[0]) == "a fixed prefix refused to 01 on acc0: quota"
    account.refused(b"\2", None, quota, "acc0")
    account.refused(b"\1", FIXED, RefusalReason.POOL_FULL, "acc0")
    clock.now += 60
    account.refused(b"\1", FIXED, quota, "acc0")
    assert len(told) == 4
    assert account.refusals == Counter({quota: 5, RefusalReason.POOL_FULL: 1})


def test_invented_hosts_do_not_fill_the_memory(account: Account) -> None:
    for number in range(3000):
        account.refused(number.to_bytes(2, "big"), FIXED, RefusalReason.QUOTA, "acc0")
    assert len(account._told) <= 1024
