"""Bindings as lines of JSON: there and back, and every kind of wrong line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Network
from typing import Any

import pytest
from hypothesis import given

from moorage.config import ConfigError
from moorage.service import ServiceType
from moorage.store.model import Anchor, Binding, BindingState
from moorage.store.records import from_lines, to_line
from tests.unit.store.test_sqlite_as_memory import bindings as any_bindings


def consistent(binding: Binding) -> Binding:
    """The binding, with a place where it is served if it is active, and only then."""
    served = binding.state is BindingState.ACTIVE
    return replace(
        binding,
        client=binding.client or b"x",
        serving=(binding.serving or "ar1") if served else None,
        link=(binding.link or "acc0") if served else None,
        next_hop=(binding.next_hop or binding.prefix[0]) if served else None,
        mac=binding.mac if served else None,
        excluded=excluded
        if (excluded := binding.excluded or 0) > binding.prefix.prefixlen
        else None,
    )


@given(any_bindings.map(consistent))
def test_what_is_written_is_read_back(binding: Binding) -> None:
    line = to_line(binding)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert from_lines([line], "x") == {1: binding}


def test_a_line_is_as_people_write_it(binding: Binding) -> None:
    assert json.loads(to_line(binding)) == {
        "prefix": "2001:db8:a100::/64",
        "client": "0004636c69656e74",
        "iaid": 1,
        "type": "session-lasting",
        "anchor": "ar1",
        "serving": "ar1",
        "link": "wlan0",
        "next_hop": "fe80::1",
        "seq": 1,
        "key": "6b" * 32,
        "last_time": 1_700_000_000_000_000,
        "state": "active",
        "preferred_until": 1_700_003_600.5,
        "valid_until": 1_700_007_200.25,
        "reconfigurable": False,
        "mac": None,
        "excluded": None,
    }


def test_lines_are_numbered_from_one_and_empty_ones_count(binding: Binding) -> None:
    other = replace(
        binding,
        prefix=IPv6Network("::/64"),
        type=ServiceType.FIXED,
        key=None,
        mac=bytes.fromhex("020000000001"),
    )
    lines = [b"\n", to_line(binding), b"  \n", to_line(other)]
    assert from_lines(lines, "x") == {2: binding, 4: other}


def without(key: str) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        del record[key]

    return change


def with_value(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("seq"), ["seq"]),
        (with_value("colour", 1), ["colour"]),
        (with_value("prefix", "2001:db8::1/64"), ["prefix", "host bits"]),
        (with_value("prefix", 7), ["prefix"]),
        (with_value("client", ""), ["client"]),
        (with_value("client", "0g"), ["client"]),
        (with_value("iaid", -1), ["iaid", ">= 0"]),
        (with_value("iaid", 1 << 32), ["iaid", "<="]),
        (with_value("type", "forever"), ["type", "session-lasting"]),
        (with_value("anchor", ""), ["anchor"]),
        (with_value("seq", 0), ["seq", ">= 1"]),
        (with_value("seq", 1 << 63), ["seq"]),
        (with_value("key", "00"), ["key"]),
        (with_value("state", "lost"), ["state", "active, detached, released"]),
        (with_value("valid_until", "soon"), ["valid_until"]),
        (with_value("valid_until", -1), ["valid_until"]),
        (with_value("next_hop", "host"), ["next_hop"]),
        (with_value("mac", "02:00:00:00:00:01"), ["mac"]),
        (with_value("next_hop", None), ["serving, link and next_hop"]),
        (with_value("state", "released"), ["serving", "active"]),
    ],
)
def test_a_wrong_value_is_one_line_that_names_file_line_and_key(
    binding: Binding, change: Callable[[dict[str, Any]], None], words: list[str]
) -> None:
    record = json.loads(to_line(binding))
    change(record)
    right = to_line(replace(binding, prefix=IPv6Network("::/64")))
    with pytest.raises(ConfigError) as caught:
        from_lines([right, json.dumps(record).encode()], "old.jsonl")
    message = str(caught.value)
    assert message.startswith("old.jsonl:2: ")
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("line", [b"{", b"[]", b"7", b"null", b"\xff\xfe{}", b'{"prefix": "\xff"}'])
def test_what_is_no_object_is_refused(line: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^old\.jsonl:1: .*$"):
        from_lines([line], "old.jsonl")


def test_a_prefix_stands_in_one_line(binding: Binding) -> None:
    lines = [to_line(binding), b"\n", to_line(replace(binding, seq=2))]
    with pytest.raises(ConfigError, match=r"^x:3: prefix: 2001:db8:a100::/64 is in line 1, too$"):
        from_lines(lines, "x")


def test_an_anchor_is_a_line_of_its_own(anchor: Anchor, binding: Binding) -> None:
    taken = replace(anchor, holder="ar2", epoch=2)
    line = to_line(taken)
    assert json.loads(line) == {
        "id": "ar1",
        "pool": "2001:db8:a100::/40",
        "holder": "ar2",
        "epoch": 2,
    }
    assert from_lines([to_line(binding), line], "x") == {1: binding, 2: taken}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("holder"), ["holder"]),
        (with_value("prefix", "::/64"), ["prefix"]),
        (with_value("pool", "2001:db8::1/40"), ["pool", "host bits"]),
        (with_value("id", ""), ["id"]),
        (with_value("epoch", 0), ["epoch", ">= 1"]),
    ],
)
def test_a_wrong_value_of_an_anchor_is_one_line(
    anchor: Anchor, change: Callable[[dict[str, Any]], None], words: list[str]
) -> None:
    record = json.loads(to_line(anchor))
    change(record)
    with pytest.raises(ConfigError, match=r"^old\.jsonl:1: [^\n]*$") as caught:
        from_lines([json.dumps(record).encode()], "old.jsonl")
    assert all(word in str(caught.value) for word in words)


def test_an_anchor_stands_in_one_line(anchor: Anchor) -> None:
    with pytest.raises(ConfigError, match=r"^x:2: id: ar1 is in line 1, too$"):
        from_lines([to_line(anchor), to_line(anchor)], "x")
