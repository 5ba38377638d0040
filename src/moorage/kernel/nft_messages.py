"""Messages of nf_tables, as far as we need them (``<linux/netfilter/nf_tables.h>``).

A rule is a row of expressions, carried out in turn: they load parts of the packet into registers
and compare them; the first comparison that fails ends the rule. There are sixteen registers of four
bytes; a value takes as many consecutive ones as it needs, and so does a key made of several values.
All numbers are in network byte order.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import cache
from itertools import islice
from typing import Final

from moorage.kernel.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    Message,
    attribute,
    nested,
    parse_attributes,
)

_NFNL_SUBSYS_NFTABLES: Final = 10
_NFNL_MSG_BATCH_BEGIN: Final = 16
_NFNL_MSG_BATCH_END: Final = 17

_NFT_MSG_NEWTABLE: Final = 0
NFT_MSG_DELTABLE: Final = 2
_NFT_MSG_NEWCHAIN: Final = 3
_NFT_MSG_NEWRULE: Final = 6
_NFT_MSG_NEWSET: Final = 9
_NFT_MSG_NEWSETELEM: Final = 12
_NFT_MSG_DELSETELEM: Final = 14
_NFT_MSG_NEWGEN: Final = 15

_NFTA_LIST_ELEM: Final = 1
_NFTA_TABLE_NAME: Final = 1
_NFTA_HOOK_HOOKNUM: Final = 1
_NFTA_HOOK_PRIORITY: Final = 2
_NFTA_CHAIN_TABLE: Final = 1
_NFTA_CHAIN_NAME: Final = 3
_NFTA_CHAIN_HOOK: Final = 4
_NFTA_CHAIN_TYPE: Final = 7
_NFTA_RULE_TABLE: Final = 1
_NFTA_RULE_CHAIN: Final = 2
_NFTA_RULE_EXPRESSIONS: Final = 4
_NFTA_SET_TABLE: Final = 1
_NFTA_SET_NAME: Final = 2
_NFTA_SET_FLAGS: Final = 3
_NFTA_SET_KEY_TYPE: Final = 4
_NFTA_SET_KEY_LEN: Final = 5
_NFTA_SET_DESC: Final = 9
_NFTA_SET_ID: Final = 10
_NFTA_SET_USERDATA: Final = 13
_NFTA_SET_OBJ_TYPE: Final = 15
_NFTA_SET_ELEM_LIST_TABLE: Final = 1
_NFTA_SET_ELEM_LIST_SET: Final = 2
_NFTA_SET_ELEM_LIST_ELEMENTS: Final = 3
_NFTA_SET_DESC_CONCAT: Final = 2
_NFTA_SET_FIELD_LEN: Final = 1
_NFTA_SET_ELEM_KEY: Final = 1
_NFTA_SET_ELEM_FLAGS: Final = 3
_NFTA_SET_ELEM_OBJREF: Final = 9
_NFTA_SET_ELEM_KEY_END: Final = 10
_NFTA_DATA_VALUE: Final = 1
_NFTA_DATA_VERDICT: Final = 2
_NFTA_VERDICT_CODE: Final = 1

_NFTA_EXPR_NAME: Final = 1
_NFTA_EXPR_DATA: Final = 2
_NFTA_META_DREG: Final = 1
_NFTA_META_KEY: Final = 2
_NFTA_PAYLOAD_DREG: Final = 1
_NFTA_PAYLOAD_BASE: Final = 2
_NFTA_PAYLOAD_OFFSET: Final = 3
_NFTA_PAYLOAD_LEN: Final = 4
_NFTA_BITWISE_SREG: Final = 1
_NFTA_BITWISE_DREG: Final = 2
_NFTA_BITWISE_LEN: Final = 3
_NFTA_BITWISE_MASK: Final = 4
_NFTA_BITWISE_XOR: Final = 5
_NFTA_CMP_SREG: Final = 1
_NFTA_CMP_OP: Final = 2
_NFTA_CMP_DATA: Final = 3
_NFTA_LOOKUP_SET: Final = 1
_NFTA_LOOKUP_SREG: Final = 2
_NFTA_LOOKUP_FLAGS: Final = 5
_NFTA_IMMEDIATE_DREG: Final = 1
_NFTA_IMMEDIATE_DATA: Final = 2

_NFT_REG_VERDICT: Final = 0
_NFT_REG32_00: Final = 8
_NFT_META_IIFNAME: Final = 6
_NFT_META_OIFNAME: Final = 7
_NFT_CMP_EQ: Final = 0
_NFT_CMP_NEQ: Final = 1
_NFT_LOOKUP_F_INV: Final = 1
_NFT_SET_INTERVAL: Final = 4
_NFT_SET_OBJECT: Final = 0x40
_NFT_SET_CONCAT: Final = 0x80
_NFT_SET_ELEM_INTERVAL_END: Final = 1

_NAMES_IN_HOST_ORDER: Final = struct.pack("=BBI", 0, 4, 1)
"""A remark to the ``nft`` program (NFTNL_UDATA_SET_KEYBYTEORDER), which shows names by it."""
_KIND_BITS: Final = 6
_REGISTER_BYTES: Final = 4
_GENMSG: Final = struct.Struct(">BBH")
GENMSG_BYTES: Final = _GENMSG.size
"""Bytes of the fixed part of each message's body, before the attributes."""
_IP6: Final = _GENMSG.pack(socket.AF_INET6, 0, 0)
_ELEMENTS_PER_MESSAGE: Final = 512
"""So few that their list fits an attribute, whose length has 16 bits."""

BATCH_BEGIN: Final = Message(_NFNL_MSG_BATCH_BEGIN, _GENMSG.pack(0, 0, _NFNL_SUBSYS_NFTABLES))
BATCH_END: Final = Message(_NFNL_MSG_BATCH_END, _GENMSG.pack(0, 0, _NFNL_SUBSYS_NFTABLES))


class Base(IntEnum):
    """Where the offset of `load` counts from."""

    LINK_HEADER = 0
    NETWORK_HEADER = 1


class Verdict(IntEnum):
    """What becomes of the packet; ACCEPT lets other chains have their say."""

    DROP = 0
    ACCEPT = 1


class Hook(IntEnum):
    """Where a chain sees packets."""

    PREROUTING = 0
    """On arrival."""
    FORWARD = 2
    """When it is known where they leave."""
    OUTPUT = 3
    """When this machine sends them."""


class Kind(IntEnum):
    """What a set holds, in the numbers of the ``nft`` program, which shows the set by it."""

    IPV6_ADDRESS = 8
    ETHERNET_ADDRESS = 9
    INTERFACE_NAME = 41

    @property
    def size(self) -> int:
        """Bytes that it takes in a key: whole registers."""
        return 8 if self is Kind.ETHERNET_ADDRESS else 16


def padded(value: bytes) -> bytes:
    """``value`` filled up to whole registers, as it stands in a key."""
    return value + bytes(-len(value) % _REGISTER_BYTES)


def new_table(table: str) -> Message:
    """Make ``table`` (of family ip6) unless it exists."""
    return message(_NFT_MSG_NEWTABLE, text(_NFTA_TABLE_NAME, table), flags=NLM_F_CREATE)


def delete_table(table: str) -> Message:
    """Delete ``table`` and all that is in it; it must exist."""
    return message(NFT_MSG_DELTABLE, text(_NFTA_TABLE_NAME, table))


def parse_table(notification: Message) -> str:
    """Name of the table that a notification is about."""
    attributes = parse_attributes(notification.payload, GENMSG_BYTES)
    return attributes[_NFTA_TABLE_NAME].rstrip(b"\0").decode()


def new_set(
    table: str,
    name: str,
    number: int,
    kinds: Sequence[Kind],
    *,
    interval: bool = False,
    objects: int = 0,
) -> Message:
    """Make a set whose keys are made of ``kinds``, one behind the other.

    ``number`` tells it from the other sets of the same transaction. With ``interval`` the elements
    are ranges: beginnings and ends of one kind, `range_of_keys` of several. With ``objects``, each
    names an object of that type.
    """
    flags = (_NFT_SET_INTERVAL if interval else 0) | (_NFT_SET_OBJECT if objects else 0)
    fields = kinds if interval and len(kinds) > 1 else ()
    if fields:
        flags |= _NFT_SET_CONCAT
    key_type = 0
    for kind in kinds:
        key_type = key_type << _KIND_BITS | kind
    names_only = tuple(kinds) == (Kind.INTERFACE_NAME,)
    return message(
        _NFT_MSG_NEWSET,
        text(_NFTA_SET_TABLE, table),
        text(_NFTA_SET_NAME, name),
        u32(_NFTA_SET_FLAGS, flags),
        u32(_NFTA_SET_KEY_TYPE, key_type),
        u32(_NFTA_SET_KEY_LEN, sum(kind.size for kind in kinds)),
        u32(_NFTA_SET_ID, number),
        nested(_NFTA_SET_DESC, _fields(fields)) if fields else b"",
        attribute(_NFTA_SET_USERDATA, _NAMES_IN_HOST_ORDER) if names_only else b"",
        u32(_NFTA_SET_OBJ_TYPE, objects) if objects else b"",
        flags=NLM_F_CREATE,
    )


def _fields(kinds: Sequence[Kind]) -> bytes:
    """Where the parts of a key end whose ranges are compared part by part."""
    sizes = (nested(_NFTA_LIST_ELEM, u32(_NFTA_SET_FIELD_LEN, kind.size)) for kind in kinds)
    return nested(_NFTA_SET_DESC_CONCAT, *sizes)


def element(key: bytes, *, ends_interval: bool = False) -> bytes:
    """One element for `add_elements` and `delete_elements`; ends lie just behind their range.

    ``key`` has a whole number of registers.
    """
    if ends_interval:
        flags = u32(_NFTA_SET_ELEM_FLAGS, _NFT_SET_ELEM_INTERVAL_END)
        return nested(_NFTA_LIST_ELEM, _value(_NFTA_SET_ELEM_KEY, key), flags)
    return _element_head(len(key)) + key


def range_of_keys(first: bytes, last: bytes) -> bytes:
    """One element for `add_elements`: all keys each part of which is between those of these two."""
    return nested(
        _NFTA_LIST_ELEM, _value(_NFTA_SET_ELEM_KEY, first), _value(_NFTA_SET_ELEM_KEY_END, last)
    )


def element_for_object(key: bytes, name: str) -> bytes:
    """One element for `add_elements` that maps ``key`` to an object of the table."""
    return nested(
        _NFTA_LIST_ELEM, _value(_NFTA_SET_ELEM_KEY, key), text(_NFTA_SET_ELEM_OBJREF, name)
    )


@cache
def _element_head(size: int) -> bytes:
    """What stands before the key in an element; there may be very many of them."""
    key = bytes(size)
    return nested(_NFTA_LIST_ELEM, _value(_NFTA_SET_ELEM_KEY, key))[:-size]


def add_elements(table: str, name: str, elements: Iterable[bytes]) -> list[Message]:
    """Put elements into a set; those that are there already do no harm."""
    return _elements(_NFT_MSG_NEWSETELEM, table, name, elements, NLM_F_CREATE)


def delete_elements(table: str, name: str, elements: Iterable[bytes]) -> list[Message]:
    """Take elements out of a set; all must be there."""
    return _elements(_NFT_MSG_DELSETELEM, table, name, elements, 0)


def concerns(notification: Message, table: str) -> bool:
    """Whether a notification is about ``table`` (of family ip6), or about something in it."""
    subsystem, kind = divmod(notification.type, 1 << 8)
    if (subsystem, kind) == (_NFNL_SUBSYS_NFTABLES, _NFT_MSG_NEWGEN):
        return False  # a transaction is over: about no table
    family = _GENMSG.unpack_from(notification.payload)[0]
    found = parse_attributes(notification.payload, _GENMSG.size)
    # In all others this attribute comes first, whatever they are about.
    name = found.get(_NFTA_TABLE_NAME, b"").rstrip(b"\0")
    return (family, name) == (socket.AF_INET6, table.encode())


def new_chain(table: str, name: str, hook: Hook, priority: int) -> Message:
    """Make a chain that sees every packet at ``hook``; it accepts what no rule of it drops."""
    return message(
        _NFT_MSG_NEWCHAIN,
        text(_NFTA_CHAIN_TABLE, table),
        text(_NFTA_CHAIN_NAME, name),
        nested(
            _NFTA_CHAIN_HOOK,
            u32(_NFTA_HOOK_HOOKNUM, hook),
            attribute(_NFTA_HOOK_PRIORITY, struct.pack(">i", priority)),
        ),
        text(_NFTA_CHAIN_TYPE, "filter"),
        flags=NLM_F_CREATE,
    )


def new_rule(table: str, chain: str, *expressions: bytes) -> Message:
    """Append a rule to ``chain``."""
    return message(
        _NFT_MSG_NEWRULE,
        text(_NFTA_RULE_TABLE, table),
        text(_NFTA_RULE_CHAIN, chain),
        nested(_NFTA_RULE_EXPRESSIONS, *expressions),
        flags=NLM_F_CREATE | NLM_F_APPEND,
    )


def load(base: Base, offset: int, size: int, register: int = 0) -> bytes:
    """Load bytes of the packet; one that is shorter ends the rule."""
    return expression(
        "payload",
        register_of(_NFTA_PAYLOAD_DREG, register),
        u32(_NFTA_PAYLOAD_BASE, base),
        u32(_NFTA_PAYLOAD_OFFSET, offset),
        u32(_NFTA_PAYLOAD_LEN, size),
    )


def load_interface(register: int = 0) -> bytes:
    """Load the name of the interface that the packet came through: 16 bytes, filled with zeros."""
    return expression(
        "meta", register_of(_NFTA_META_DREG, register), u32(_NFTA_META_KEY, _NFT_META_IIFNAME)
    )


def load_leaving_interface() -> bytes:
    """Load the name of the interface that the packet leaves by, in the same form."""
    return expression(
        "meta", register_of(_NFTA_META_DREG, 0), u32(_NFTA_META_KEY, _NFT_META_OIFNAME)
    )


def mask(bits: bytes, register: int = 0) -> bytes:
    """Clear the bits that are not in ``bits``."""
    return expression(
        "bitwise",
        register_of(_NFTA_BITWISE_SREG, register),
        register_of(_NFTA_BITWISE_DREG, register),
        u32(_NFTA_BITWISE_LEN, len(bits)),
        _value(_NFTA_BITWISE_MASK, bits),
        _value(_NFTA_BITWISE_XOR, bytes(len(bits))),
    )


def equal(value: bytes) -> bytes:
    """Go on if the first registers hold ``value``."""
    return _compare(_NFT_CMP_EQ, value)


def different(value: bytes) -> bytes:
    """Go on unless the first registers hold ``value``."""
    return _compare(_NFT_CMP_NEQ, value)


def found_in(name: str) -> bytes:
    """Go on if the first registers hold an element of the set ``name``."""
    return _lookup(name, 0)


def missing_in(name: str) -> bytes:
    """Go on unless the first registers hold an element of the set ``name``."""
    return _lookup(name, _NFT_LOOKUP_F_INV)


def decide(verdict: Verdict) -> bytes:
    """Decide on the packet, which ends the chain."""
    return expression(
        "immediate",
        u32(_NFTA_IMMEDIATE_DREG, _NFT_REG_VERDICT),
        nested(_NFTA_IMMEDIATE_DATA, nested(_NFTA_DATA_VERDICT, u32(_NFTA_VERDICT_CODE, verdict))),
    )


def _compare(operation: int, value: bytes) -> bytes:
    return expression(
        "cmp",
        register_of(_NFTA_CMP_SREG, 0),
        u32(_NFTA_CMP_OP, operation),
        _value(_NFTA_CMP_DATA, value),
    )


def _lookup(name: str, flags: int) -> bytes:
    return expression(
        "lookup",
        text(_NFTA_LOOKUP_SET, name),
        register_of(_NFTA_LOOKUP_SREG, 0),
        u32(_NFTA_LOOKUP_FLAGS, flags),
    )


def expression(name: str, *attributes: bytes) -> bytes:
    """One expression of a rule."""
    return nested(
        _NFTA_LIST_ELEM, text(_NFTA_EXPR_NAME, name), nested(_NFTA_EXPR_DATA, *attributes)
    )


def _elements(
    kind: int, table: str, name: str, elements: Iterable[bytes], flags: int
) -> list[Message]:
    remaining = iter(elements)
    messages: list[Message] = []
    while portion := list(islice(remaining, _ELEMENTS_PER_MESSAGE)):
        messages.append(
            message(
                kind,
                text(_NFTA_SET_ELEM_LIST_TABLE, table),
                text(_NFTA_SET_ELEM_LIST_SET, name),
                nested(_NFTA_SET_ELEM_LIST_ELEMENTS, *portion),
                flags=flags,
            )
        )
    return messages


def message_type(kind: int) -> int:
    """The netlink type of messages and notifications of this kind."""
    return _NFNL_SUBSYS_NFTABLES << 8 | kind


def message(kind: int, *attributes: bytes, flags: int = 0) -> Message:
    """One message of nf_tables, about family ip6."""
    return Message(message_type(kind), _IP6 + b"".join(attributes), flags)


def text(kind: int, value: str) -> bytes:
    """One attribute that holds a name."""
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, number: int) -> bytes:
    """One attribute that holds a 32-bit number in network byte order."""
    return attribute(kind, number.to_bytes(4, "big"))


def _value(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(_NFTA_DATA_VALUE, value))


def register_of(kind: int, number: int) -> bytes:
    """One attribute that names a register."""
    return u32(kind, _NFT_REG32_00 + number)
