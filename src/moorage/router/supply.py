"""Where leases come from, and where they end: prefixes of a router, addresses of a link."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from ipaddress import IPv6Network
from typing import Final, Protocol

from moorage.router.outcomes import Association
from moorage.router.pool import Pool
from moorage.service import ServiceType
from moorage.store.model import Binding
from moorage.wire.dhcp6 import IaNa

Taken = Callable[[IPv6Network], bool]

_INTERFACE_ID: Final = (1 << 64) - 1
_RESERVED: Final = (
    (0, 0),
    (0x0200_5EFF_FE00_0000, 0x0200_5EFF_FEFF_FFFF),
    (0xFDFF_FFFF_FFFF_FF80, 0xFDFF_FFFF_FFFF_FFFF),
)
"""Interface identifiers that no host may have, first and last (RFC 5453, RFC 7136)."""


class Supply(Protocol):
    """What leases of one kind are taken from, at one place."""

    def draw(self, client: bytes, ia: Association, taken: Taken) -> IPv6Network | None:
        """Return something that is not ``taken``; None: there is nothing left."""

    def ends(self, binding: Binding) -> bool:
        """Tell whether a binding comes to its end where its client is now."""


class Prefixes:
    """The prefixes that a router delegates; all but the Non-persistent ones may be used anywhere.

    Args:
        pool: what they are drawn from.
        router: the router's id.
    """

    def __init__(self, pool: Pool, router: str) -> None:
        self._pool = pool
        self._router = router

    def draw(self, client: bytes, ia: Association, taken: Taken) -> IPv6Network | None:
        """Return the first prefix that the client wishes for and may have, or a random one.

        All prefixes are of one length, so that a hint at another changes nothing (RFC 8168
        section 3.2 lets the client decide whether it can use what it is given).
        """
        for wish in listed(ia):
            if wish in self._pool and not taken(wish):
                return wish
        return self._pool.draw(taken)

    def ends(self, binding: Binding) -> bool:
        """Tell whether a binding comes to its end where its client is now."""
        return binding.anchor != self._router and binding.type is ServiceType.NON_PERSISTENT


class Addresses:
    """The single addresses that the routers of one link assign, and which are of use there alone.

    The first choice is made of the client's names, so that what is advertised to a client is what
    it gets later; nobody else can foresee it. What a client wishes for does not count: on a link
    with stateless addresses it might be somebody's already.

    Args:
        pool: what they are drawn from.
        networks: the prefixes of the link.
        secret: what nobody else knows.
    """

    def __init__(self, pool: Pool, networks: tuple[IPv6Network, ...], secret: bytes) -> None:
        self._pool = pool
        self._networks = networks
        self._secret = secret

    def draw(self, client: bytes, ia: Association, taken: Taken) -> IPv6Network | None:
        """Return an address that is neither taken nor reserved; None: there is none left."""

        def out_of_question(address: IPv6Network) -> bool:
            return _is_reserved(address) or taken(address)

        name = self._secret + ia.iaid.to_bytes(4, "big") + client
        number = int.from_bytes(hashlib.sha256(name).digest(), "big")
        choice = self._pool.part(number % self._pool.size)
        return self._pool.draw(out_of_question) if out_of_question(choice) else choice

    def ends(self, binding: Binding) -> bool:
        """Tell whether a binding comes to its end where its client is now."""
        return not on_link([binding.prefix], self._networks)


def listed(ia: Association) -> tuple[IPv6Network, ...]:
    """Return the leases that a client lists; ``::`` is a hint at a length, and no lease."""
    if isinstance(ia, IaNa):
        return tuple([IPv6Network(lease.address) for lease in ia.addresses])
    return tuple(
        [lease.prefix for lease in ia.prefixes if not lease.prefix.network_address.is_unspecified]
    )


def on_link(addresses: Iterable[IPv6Network], networks: Iterable[IPv6Network]) -> bool:
    """Tell whether all addresses are of the networks of a link."""
    return all(any(address.subnet_of(network) for network in networks) for address in addresses)


def _is_reserved(address: IPv6Network) -> bool:
    identifier = int(address.network_address) & _INTERFACE_ID
    return any(first <= identifier <= last for first, last in _RESERVED)
