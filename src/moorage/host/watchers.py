"""Which applications watch which addresses, and which of the host's events are notices to them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from moorage.host.actions import Notify
from moorage.host.events import (
    AddressAttached,
    AddressDeprecated,
    AddressDetached,
    AddressGone,
    AddressReleased,
    AddressReplaced,
    AddressServed,
    HostEvent,
)
from moorage.wire.notice import (
    Attached,
    Deprecated,
    Detached,
    Gone,
    Moved,
    Notice,
    Replaced,
    Why,
)

_LONGEST = 0xFFFF_FFFF


def whole_seconds(left: float) -> int:
    """Return a lifetime as a notice has it; the highest number stands for all that are longer."""
    return int(max(0, min(left, _LONGEST)))


@dataclass(slots=True)
class _Watched:
    clients: set[Hashable] = field(default_factory=set)
    detached: bool = False


class Watchers:
    """The watched addresses."""

    def __init__(self) -> None:
        self._watched: dict[IPv6Address, _Watched] = {}

    def add(self, client: Hashable, address: IPv6Address, *, detached: bool) -> None:
        """Let ``client`` know what happens to ``address``, which a link carries now or not."""
        watched = self._watched.setdefault(address, _Watched())
        watched.clients.add(client)
        watched.detached = detached

    def forget(self, client: Hashable) -> None:
        """Tell ``client`` nothing more."""
        for watched in self._watched.values():
            watched.clients.discard(client)
        self._watched = {a: watched for a, watched in self._watched.items() if watched.clients}

    def told(self, event: HostEvent) -> list[Notify]:
        """Return what the watchers of an address are told of what happened to it."""
        address = getattr(event, "address", None)
        watched = self._watched.get(address) if address is not None else None
        if watched is None:
            return []
        notice = _notice(event, watched.detached)
        if isinstance(notice, Gone):
            del self._watched[notice.address]
        if notice is None:
            return []
        if isinstance(notice, Moved | Attached | Detached):
            watched.detached = isinstance(notice, Detached)
        return [Notify(client, notice) for client in watched.clients]


def _notice(event: HostEvent, detached: bool) -> Notice | None:
    match event:
        case AddressServed(address=address, moved=True):
            return Moved(address)
        case AddressServed(address=address) | AddressAttached(address=address) if detached:
            return Attached(address)
        case AddressDetached(address=address):
            return Detached(address)
        case AddressDeprecated(address=address):
            return Deprecated(address, whole_seconds(event.valid_for))
        case AddressReplaced(address=address):
            return Replaced(address, event.by, whole_seconds(event.valid_for))
        case AddressReleased(address=address):
            return Gone(address, Why.RELEASED)
        case AddressGone(address=address):
            return Gone(address, event.why)
        case _:
            return None
