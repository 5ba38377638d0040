"""How bindings, routers, anchors and events stand in the rows of the SQLite file."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from sys import intern
from typing import Any

import msgspec

from moorage.service import ServiceType
from moorage.store.model import Anchor, Binding, BindingState, Router
from moorage.store.protocol import (
    AnchorChanged,
    BindingChanged,
    BindingGone,
    Event,
    RouterChanged,
    RouterGone,
)

Row = tuple[Any, ...]
"""The columns of a row: int, float, str, bytes or None each."""


class RowError(ValueError):
    """A row holds what no store writes: the file is damaged."""


def prefix_row(prefix: IPv6Network) -> Row:
    """Return the two columns of a prefix."""
    return prefix.network_address.packed, prefix.prefixlen


def binding_row(binding: Binding) -> Row:
    """Return a binding's columns in the order of the table."""
    return (
        *prefix_row(binding.prefix),
        binding.client,
        binding.iaid,
        int(binding.type),
        binding.anchor,
        binding.serving,
        binding.link,
        None if binding.next_hop is None else binding.next_hop.packed,
        binding.seq,
        binding.key,
        binding.last_time,
        binding.state.value,
        float(binding.preferred_until),
        float(binding.valid_until),
        int(binding.reconfigurable),
        binding.mac,
        binding.excluded,
    )


def binding_of(row: Row) -> Binding:
    """Return the binding whose columns these are.

    Names are interned: there are few, and a router keeps all bindings in its memory.

    Raises:
        RowError: no binding has such values.
    """
    address, length, client, iaid, kind, anchor, serving, link, next_hop, *rest = row
    seq, key, last_time, state, preferred_until, valid_until, *rest = rest
    reconfigurable, mac, excluded = rest
    try:
        return Binding(
            prefix=IPv6Network((address, length)),
            client=client,
            iaid=iaid,
            type=ServiceType(kind),
            anchor=intern(anchor),
            serving=None if serving is None else intern(serving),
            link=None if link is None else intern(link),
            next_hop=None if next_hop is None else IPv6Address(next_hop),
            seq=seq,
            key=key,
            last_time=last_time,
            state=BindingState(state),
            preferred_until=preferred_until,
            valid_until=valid_until,
            reconfigurable=bool(reconfigurable),
            mac=mac,
            excluded=excluded,
        )
    except ValueError as error:
        raise RowError(f"the binding of {address.hex()}/{length} is damaged: {error}") from error


def router_row(router: Router) -> Row:
    """Return a router's columns in the order of the table, all but the end of its lease."""
    return (
        router.id,
        router.address.packed,
        router.down_sid.packed,
        router.up_sid.packed,
        float(router.lease),
    )


def router_of(row: Row) -> Router:
    """Return the router whose columns these are.

    Raises:
        RowError: no router has such values.
    """
    name, address, down_sid, up_sid, lease = row
    try:
        return Router(
            id=name,
            address=IPv6Address(address),
            down_sid=IPv6Address(down_sid),
            up_sid=IPv6Address(up_sid),
            lease=lease,
        )
    except ValueError as error:
        raise RowError(f"a router is damaged: {error}") from error


def anchor_row(anchor: Anchor) -> Row:
    """Return an anchor's columns in the order of the table."""
    return (anchor.id, *prefix_row(anchor.pool), anchor.holder, anchor.epoch)


def anchor_of(row: Row) -> Anchor:
    """Return the anchor whose columns these are.

    Raises:
        RowError: no anchor has such values.
    """
    name, pool, length, holder, epoch = row
    try:
        return Anchor(id=name, pool=IPv6Network((pool, length)), holder=holder, epoch=epoch)
    except ValueError as error:
        raise RowError(f"an anchor is damaged: {error}") from error


def event_of(row: Row) -> Event:
    """Return the event that a row of `change` records.

    Raises:
        RowError: no event is recorded so.
    """
    revision, _, kind, packed = row
    try:
        columns = msgspec.msgpack.decode(packed, type=Row)
        match kind:
            case "binding":
                return BindingChanged(revision, binding_of(columns))
            case "gone":
                return BindingGone(revision, IPv6Network(columns))
            case "router":
                return RouterChanged(revision, router_of(columns))
            case "left":
                return RouterGone(revision, *columns)
            case "anchor":
                return AnchorChanged(revision, anchor_of(columns))
            case _:
                raise RowError(f"unknown kind {kind!r}")
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise RowError(f"the change of revision {revision} is damaged: {error}") from error
