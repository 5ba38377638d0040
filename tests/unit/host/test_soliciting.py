from __future__ import annotations

from random import Random

import pytest

from moorage.host.soliciting import Soliciting
from tests.scripted import WL0, WL1


@pytest.fixture
def soliciting() -> Soliciting:
    return Soliciting(Random(1))


def asked(soliciting: Soliciting, until: float) -> list[float]:
    """Return when is asked until then."""
    times = []
    while (due := soliciting.next_timer()) is not None and due <= until:
        times += [due] * len(soliciting.poll(due))
    return times


def test_at_once_and_again_until_a_router_is_heard(soliciting: Soliciting) -> None:
    soliciting.attached(WL0, 10.0)
    times = asked(soliciting, 40.0)
    assert times[0] == 10.0
    assert 0.09 <= times[1] - times[0] <= 0.11
    assert times[-1] - times[-2] > 5
    soliciting.heard(WL0)
    assert soliciting.next_timer() is None


def test_ever_more_seldom(soliciting: Soliciting) -> None:
    soliciting.attached(WL0, 0.0)
    assert len(asked(soliciting, 100_000.0)) < 60


def test_a_heard_router_is_asked_again_but_not_without_pause(soliciting: Soliciting) -> None:
    soliciting.again(WL0, 1.0)
    soliciting.again(WL0, 1.0)
    assert asked(soliciting, 1.0) == [1.0]
    soliciting.again(WL0, 2.0)
    assert asked(soliciting, 10.0) == [4.0]
    assert asked(soliciting, 99.0) == []


def test_links_are_asked_each_for_itself(soliciting: Soliciting) -> None:
    soliciting.attached(WL0, 1.0)
    soliciting.again(WL1, 1.0)
    assert soliciting.poll(1.0) == [WL0, WL1]
    soliciting.left(WL0)
    soliciting.again(WL1, 2.0)
    soliciting.left(WL1)
    assert soliciting.next_timer() is None
