"""Many messages at once: who is answered, and who is not looked at."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from moorage.router.inbox import (
    STRANGERS_UNDER_WAY,
    UNDER_WAY,
    Arrival,
    Bucket,
    Inbox,
    TooMany,
    Work,
)

SOMEBODY = Arrival(b"", IPv6Address("fe80::1"))


def name(number: int) -> bytes:
    return number.to_bytes(8, "big")


def fill(inbox: Inbox, count: int, known: bool, now: float = 0.0, first: int = 0) -> int:
    """Put in messages of as many clients, and return how many were taken in."""
    taken = 0
    for number in range(first, first + count):
        if inbox.refuses(name(number), known, now) is None:
            inbox.put(SOMEBODY, name(number), known)
            taken += 1
    return taken


def take_all(inbox: Inbox) -> list[Work]:
    found = []
    while (work := inbox.take()) is not None:
        found.append(work)
    return found


def test_what_comes_first_is_answered_first() -> None:
    inbox = Inbox(1000)
    assert inbox.take() is None
    fill(inbox, 3, known=True)
    assert [work.client for work in take_all(inbox)] == [name(0), name(1), name(2)]


def test_known_clients_go_before_a_flood() -> None:
    inbox = Inbox(1000)
    fill(inbox, 10_000, known=False)
    fill(inbox, 5, known=True, first=20_000)
    assert [work.known for work in take_all(inbox)[:6]] == [True] * 5 + [False]


def test_a_flood_is_bounded_in_number_and_rate() -> None:
    inbox = Inbox(100)
    assert fill(inbox, 100_000, known=False) == 100
    assert fill(inbox, 100_000, known=False, now=0.5, first=200_000) == 50
    quick = Inbox(1e9)
    assert fill(quick, 100_000, known=False) == 256
    assert fill(quick, 100_000, known=True, first=200_000) == 256


def test_a_flood_leaves_room_for_answers_to_known_clients() -> None:
    inbox = Inbox(1e9)
    fill(inbox, 10_000, known=False)
    under_way = take_all(inbox)
    assert len(under_way) == STRANGERS_UNDER_WAY
    fill(inbox, 10_000, known=True, first=20_000)
    assert len(take_all(inbox)) == UNDER_WAY - STRANGERS_UNDER_WAY
    inbox.done(under_way[0])
    [following] = take_all(inbox)
    assert following.known


def test_one_client_does_not_fill_everything() -> None:
    inbox = Inbox(1000)
    accepted = 0
    for _ in range(1000):
        if inbox.refuses(b"loud", True, 0.0) is None:
            inbox.put(SOMEBODY, b"loud", True)
            accepted += 1
    assert accepted == 8
    assert inbox.refuses(b"loud", True, 0.0) is TooMany.OF_ONE_CLIENT
    for work in take_all(inbox):
        inbox.done(work)
    assert inbox.refuses(b"loud", True, 0.0) is None


def test_who_says_no_name_is_a_stranger_among_others() -> None:
    inbox = Inbox(1000)
    for _ in range(20):
        assert inbox.refuses(b"", False, 0.0) is None
        inbox.put(SOMEBODY, b"", False)
    assert len(take_all(inbox)) == 20


@pytest.mark.parametrize("rate", [0.5, 1.0, 10.0, 1000.0])
def test_a_bucket_lets_its_rate_through(rate: float) -> None:
    bucket = Bucket(rate)
    now, passed = 0.0, 0
    while now < 100:
        passed += bucket.take(now)
        now += 0.125 / rate
    assert passed == pytest.approx(max(1.0, rate) + 100 * rate, rel=0.02, abs=1)


def test_a_clock_that_goes_back_fills_no_bucket() -> None:
    bucket = Bucket(1.0)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)
    assert not bucket.take(50.5)
    assert bucket.take(51.1)
