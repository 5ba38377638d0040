"""Where leases come from, and where they end: prefixes of a router, addresses of a link."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPV6LENGTH, IPv6Network
from typing import Final, Protocol

from moorage.router.outcomes import Association
from moorage.router.pool import Pool, shared_out
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

    def suits(self, ia: Association, lease: IPv6Network) -> bool:
        """Whether a client that asks anew would rather go on with ``lease`` than get another."""

    def ends(self, binding: Binding) -> bool:
        """Tell whether a binding comes to its end where its client is now."""


class Prefixes:
    """The prefixes that a router delegates; all but the Non-persistent ones may be used anywhere.

    Args:
        network: what they are part of.
        lengths: those that they may have; the first is for who hints at none.
        router: the router's id.
    """

    def __init__(self, network: IPv6Network, lengths: Sequence[int], router: str) -> None:
        self._network = network
        self._lengths = lengths
        self._shortest = min(lengths)
        self._pools = shared_out(network, lengths)
        self._router = router
        self._spoilt: dict[int, set[int]] = {}

    def keep_off(self, given: Iterable[IPv6Network]) -> None:
        """Draw nothing that overlaps what was ``given`` while there were other lengths.

        Such a prefix spoils its whole block, until this is called anew.
        """
        spoilt: defaultdict[int, set[int]] = defaultdict(set)
        for prefix in given:
            if prefix.overlaps(self._network) and prefix not in self:
                length = min(prefix.prefixlen, self._shortest)
                spoilt[length].add(_number(prefix, length))
        self._spoilt = dict(spoilt)

    def __contains__(self, prefix: IPv6Network) -> bool:
        """Whether ``prefix`` is one of those that are delegated."""
        pool = self._pools.get(prefix.prefixlen)
        return pool is not None and prefix in pool

    def draw(self, client: bytes, ia: Association, taken: Taken) -> IPv6Network | None:
        """Return the first prefix that the client wishes for and may have, or a random one.

        That is of the length that it hints at, or the nearest shorter one, or else the nearest
        longer one (RFC 8168 section 3.2).
        """

        def out_of_question(prefix: IPv6Network) -> bool:
            return self._is_spoilt(prefix) or taken(prefix)

        for wish in listed(ia):
            if wish in self and not out_of_question(wish):
                return wish
        for length in self._by_preference(_hint(ia)):
            prefix = self._pools[length].draw(out_of_question)
            if prefix is not None:
                return prefix
        return None

    def suits(self, ia: Association, lease: IPv6Network) -> bool:
        """Whether a client that asks anew would rather go on with ``lease`` than get another.

        Not if it hints at another length and does not name the prefix: then it wants that length,
        whatever it had before (RFC 8168 section 3.1).
        """
        hint = _hint(ia)
        return (
            hint is None
            or lease.prefixlen in (hint, self._by_preference(hint)[0])
            or lease in listed(ia)
        )

    def ends(self, binding: Binding) -> bool:
        """Tell whether a binding comes to its end where its client is now."""
        return binding.anchor != self._router and binding.type is ServiceType.NON_PERSISTENT

    def _by_preference(self, hint: int | None) -> list[int]:
        wanted = self._lengths[0] if hint is None else hint
        return sorted(self._lengths, key=lambda length: (length > wanted, abs(length - wanted)))

    def _is_spoilt(self, prefix: IPv6Network) -> bool:
        spoilt = self._spoilt.items()
        return any(_number(prefix, length) in numbers for length, numbers in spoilt)


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

    def suits(self, ia: Association, lease: IPv6Network) -> bool:
        """Tell that one address is as good as another."""
        return True

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


def _hint(ia: Association) -> int | None:
    """Return the length that a client asks for: hinted at alone, or that of what it lists."""
    if isinstance(ia, IaNa):
        return None
    prefixes = [lease.prefix for lease in ia.prefixes]
    hints = [each.prefixlen for each in prefixes if each.network_address.is_unspecified]
    lengths = hints or [each.prefixlen for each in prefixes]
    # "::/0" says that the client has no wish at all (RFC 8415 section 21.22).
    return lengths[0] or None if lengths else None


def on_link(addresses: Iterable[IPv6Network], networks: Iterable[IPv6Network]) -> bool:
    """Tell whether all addresses are of the networks of a link."""
    return all(any(address.subnet_of(network) for network in networks) for address in addresses)


def _number(prefix: IPv6Network, length: int) -> int:
    """Return the first bits of a prefix as a number."""
    return int(prefix.network_address) >> (IPV6LENGTH - length)


def _is_reserved(address: IPv6Network) -> bool:
    identifier = int(address.network_address) & _INTERFACE_ID
    return any(first <= identifier <= last for first, last in _RESERVED)
