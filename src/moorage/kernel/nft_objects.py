"""The named objects of an nf_tables table: counters, and quotas that say when they are spent."""

from __future__ import annotations

from typing import Final

from moorage.kernel.netlink import NLM_F_CREATE, Message, attribute, nested, parse_attributes
from moorage.kernel.nft_messages import GENMSG_BYTES, expression, message, register_of, text, u32

NFT_MSG_NEWOBJ: Final = 18
_NFT_MSG_GETOBJ: Final = 19
_NFT_MSG_DELOBJ: Final = 20

_NFTA_OBJ_TABLE: Final = 1
_NFTA_OBJ_NAME: Final = 2
_NFTA_OBJ_TYPE: Final = 3
_NFTA_OBJ_DATA: Final = 4
_NFTA_COUNTER_PACKETS: Final = 2
_NFTA_QUOTA_BYTES: Final = 1
_NFTA_QUOTA_FLAGS: Final = 2
_NFTA_QUOTA_CONSUMED: Final = 4
_NFTA_OBJREF_IMM_TYPE: Final = 1
_NFTA_OBJREF_IMM_NAME: Final = 2
_NFTA_OBJREF_SET_SREG: Final = 3
_NFTA_OBJREF_SET_NAME: Final = 4

_NFT_OBJECT_COUNTER: Final = 1
NFT_OBJECT_QUOTA: Final = 2
_NFT_QUOTA_F_INV: Final = 1
"""The quota matches once it is spent, not before."""


def new_counter(table: str, name: str) -> Message:
    """Make a counter that begins at 0."""
    return _new(table, name, _NFT_OBJECT_COUNTER)


def list_counters(table: str) -> Message:
    """Ask for the counters of ``table``; the answers are for `parse_counter`."""
    return _list(table, _NFT_OBJECT_COUNTER)


def parse_counter(answer: Message) -> tuple[str, int]:
    """Name and packets of a counter."""
    attributes = parse_attributes(answer.payload, GENMSG_BYTES)
    data = parse_attributes(attributes[_NFTA_OBJ_DATA])
    return _name(attributes), int.from_bytes(data[_NFTA_COUNTER_PACKETS], "big")


def count(counter: str) -> bytes:
    """The expression that adds the packet to a counter of the table."""
    return expression(
        "objref",
        u32(_NFTA_OBJREF_IMM_TYPE, _NFT_OBJECT_COUNTER),
        text(_NFTA_OBJREF_IMM_NAME, counter),
    )


def new_quota(table: str, name: str, limit: int, used: int) -> Message:
    """Make a quota of ``limit`` bytes, of which ``used``, not more, are used already."""
    return _new(
        table,
        name,
        NFT_OBJECT_QUOTA,
        _u64(_NFTA_QUOTA_BYTES, limit),
        u32(_NFTA_QUOTA_FLAGS, _NFT_QUOTA_F_INV),
        _u64(_NFTA_QUOTA_CONSUMED, used),
    )


def delete_quota(table: str, name: str) -> Message:
    """Delete a quota that no set names; it must exist."""
    return message(
        _NFT_MSG_DELOBJ,
        text(_NFTA_OBJ_TABLE, table),
        text(_NFTA_OBJ_NAME, name),
        u32(_NFTA_OBJ_TYPE, NFT_OBJECT_QUOTA),
    )


def list_quotas(table: str) -> Message:
    """Ask for the quotas of ``table``; the answers are for `parse_quota`."""
    return _list(table, NFT_OBJECT_QUOTA)


def parse_quota(answer: Message) -> tuple[str, str, int, int] | None:
    """Table, name, limit and used bytes of a quota; none if it is another object."""
    attributes = parse_attributes(answer.payload, GENMSG_BYTES)
    if int.from_bytes(attributes[_NFTA_OBJ_TYPE], "big") != NFT_OBJECT_QUOTA:
        return None
    data = parse_attributes(attributes[_NFTA_OBJ_DATA])
    limit, used = (
        int.from_bytes(data[kind], "big") for kind in (_NFTA_QUOTA_BYTES, _NFTA_QUOTA_CONSUMED)
    )
    table = attributes[_NFTA_OBJ_TABLE].rstrip(b"\0").decode()
    return table, _name(attributes), limit, used


def use_object_of(set_: str) -> bytes:
    """The expression that uses the object to which a set maps the first registers."""
    return expression(
        "objref",
        register_of(_NFTA_OBJREF_SET_SREG, 0),
        text(_NFTA_OBJREF_SET_NAME, set_),
    )


def _new(table: str, name: str, type_: int, *data: bytes) -> Message:
    return message(
        NFT_MSG_NEWOBJ,
        text(_NFTA_OBJ_TABLE, table),
        text(_NFTA_OBJ_NAME, name),
        u32(_NFTA_OBJ_TYPE, type_),
        nested(_NFTA_OBJ_DATA, *data),
        flags=NLM_F_CREATE,
    )


def _list(table: str, type_: int) -> Message:
    return message(_NFT_MSG_GETOBJ, text(_NFTA_OBJ_TABLE, table), u32(_NFTA_OBJ_TYPE, type_))


def _name(attributes: dict[int, bytes]) -> str:
    return attributes[_NFTA_OBJ_NAME].rstrip(b"\0").decode()


def _u64(kind: int, number: int) -> bytes:
    return attribute(kind, number.to_bytes(8, "big"))
