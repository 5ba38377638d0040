"""What becomes of an application's events."""

from __future__ import annotations

import errno
from ipaddress import IPv6Address

import msgspec
import pytest

from moorage.demo.application import Arrival, Arrived, Connected, Ended, Event, Refused
from moorage.demo.flows import History, interruption
from moorage.service import ServiceType

SESSION_LASTING = ServiceType.SESSION_LASTING
REFUSED = Refused(5, ServiceType.GRACEFUL_REPLACEMENT, 4, -180, "not supported")


def connected(moment: int) -> Connected:
    return Connected(moment, SESSION_LASTING, f"2001:db8::{moment}", 3)


def history(*events: Event) -> History:
    made = History()
    for event in events:
        made.take(event)
    return made


def arrivals(*moments: int) -> list[Arrival]:
    return [Arrival(moment, 1) for moment in moments]


@pytest.mark.parametrize(
    "event", [REFUSED, connected(1), Ended(2, errno.ECONNABORTED), Arrived(arrivals(1, 2))]
)
def test_events_survive_the_pipe(event: Event) -> None:
    assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event


def test_connection_is_current_until_it_ends() -> None:
    made = history(connected(1))
    assert made.current is not None
    assert made.current.address == IPv6Address("2001:db8::1")
    made.take(Ended(7, errno.ECONNABORTED))
    assert made.current is None
    assert (made.connections[0].end, made.connections[0].error) == (7, "ECONNABORTED")


def test_each_connection_has_its_own_end() -> None:
    made = history(connected(1), Ended(2, 0), connected(3))
    assert [connection.error for connection in made.connections] == ["closed", None]


def test_failure_to_connect_ends_no_connection() -> None:
    made = history(connected(1), Ended(2, errno.ECONNABORTED), Ended(3, errno.EHOSTUNREACH))
    assert [connection.error for connection in made.connections] == ["ECONNABORTED"]
    assert made.failures == [(3, "EHOSTUNREACH")]


def test_refusals_are_kept() -> None:
    assert history(REFUSED, connected(6)).refusals == [REFUSED]


def test_arrivals_are_collected() -> None:
    made = history(Arrived(arrivals(1)), Arrived([]), Arrived(arrivals(4)))
    assert made.arrivals == arrivals(1, 4)
    assert made.arrived_after(3)
    assert not made.arrived_after(4)
    assert not History().arrived_after(0)


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ((0, 10, 40, 50), (10, 40)),  # around the move
        ((0, 10, 20, 21, 90, 100), (21, 90)),  # longer, a little after it
        ((0, 10, 29, 31, 35, 100, 200), (35, 100)),  # goes on beyond the end
        ((0, 29, 31, 61, 300), (31, 61)),  # what begins after the end does not count
    ],
)
def test_interruption_is_the_longest_gap(moments: tuple[int, ...], expected: object) -> None:
    found = interruption(arrivals(*moments), begin=20, until=60)
    assert found is not None
    assert (found.start, found.end) == expected


@pytest.mark.parametrize("moments", [(), (30, 40), (1, 2, 3)])
def test_no_interruption_without_data_on_both_sides(moments: tuple[int, ...]) -> None:
    assert interruption(arrivals(*moments), begin=20, until=60) is None
