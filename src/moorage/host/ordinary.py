"""The ordinary addresses: what the kernel forms from router advertisements.

They come from the serving gateway's prefix without any guarantee, which is the draft's definition
of Non-persistent (section 3.2), so that type works on every network of today.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address

from moorage.host.attachment import Attachment
from moorage.kernel.addresses import Address

_FOREVER = float("inf")


class OrdinaryAddresses:
    """The ordinary addresses on the host's interfaces, and the sockets that asked for one."""

    def __init__(self) -> None:
        self._addresses: dict[tuple[int, IPv6Address], Address] = {}
        self._users: dict[IPv6Address, set[int]] = {}
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
        """Take in an address of the kernel's; return whether it has just become deprecated."""
        key = (address.interface, address.address)
        before = self._addresses.get(key)
        self._addresses[key] = address
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
        return True

    def find(self, address: IPv6Address) -> Address | None:
        """Return what is known of an address, if it is one of these."""
        return next((x for (_, key), x in self._addresses.items() if key == address), None)

    def valid_for(self, address: IPv6Address, now: float) -> float:
        """Return how many seconds are left to one of these addresses."""
        return self._valid_until[address] - now

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

    def best(self, attached: Iterable[Attachment], *, advertised: bool) -> Address | None:
        """Return the address for a new socket: of the first attachment that has one.

        With ``advertised``, only of a prefix that a router of the present link advertises: right
        after a move, the kernel still has the addresses of the link before.
        """
        for attachment in attached:
            for address in self._addresses.values():
                if address.interface != attachment.interface:
                    continue
                if not address.usable or address.deprecated:
                    continue
                if not advertised or any(address.address in p for p in attachment.prefixes):
                    return address
        return None

    def take_foreign(self, attachment: Attachment) -> frozenset[IPv6Address]:
        """Remove and return the autoconfigured addresses that the link does not advertise."""
        return self._take(
            address
            for address in self._addresses.values()
            if address.interface == attachment.interface
            and not any(address.address in prefix for prefix in attachment.prefixes)
        )

    def take_all(self, interface: int) -> frozenset[IPv6Address]:
        """Remove and return the autoconfigured addresses of an interface."""
        return self._take(a for a in self._addresses.values() if a.interface == interface)

    def interfaces(self) -> frozenset[int]:
        """Return the interfaces that have autoconfigured addresses."""
        return frozenset(a.interface for a in self._addresses.values() if a.autoconfigured)

    def opened(self, address: IPv6Address, cookie: int) -> None:
        """Note that a socket was given ``address``."""
        self._users.setdefault(address, set()).add(cookie)

    def given_to(self, cookie: int) -> list[IPv6Address]:
        """Return the addresses that a socket was given."""
        return [address for address, users in self._users.items() if cookie in users]

    def closed(self, cookie: int) -> None:
        """Note that a socket has ended."""
        for users in self._users.values():
            users.discard(cookie)

    def take_users(self, address: IPv6Address) -> frozenset[int]:
        """Forget and return the sockets that were given ``address``."""
        return frozenset(self._users.pop(address, ()))

    def _take(self, addresses: Iterable[Address]) -> frozenset[IPv6Address]:
        taken = [address for address in addresses if address.autoconfigured]
        for address in taken:
            self.removed(address)
        return frozenset(address.address for address in taken)
