"""The Prefix Exclude option (RFC 6603 section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPV6LENGTH, IPv6Network
from typing import ClassVar, Final, Self

from moorage.wire.errors import WireError
from moorage.wire.layout import Layout

# length of the excluded prefix
_PREFIX_EXCLUDE: Final = Layout("DHCPv6 prefix exclude", "B")
_OCTET: Final = 8
_LONGEST_ID: Final = IPV6LENGTH // _OCTET


@dataclass(frozen=True, slots=True)
class PrefixExclude:
    """The part of a delegated prefix that its client must not use; stands in the `IaPrefix`.

    Attributes:
        length: length of the excluded prefix.
        subnet_id: its bits behind the delegated prefix, padded with zeros to whole octets.
    """

    option_code: ClassVar[int] = 67
    length: int
    subnet_id: bytes

    @classmethod
    def of(cls, delegated: IPv6Network, excluded: IPv6Network) -> Self:
        """Return the option for ``excluded``, which lies in ``delegated`` and is longer.

        Raises:
            ValueError: it does not.
        """
        bits = excluded.prefixlen - delegated.prefixlen
        if bits <= 0 or not excluded.subnet_of(delegated):
            raise ValueError(f"{excluded} is no part of {delegated}")
        size = -(-bits // _OCTET)
        subnet = int(excluded.network_address) >> (IPV6LENGTH - excluded.prefixlen)
        subnet &= (1 << bits) - 1
        return cls(excluded.prefixlen, (subnet << (size * _OCTET - bits)).to_bytes(size, "big"))

    def within(self, delegated: IPv6Network) -> IPv6Network:
        """Return the excluded part of ``delegated``, in whose option this stood.

        Raises:
            WireError: it can be no part of it, or says more or fewer bits than it should.
        """
        bits = self.length - delegated.prefixlen
        if bits <= 0 or len(self.subnet_id) != -(-bits // _OCTET):
            what = f"{len(self.subnet_id)} octets for a /{self.length} of {delegated}"
            raise WireError(_PREFIX_EXCLUDE.where, what)
        subnet = int.from_bytes(self.subnet_id, "big") >> (len(self.subnet_id) * _OCTET - bits)
        start = int(delegated.network_address) | subnet << (IPV6LENGTH - self.length)
        return IPv6Network((start, self.length))

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return _PREFIX_EXCLUDE.pack(self.length) + self.subnet_id

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        (length,), subnet_id = _PREFIX_EXCLUDE.split(data)
        if not 1 <= len(subnet_id) <= _LONGEST_ID or length > IPV6LENGTH:
            what = f"prefix length {length} with {len(subnet_id)} octets"
            raise WireError(_PREFIX_EXCLUDE.where, what)
        return cls(length, subnet_id)
