"""Which keys an etcd store has, and what stands in them.

Below the prefix of the store, all numbers in network byte order:

=====================  ==========================================  ==========================
key                    for                                         value
=====================  ==========================================  ==========================
``state/binding/`` P   each binding; P: address (16), length (1)   seq (8), columns (msgpack)
``state/router/`` id   each router                                 columns (msgpack)
``state/present/`` id  each router whose lease lasts; the key      nothing
                       hangs on a lease of etcd
``state/anchor/`` id   each anchor                                 epoch (8), columns (msgpack)
``index/`` N           each held binding; N: length of the DUID    P
                       (1), DUID, IAID (4), 1 for an address
``index/`` N P         each released binding                       P
=====================  ==========================================  ==========================

Seq and epoch come first so that etcd itself can compare them. Watchers follow ``state/`` alone. A
name is held once since it is a key, and the bindings of a client are a range of keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Final

import msgspec

from moorage.store.model import Anchor, Binding, Router
from moorage.store.protocol import (
    AnchorChanged,
    BindingChanged,
    BindingGone,
    Event,
    RouterChanged,
    RouterGone,
)
from moorage.store.rows import (
    Row,
    RowError,
    anchor_of,
    anchor_row,
    binding_of,
    binding_row,
    prefix_row,
    router_of,
    router_row,
)

_ADDRESS_BYTES: Final = 16
_NUMBER_BYTES: Final = 8


def range_end(start: bytes) -> bytes:
    """Return the end of the range of all keys that begin with ``start``."""
    rising = start.rstrip(b"\xff")  # a DUID may end in these
    return rising[:-1] + bytes([rising[-1] + 1])


def pack_number(number: int) -> bytes:
    """Return what the value of a binding with this seq, or an anchor at this epoch, begins with."""
    return number.to_bytes(_NUMBER_BYTES, "big")


def pack_binding(binding: Binding) -> bytes:
    """Return the value of a binding's key."""
    return pack_number(binding.seq) + msgspec.msgpack.encode(binding_row(binding)[2:])


def pack_router(router: Router) -> bytes:
    """Return the value of a router's key."""
    return msgspec.msgpack.encode(router_row(router))


def pack_anchor(anchor: Anchor) -> bytes:
    """Return the value of an anchor's key."""
    return pack_number(anchor.epoch) + msgspec.msgpack.encode(anchor_row(anchor))


def epoch_of(value: bytes) -> int:
    """Return the epoch of an anchor, from the value of its key."""
    return int.from_bytes(value[:_NUMBER_BYTES], "big")


def pack_prefix(prefix: IPv6Network) -> bytes:
    """Return what stands for a prefix in keys, ordered as prefixes are."""
    address, length = prefix_row(prefix)
    return bytes(address) + bytes([length])


def prefix_of(packed: bytes) -> IPv6Network:
    """Return the prefix that stands in a key.

    Raises:
        RowError: it is none.
    """
    try:
        return IPv6Network((packed[:_ADDRESS_BYTES], packed[_ADDRESS_BYTES]))
    except (ValueError, IndexError) as error:
        raise RowError(f"{packed.hex()}: no prefix: {error}") from error


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of a store whose keys begin with ``root``."""

    root: bytes

    @property
    def state(self) -> bytes:
        """What all keys begin with that watchers follow."""
        return self.root + b"state/"

    @property
    def bindings(self) -> bytes:
        """What all keys of bindings begin with."""
        return self.root + b"state/binding/"

    @property
    def routers(self) -> bytes:
        """What all keys of routers begin with."""
        return self.root + b"state/router/"

    @property
    def present(self) -> bytes:
        """What the keys of all routers begin with whose lease lasts."""
        return self.root + b"state/present/"

    @property
    def anchors(self) -> bytes:
        """What all keys of anchors begin with."""
        return self.root + b"state/anchor/"

    @property
    def index(self) -> bytes:
        """What all keys of the index begin with."""
        return self.root + b"index/"

    def binding(self, prefix: IPv6Network) -> bytes:
        """Return the key of a prefix's binding."""
        return self.bindings + pack_prefix(prefix)

    def router(self, name: str) -> bytes:
        """Return the key of a router."""
        return self.routers + name.encode()

    def presence(self, router: str) -> bytes:
        """Return the key that is there while a router's lease lasts."""
        return self.present + router.encode()

    def anchor(self, name: str) -> bytes:
        """Return the key of an anchor."""
        return self.anchors + name.encode()

    def client(self, client: bytes) -> bytes:
        """Return what the keys of a client's bindings in the index begin with."""
        return self.index + bytes([len(client)]) + client

    def name(self, binding: Binding) -> bytes:
        """Return the key that only one held binding can have."""
        iaid = binding.iaid.to_bytes(4, "big")
        return self.client(binding.client) + iaid + bytes([binding.is_address])

    def entry(self, binding: Binding) -> bytes:
        """Return the key of a binding in the index."""
        return self.name(binding) + (b"" if binding.held else pack_prefix(binding.prefix))

    def binding_of(self, key: bytes, value: bytes) -> Binding:
        """Return the binding that stands at a key.

        Raises:
            RowError: no store writes that.
        """
        prefix = prefix_of(key.removeprefix(self.bindings))
        return binding_of((*prefix_row(prefix), *_columns(key, value[_NUMBER_BYTES:])))

    def router_of(self, key: bytes, value: bytes) -> Router:
        """Return the router that stands at a key.

        Raises:
            RowError: no store writes that.
        """
        return router_of(_columns(key, value))

    def present_of(self, key: bytes) -> str:
        """Return the id of the router that a key says to be there."""
        return key.removeprefix(self.present).decode()

    def anchor_of(self, key: bytes, value: bytes) -> Anchor:
        """Return the anchor that stands at a key.

        Raises:
            RowError: no store writes that.
        """
        return anchor_of(_columns(key, value[_NUMBER_BYTES:]))

    def event_of(self, revision: int, key: bytes, value: bytes | None) -> Event | None:
        """Return what it means that a key below `state` has a value now, or (None) is gone.

        None: it means nothing. A lease that begins comes with a registration, which does.

        Raises:
            RowError: no store does that.
        """
        if key.startswith(self.bindings):
            if value is None:
                return BindingGone(revision, prefix_of(key.removeprefix(self.bindings)))
            return BindingChanged(revision, self.binding_of(key, value))
        if key.startswith(self.present):
            return RouterGone(revision, self.present_of(key)) if value is None else None
        if value is not None and key.startswith(self.routers):
            return RouterChanged(revision, self.router_of(key, value))
        if value is not None and key.startswith(self.anchors):
            return AnchorChanged(revision, self.anchor_of(key, value))
        raise RowError(f"nothing of ours happens so to {key!r}")


def _columns(key: bytes, packed: bytes) -> Row:
    try:
        return msgspec.msgpack.decode(packed, type=Row)
    except msgspec.MsgspecError as error:
        raise RowError(f"the value of {key!r} is damaged: {error}") from error
