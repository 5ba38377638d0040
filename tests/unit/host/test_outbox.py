from __future__ import annotations

from ipaddress import IPv6Address

from moorage.host.outbox import ROOM, Outbox
from moorage.wire.notice import Deprecated, Notice, Overrun

ADDRESS = IPv6Address("2001:db8:a::17")


def notice(number: int) -> Notice:
    return Deprecated(ADDRESS, number)


def taken(outbox: Outbox) -> list[Notice]:
    """Return everything that it has for a reader that takes it all."""
    found = []
    while (first := outbox.first()) is not None:
        found.append(first)
        outbox.sent()
    return found


def test_notices_come_out_in_the_order_in_which_they_came() -> None:
    outbox = Outbox()
    for number in range(ROOM):
        outbox.put(notice(number))
    assert taken(outbox) == [notice(number) for number in range(ROOM)]


def test_the_first_stays_until_it_is_sent() -> None:
    outbox = Outbox()
    outbox.put(notice(1))
    assert outbox.first() == outbox.first() == notice(1)


def test_of_too_many_the_oldest_are_lost_and_counted() -> None:
    outbox = Outbox()
    for number in range(ROOM + 3):
        outbox.put(notice(number))
    assert taken(outbox) == [Overrun(3), *(notice(number) for number in range(3, ROOM + 3))]


def test_each_gap_is_told_once() -> None:
    outbox = Outbox()
    for number in range(ROOM + 1):
        outbox.put(notice(number))
    assert taken(outbox)[0] == Overrun(1)
    outbox.put(notice(0))
    assert taken(outbox) == [notice(0)]
