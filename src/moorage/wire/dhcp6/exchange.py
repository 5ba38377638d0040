"""Options that steer an exchange (RFC 8415 sections 21.7 to 21.9, 21.14, 21.23 to 21.25)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final, Self

from moorage.wire.layout import Layout

_PREFERENCE: Final = Layout("DHCPv6 preference", "B")
_ELAPSED_TIME: Final = Layout("DHCPv6 elapsed time", "H")
_RAPID_COMMIT: Final = Layout("DHCPv6 rapid commit", "")
_REFRESH_TIME: Final = Layout("DHCPv6 information refresh time", "I")
_MAX_RT: Final = Layout("DHCPv6 SOL_MAX_RT or INF_MAX_RT", "I")


@dataclass(frozen=True, slots=True)
class OptionRequest:
    """The codes of the options that the client would like to have."""

    option_code: ClassVar[int] = 6
    codes: tuple[int, ...]

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return _codes(len(self.codes)).pack(*self.codes)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        return cls(_codes(len(data) // 2).unpack(data))


@dataclass(frozen=True, slots=True)
class Preference:
    """The server's preference, 0 to 255; 255 ends the client's wait for other servers."""

    option_code: ClassVar[int] = 7
    value: int

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return _PREFERENCE.pack(self.value)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        return cls(*_PREFERENCE.unpack(data))


@dataclass(frozen=True, slots=True)
class ElapsedTime:
    """Hundredths of a second since the client began this exchange; 0xFFFF stands for longer."""

    option_code: ClassVar[int] = 8
    hundredths: int

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return _ELAPSED_TIME.pack(self.hundredths)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        return cls(*_ELAPSED_TIME.unpack(data))


@dataclass(frozen=True, slots=True)
class RapidCommit:
    """Two messages instead of four: wished for in a Solicit, done in a Reply."""

    option_code: ClassVar[int] = 14

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return _RAPID_COMMIT.pack()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        return cls(*_RAPID_COMMIT.unpack(data))


@dataclass(frozen=True, slots=True)
class InformationRefreshTime:
    """Seconds until a client without leases is to ask again; 0xFFFFFFFF: not by itself.

    A client takes less than 600 for 600; that is its rule, not the format's.
    """

    option_code: ClassVar[int] = 32
    seconds: int

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return _REFRESH_TIME.pack(self.seconds)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        return cls(*_REFRESH_TIME.unpack(data))


@dataclass(frozen=True, slots=True)
class _MaxRt:
    """A maximum retransmission time in seconds.

    The client ignores one that is not in 60 to 86400; that is its rule, not the format's.
    """

    seconds: int

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return _MAX_RT.pack(self.seconds)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        return cls(*_MAX_RT.unpack(data))


@dataclass(frozen=True, slots=True)
class SolMaxRt(_MaxRt):
    """The longest time between two Solicits."""

    option_code: ClassVar[int] = 82


@dataclass(frozen=True, slots=True)
class InfMaxRt(_MaxRt):
    """The longest time between two Information-requests."""

    option_code: ClassVar[int] = 83


@lru_cache(maxsize=64)
def _codes(count: int) -> Layout:
    return Layout("DHCPv6 option request", f"{count}H")
