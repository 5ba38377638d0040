"""The ordinary addresses: what the kernel, or we ourselves, form from router advertisements.

They come from the serving gateway's prefix without any guarantee, which is the draft's definition
of Non-persistent (section 3.2), so that type works on every network of today.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address

from moorage.host.attachment import Attachment
from moorage.kernel.addresses import Address, AddressFlags
from moorage.numbers import ROUTE_PROTOCOL

_FOREVER = float("inf")


def ours(address: Address) -> bool:
    """Whether we formed an address ourselves (`moorage.host.temporary`)."""
    return address.protocol == ROUTE_PROTOCOL


class OrdinaryAddresses:
    """The ordinary addresses on the host's interfaces, and the sockets that asked for one."""

    def __init__(self) -> None:
        self._addresses: dict[tuple[int, IPv6Address], Address] = {}
        self._users: dict[IPv6Address, set[int]] = {}
        self._since: dict[IPv6Address, float] = {}
        self._valid_until: dict[IPv6Address, float] = {}
        self._detached: set[IPv6Address] = set()

    @property
    def addresses(self) -> frozenset[IPv6Address]:
        """All of them."""
        return frozenset(address for _, address in self._addresses)

    def users(self, address: IPv6Address) -> int:
        """Return how many sockets were given ``address``."""
        return len(self._users.get(address, ()))

    def changed(self, address: Address, now: float) -> bool:
        """Take in an address of the kernel's; return whether it has just become deprecated.

        One of our own is deprecated in the kernel from the start, lest it choose it by itself; here
        it is when `deprecate` says so.
        """
        key = (address.interface, address.address)
        before = self._addresses.get(key)
        if ours(address) and not (before is not None and before.deprecated):
            address = replace(address, flags=address.flags & ~AddressFlags.DEPRECATED)
        self._addresses[key] = address
        self._since.setdefault(address.address, now - address.age)
        valid = _FOREVER if address.valid is None else address.valid
        self._valid_until[address.address] = now + valid
        return before is not None and address.deprecated and not before.deprecated

    def removed(self, address: Address) -> bool:
        """Take in that an address is gone; return whether that is news."""
        known = self._addresses.pop((address.interface, address.address), None) is not None
        if not known or self.find(address.address) is not None:
            return False
        self._detached.discard(address.address)
        del self._valid_until[address.address]
        del self._since[address.address]
        return True

    def deprecate(self, address: IPv6Address) -> None:
        """Give an address to no more sockets."""
        for key, known in self._addresses.items():
            if known.address == address:
                flags = known.flags | AddressFlags.DEPRECATED
                self._addresses[key] = replace(known, flags=flags)

    def forget(self, address: IPv6Address) -> None:
        """Forget an address of our own, before the kernel says that it has it no more."""
        self._users.pop(address, None)
        known = self.find(address)
        if known is not None:
            self.removed(known)

    def find(self, address: IPv6Address) -> Address | None:
        """Return what is known of an address, if it is one of these."""
        return next((x for (_, key), x in self._addresses.items() if key == address), None)

    def valid_for(self, address: IPv6Address, now: float) -> float:
        """Return how many seconds are left to one of these addresses."""
        return self._valid_until[address] - now

    def since(self, address: IPv6Address) -> float:
        """Return when one of these addresses came to be, which may be before the daemon did."""
        return self._since[address]

    def detach(self, interface: int) -> list[IPv6Address]:
        """Return the addresses of an interface that has left its link."""
        left = [x.address for x in self._addresses.values() if x.interface == interface]
        self._detached.update(left)
        return left

    def attach(self, attachment: Attachment) -> list[IPv6Address]:
        """Return the addresses that were detached and are of a link that is there again."""
        back = [
            x.address
            for x in self._addresses.values()
            if x.interface == attachment.interface
            and x.address in self._detached
            and any(x.address in prefix for prefix in attachment.prefixes)
        ]
        self._detached.difference_update(back)
        return back

    def is_detached(self, address: IPv6Address) -> bool:
        """Whether the link of an address is gone."""
        return address in self._detached

    def candidates(self, attached: Iterable[Attachment], *, advertised: bool) -> list[Address]:
        """Return the addresses for a new socket: those of the first attachment first.

        With ``advertised``, only of a prefix that a router of the present link advertises: right
        after a move, the kernel still has the addresses of the link before.
        """
        return [
            address
            for attachment in attached
            for address in self._addresses.values()
            if address.interface == attachment.interface
            and address.usable
            and not address.deprecated
            and (not advertised or any(address.address in p for p in attachment.prefixes))
        ]

    def used(self) -> list[Address]:
        """Return the addresses that sockets were given."""
        return [x for x in self._addresses.values() if self._users.get(x.address)]

    def users_of(self, address: IPv6Address) -> set[int]:
        """Return the cookies of the sockets that were given ``address``: always the same set."""
        return self._users.setdefault(address, set())

    def foreign(self, attachment: Attachment) -> list[Address]:
        """Return the formed addresses that the link does not advertise."""
        return [
            address
            for address in self._addresses.values()
            if address.interface == attachment.interface
            and (address.autoconfigured or ours(address))
            and not any(address.address in prefix for prefix in attachment.prefixes)
        ]

    def take_foreign(self, attachment: Attachment) -> frozenset[IPv6Address]:
        """Remove and return the formed addresses that the link does not advertise."""
        return self._take(self.foreign(attachment))

    def take_all(self, interface: int) -> frozenset[IPv6Address]:
        """Remove and return the formed addresses of an interface."""
        return self._take(a for a in self._addresses.values() if a.interface == interface)

    def interfaces(self) -> frozenset[int]:
        """Return the interfaces that have formed addresses."""
        return frozenset(
            a.interface for a in self._addresses.values() if a.autoconfigured or ours(a)
        )

    def opened(self, address: IPv6Address, cookie: int) -> None:
        """Note that a socket was given ``address``."""
        self.users_of(address).add(cookie)

    def given_to(self, cookie: int) -> list[IPv6Address]:
        """Return the addresses that a socket was given."""
        return [address for address, users in self._users.items() if cookie in users]

    def closed(self, cookie: int) -> bool:
        """Note that a socket has ended; return whether it was the last one on an address."""
        emptied = False
        for users in self._users.values():
            if cookie in users:
                users.discard(cookie)
                emptied = emptied or not users
        return emptied

    def take_users(self, address: IPv6Address) -> frozenset[int]:
        """Forget and return the sockets that were given ``address``."""
        return frozenset(self._users.pop(address, ()))

    def _take(self, addresses: Iterable[Address]) -> frozenset[IPv6Address]:
        taken = [address for address in addresses if address.autoconfigured or ours(address)]
        for address in taken:
            self.removed(address)
        return frozenset(address.address for address in taken)
