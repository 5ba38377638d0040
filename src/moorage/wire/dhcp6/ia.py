"""Identity associations and their leases (RFC 8415 sections 21.4 to 21.6, 21.21 and 21.22).

Times are seconds, 0xFFFFFFFF is forever. That T1 is not after T2 and preferred not longer than
valid are rules for the receiver of a message, not for its format.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPV6LENGTH, IPv6Address, IPv6Network
from typing import ClassVar, Final, Self

from moorage.wire.dhcp6.exclude import PrefixExclude
from moorage.wire.dhcp6.option import (
    Decoders,
    Option,
    OptionHolder,
    decode_options,
    decoders,
    encode_options,
)
from moorage.wire.dhcp6.status import StatusCode
from moorage.wire.errors import WireError
from moorage.wire.layout import Layout

# IAID, T1, T2
_IA_NA: Final = Layout("DHCPv6 IA_NA", "III")
_IA_PD: Final = Layout("DHCPv6 IA_PD", "III")
# IAID
_IA_TA: Final = Layout("DHCPv6 IA_TA", "I")
# address, preferred, valid
_IA_ADDR: Final = Layout("DHCPv6 IA address", "16s II")
# preferred, valid, prefix length, address
_IA_PREFIX: Final = Layout("DHCPv6 IA prefix", "II B 16s")
_IN_ADDRESS: Final = decoders(StatusCode)
_IN_PREFIX: Final = decoders(StatusCode, PrefixExclude)


@dataclass(frozen=True, slots=True)
class IaAddr(OptionHolder):
    """An address of an `IaNa`."""

    option_code: ClassVar[int] = 5
    address: IPv6Address
    preferred: int
    valid: int
    options: tuple[Option, ...] = ()

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        fixed = _IA_ADDR.pack(self.address.packed, self.preferred, self.valid)
        return fixed + encode_options(self.options)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        (address, preferred, valid), rest = _IA_ADDR.split(data)
        options = decode_options(rest, _IN_ADDRESS)
        return cls(IPv6Address(address), preferred, valid, options)


@dataclass(frozen=True, slots=True)
class IaPrefix(OptionHolder):
    """A prefix of an `IaPd`; ``::/64`` with lifetimes 0 hints at a length (RFC 8168).

    Bits beyond the prefix length are cleared by the decoder.
    """

    option_code: ClassVar[int] = 26
    preferred: int
    valid: int
    prefix: IPv6Network
    options: tuple[Option, ...] = ()

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        fixed = _IA_PREFIX.pack(
            self.preferred,
            self.valid,
            self.prefix.prefixlen,
            self.prefix.network_address.packed,
        )
        return fixed + encode_options(self.options)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        (preferred, valid, length, address), rest = _IA_PREFIX.split(data)
        if length > IPV6LENGTH:
            raise WireError(_IA_PREFIX.where, f"prefix length {length}")
        options = decode_options(rest, _IN_PREFIX)
        network = IPv6Network((address, length), strict=False)
        return cls(preferred, valid, network, options)


@dataclass(frozen=True, slots=True)
class _IdentityAssociation(OptionHolder):
    """The format that IA_NA and IA_PD share; ``t1`` and ``t2`` are 0 in a client's messages."""

    layout: ClassVar[Layout]
    inside: ClassVar[Decoders]
    iaid: int
    t1: int
    t2: int
    options: tuple[Option, ...] = ()

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return self.layout.pack(self.iaid, self.t1, self.t2) + encode_options(self.options)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        (iaid, t1, t2), rest = cls.layout.split(data)
        return cls(iaid, t1, t2, decode_options(rest, cls.inside))

    @property
    def status(self) -> StatusCode | None:
        """The status of the whole association; None means success."""
        return self.first(StatusCode)


@dataclass(frozen=True, slots=True)
class IaNa(_IdentityAssociation):
    """Identity association for non-temporary addresses."""

    option_code: ClassVar[int] = 3
    layout: ClassVar[Layout] = _IA_NA
    inside: ClassVar[Decoders] = decoders(IaAddr, StatusCode)

    @property
    def addresses(self) -> tuple[IaAddr, ...]:
        """The addresses of this association."""
        return self.every(IaAddr)


@dataclass(frozen=True, slots=True)
class IaPd(_IdentityAssociation):
    """Identity association for prefix delegation."""

    option_code: ClassVar[int] = 25
    layout: ClassVar[Layout] = _IA_PD
    inside: ClassVar[Decoders] = decoders(IaPrefix, StatusCode)

    @property
    def prefixes(self) -> tuple[IaPrefix, ...]:
        """The prefixes of this association."""
        return self.every(IaPrefix)


@dataclass(frozen=True, slots=True)
class IaTa(OptionHolder):
    """Identity association for temporary addresses; obsolete since RFC 9915."""

    option_code: ClassVar[int] = 4
    inside: ClassVar[Decoders] = decoders(IaAddr, StatusCode)
    iaid: int
    options: tuple[Option, ...] = ()

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return _IA_TA.pack(self.iaid) + encode_options(self.options)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        (iaid,), rest = _IA_TA.split(data)
        return cls(iaid, decode_options(rest, cls.inside))

    @property
    def addresses(self) -> tuple[IaAddr, ...]:
        """The addresses of this association."""
        return self.every(IaAddr)
