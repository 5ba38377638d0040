"""Events that are remembered."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import msgspec
import pytest

from moorage.host.events import AddressServed, LinkLeft
from moorage.management.journal import Journal, Missed
from moorage.service import ServiceType

SERVED = AddressServed(
    IPv6Address("2001:db8:a::17"),
    ServiceType.SESSION_LASTING,
    IPv6Network("2001:db8:a::/64"),
    "wlan0",
    IPv6Address("fe80::1"),
    moved=True,
    preferred_for=3600.0,
    valid_for=7200.0,
)


def names(journal: Journal, number: int, limit: int = 100) -> list[str]:
    return [str(record.event).partition(":")[0] for record in journal.after(number, limit)]


def filled(capacity: int, count: int) -> Journal:
    journal = Journal(capacity)
    for index in range(count):
        journal.append(LinkLeft(f"wlan{index}"), float(index))
    return journal


def test_a_journal_without_events_has_none_to_show() -> None:
    assert filled(3, 0).after(0, 100) == []


def test_events_come_in_their_order_from_where_one_asks() -> None:
    journal = filled(3, 3)
    assert names(journal, 0) == ["wlan0", "wlan1", "wlan2"]
    assert names(journal, 2) == ["wlan2"]
    assert names(journal, 3) == []
    assert names(journal, 0, limit=2) == ["wlan0", "wlan1"]


def test_only_the_last_events_are_remembered() -> None:
    journal = filled(3, 10)
    assert journal.oldest == 8
    assert names(journal, 7) == ["wlan7", "wlan8", "wlan9"]


def test_whoever_asks_for_forgotten_events_is_told_how_many() -> None:
    with pytest.raises(Missed) as caught:
        filled(3, 10).after(4, 100)
    assert caught.value.count == 3


def test_a_listener_hears_of_every_event_until_it_is_told_no_more() -> None:
    journal, heard = Journal(3), []
    forget = journal.listen(lambda: heard.append(journal.last))
    journal.append(LinkLeft("wlan0"), 0.0)
    journal.append(LinkLeft("wlan1"), 0.0)
    forget()
    journal.append(LinkLeft("wlan2"), 0.0)
    assert heard == [1, 2]


def test_a_record_is_one_line_of_json_in_words() -> None:
    journal = Journal(1)
    journal.append(SERVED, 1_700_000_000.25)
    [record] = journal.after(0, 100)
    line = record.encode()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert msgspec.json.decode(line) == {
        "number": 1,
        "time": "2023-11-14T22:13:20.250000Z",
        "text": str(SERVED),
        "event": "address-served",
        "address": "2001:db8:a::17",
        "type": "session-lasting",
        "prefix": "2001:db8:a::/64",
        "interface": "wlan0",
        "router": "fe80::1",
        "moved": True,
        "preferred_for": 3600.0,
        "valid_for": 7200.0,
    }
