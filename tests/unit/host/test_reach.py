"""Which link carries the packets of a lease."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from moorage.host.reach import SETTLE, Path, Reach, Reachability
from tests.scripted import WL0, WL1

HERE = Path(WL0, IPv6Address("fe80::a1"), 1400)
THERE = Path(WL1, IPv6Address("fe80::a2"), 1400)
HOLD = 10.0


@pytest.fixture
def reach() -> Reachability:
    """A lease that is served since moment 0."""
    reach = Reachability()
    reach.serve(HERE, 0.0)
    return reach


@pytest.fixture
def switching(reach: Reachability) -> Reachability:
    """A lease that another interface serves since moment 1."""
    reach.serve(THERE, 1.0)
    return reach


def state(reach: Reachability) -> tuple[Reach, Path | None, Path | None]:
    return reach.state, reach.path, reach.newer


def test_never_served() -> None:
    reach = Reachability()
    assert not reach.served
    assert reach.due(HOLD) is None
    assert not reach.leave(WL0, 1.0)


def test_served(reach: Reachability) -> None:
    assert reach.served
    assert state(reach) == (Reach.SERVED, HERE, None)
    assert reach.due(HOLD) is None


def test_the_old_link_carries_on_for_the_settle_time(switching: Reachability) -> None:
    assert switching.served
    assert state(switching) == (Reach.SWITCHING, HERE, THERE)
    assert switching.due(HOLD) == 1.0 + SETTLE
    assert not switching.poll(HOLD, 1.0)
    assert switching.poll(HOLD, 1.0 + SETTLE)
    assert state(switching) == (Reach.SERVED, THERE, None)


def test_the_old_link_goes_earlier(switching: Reachability) -> None:
    assert switching.leave(WL0, 1.01)
    assert state(switching) == (Reach.SERVED, THERE, None)


def test_the_newer_link_goes_again(switching: Reachability) -> None:
    assert switching.leave(WL1, 1.01)
    assert state(switching) == (Reach.SERVED, HERE, None)


def test_back_to_the_old_link(switching: Reachability) -> None:
    switching.serve(HERE, 1.01)
    assert state(switching) == (Reach.SERVED, HERE, None)


def test_packets_are_held_and_then_refused(reach: Reachability) -> None:
    assert reach.leave(WL0, 5.0)
    assert state(reach) == (Reach.DETACHED, HERE, None)
    assert not reach.served
    assert not reach.leave(WL0, 6.0)
    assert reach.due(HOLD) == 15.0
    assert not reach.poll(HOLD, 14.9)
    assert reach.poll(HOLD, 15.0)
    assert state(reach) == (Reach.REFUSED, HERE, None)
    reach.serve(THERE, 20.0)
    assert state(reach) == (Reach.SERVED, THERE, None)


def test_another_link_goes(reach: Reachability) -> None:
    assert not reach.leave(WL1, 5.0)
    assert not reach.vanish(WL1, 5.0)
    assert reach.served


@pytest.mark.parametrize("left", [False, True])
def test_the_interface_goes(reach: Reachability, left: bool) -> None:
    if left:
        reach.leave(WL0, 5.0)
    assert reach.vanish(WL0, 6.0)
    assert state(reach) == (Reach.REFUSED, None, None)


def test_the_interface_goes_behind_a_newer_link(switching: Reachability) -> None:
    assert switching.vanish(WL0, 1.01)
    assert state(switching) == (Reach.SERVED, THERE, None)


def test_the_newer_interface_goes(switching: Reachability) -> None:
    assert switching.vanish(WL1, 1.01)
    assert state(switching) == (Reach.SERVED, HERE, None)
