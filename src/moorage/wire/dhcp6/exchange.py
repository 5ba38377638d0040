"""Options that steer an exchange (RFC 8415 sections 21.7 to 21.9, 21.14, 21.24 and 21.25)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, unpack
from typing import ClassVar, Self

from moorage.wire.dhcp6.fields import need_exactly, pack
from moorage.wire.errors import WireError

_U8 = Struct("!B")
_U16 = Struct("!H")
_U32 = Struct("!I")


@dataclass(frozen=True, slots=True)
class OptionRequest:
    """The codes of the options that the client would like to have."""

    option_code: ClassVar[int] = 6
    codes: tuple[int, ...]

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return pack(Struct(f"!{len(self.codes)}H"), *self.codes)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        if len(data) % 2:
            raise WireError("DHCPv6 option request", f"odd length {len(data)}")
        return cls(unpack(f"!{len(data) // 2}H", data))


@dataclass(frozen=True, slots=True)
class Preference:
    """The server's preference, 0 to 255; 255 ends the client's wait for other servers."""

    option_code: ClassVar[int] = 7
    value: int

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return pack(_U8, self.value)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        need_exactly("DHCPv6 preference", data, _U8.size)
        return cls(data[0])


@dataclass(frozen=True, slots=True)
class ElapsedTime:
    """Hundredths of a second since the client began this exchange; 0xFFFF stands for longer."""

    option_code: ClassVar[int] = 8
    hundredths: int

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return pack(_U16, self.hundredths)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        need_exactly("DHCPv6 elapsed time", data, _U16.size)
        return cls(*_U16.unpack(data))


@dataclass(frozen=True, slots=True)
class RapidCommit:
    """Two messages instead of four: wished for in a Solicit, done in a Reply."""

    option_code: ClassVar[int] = 14

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return b""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        need_exactly("DHCPv6 rapid commit", data, 0)
        return cls()


@dataclass(frozen=True, slots=True)
class _MaximumRetransmission:
    """A maximum retransmission time in seconds.

    The client ignores one that is not in 60 to 86400; that is its rule, not the format's.
    """

    seconds: int

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return pack(_U32, self.seconds)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        need_exactly("DHCPv6 SOL_MAX_RT or INF_MAX_RT", data, _U32.size)
        return cls(*_U32.unpack(data))


@dataclass(frozen=True, slots=True)
class SolMaxRt(_MaximumRetransmission):
    """The longest time between two Solicits."""

    option_code: ClassVar[int] = 82


@dataclass(frozen=True, slots=True)
class InfMaxRt(_MaximumRetransmission):
    """The longest time between two Information-requests."""

    option_code: ClassVar[int] = 83
