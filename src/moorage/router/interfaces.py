"""What a router sees of its interfaces and of the hosts on them, from the kernel's reports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address

from moorage.kernel.links import Link
from moorage.kernel.monitor import (
    AddressChanged,
    AddressRemoved,
    Event,
    LinkChanged,
    LinkRemoved,
    NeighbourChanged,
    NeighbourState,
)
from moorage.router.next_hop import is_in_force, is_next_hop


@dataclass(frozen=True, slots=True)
class Reindexed:
    """An interface came up, went down, or has another index: routes have to follow."""


@dataclass(frozen=True, slots=True)
class Touched:
    """Something about an access link changed that decides whether it can be served."""

    link: str


@dataclass(frozen=True, slots=True)
class HostLeft:
    """A host does not answer any longer; None: nobody does, the link has no carrier."""

    link: str
    host: IPv6Address | None


@dataclass(frozen=True, slots=True)
class HostHeard:
    """A host is there, with this link-layer address."""

    link: str
    host: IPv6Address
    mac: bytes


@dataclass(frozen=True, slots=True)
class HostForgotten:
    """The kernel has no use for a host's link-layer address at present."""

    link: str
    host: IPv6Address


@dataclass(frozen=True, slots=True)
class NextHopLost:
    """Somebody has changed or removed the neighbour that a `next_hop` is."""

    link: str
    hop: IPv6Address


News = Reindexed | Touched | HostLeft | HostHeard | HostForgotten | NextHopLost


class Interfaces:
    """The interfaces of a router.

    Attributes:
        present: those that exist, by name.
    """

    def __init__(self, access: Iterable[str]) -> None:
        self._access = frozenset(access)
        self.present: dict[str, Link] = {}

    @property
    def indexes(self) -> dict[str, int]:
        """The indexes of the interfaces that are up, by name."""
        return {link.name: link.index for link in self.present.values() if link.up}

    def look(
        self, links: Iterable[Link], neighbours: Iterable[NeighbourChanged]
    ) -> list[HostHeard]:
        """Start from a list of what there is, and return which hosts are known."""
        self.present = {link.name: link for link in links}
        news = (news for entry in neighbours for news in self._neighbour(entry))
        return [each for each in news if isinstance(each, HostHeard)]

    def take(self, event: Event) -> list[News]:
        """Take up what the kernel reports."""
        match event:
            case LinkChanged(link):
                return self._link(link)
            case LinkRemoved(_, name):
                return self._lost(name)
            case AddressChanged(address) | AddressRemoved(address):
                access = self._name(address.interface)
                if access is None or not address.address.is_link_local:
                    return []
                return [Touched(access)]
            case NeighbourChanged():
                return self._neighbour(event)
            case _:
                return []

    def _name(self, index: int) -> str | None:
        """The access link with this index."""
        for name in self._access:
            link = self.present.get(name)
            if link is not None and link.index == index:
                return name
        return None

    def _link(self, link: Link) -> list[News]:
        news: list[News] = []
        for other in list(self.present.values()):
            if other.index == link.index and other.name != link.name:
                news += self._lost(other.name)
        before = self.present.get(link.name)
        self.present[link.name] = link
        if before is None or (before.index, before.up) != (link.index, link.up):
            news.append(Reindexed())
        if link.name in self._access:
            if before is not None and before.carrier and not link.carrier:
                news.append(HostLeft(link.name, None))
            news.append(Touched(link.name))
        return news

    def _lost(self, name: str) -> list[News]:
        self.present.pop(name, None)
        news: list[News] = [Reindexed()]
        if name in self._access:
            news += [HostLeft(name, None), Touched(name)]
        return news

    def _neighbour(self, entry: NeighbourChanged) -> list[News]:
        name = self._name(entry.interface)
        if name is None or not entry.address.is_link_local:
            return []
        if is_next_hop(entry.address):
            return [] if is_in_force(entry) else [NextHopLost(name, entry.address)]
        if entry.state is NeighbourState.NONE:
            return [HostForgotten(name, entry.address)]
        if entry.state & NeighbourState.FAILED:
            return [HostLeft(name, entry.address)]
        # A question, which may be our own and name the address that it goes to, is no answer.
        if not entry.mac or entry.state & NeighbourState.PROBE:
            return []
        return [HostHeard(name, entry.address, entry.mac)]
