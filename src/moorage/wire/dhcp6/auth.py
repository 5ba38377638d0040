"""Authentication and Reconfigure options (RFC 8415 sections 21.11, 21.19 and 21.20)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from moorage.wire.layout import Layout

# protocol, algorithm, replay detection method and value
_AUTHENTICATION: Final = Layout("DHCPv6 authentication", "BBB Q")
_RECONFIGURE_MESSAGE: Final = Layout("DHCPv6 reconfigure message", "B")
_RECONFIGURE_ACCEPT: Final = Layout("DHCPv6 reconfigure accept", "")


@dataclass(frozen=True, slots=True)
class Authentication:
    """Authentication information; what it holds depends on protocol, algorithm and RDM."""

    option_code: ClassVar[int] = 11
    protocol: int
    algorithm: int
    rdm: int
    replay_detection: int
    information: bytes

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        fixed = _AUTHENTICATION.pack(self.protocol, self.algorithm, self.rdm, self.replay_detection)
        return fixed + self.information

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        (protocol, algorithm, rdm, replay_detection), information = _AUTHENTICATION.split(data)
        return cls(protocol, algorithm, rdm, replay_detection, information)


@dataclass(frozen=True, slots=True)
class ReconfigureMessage:
    """The type of the message by which the client shall answer a Reconfigure."""

    option_code: ClassVar[int] = 19
    message_type: int

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return _RECONFIGURE_MESSAGE.pack(self.message_type)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        return cls(*_RECONFIGURE_MESSAGE.unpack(data))


@dataclass(frozen=True, slots=True)
class ReconfigureAccept:
    """The sender takes part in Reconfigure exchanges."""

    option_code: ClassVar[int] = 20

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return _RECONFIGURE_ACCEPT.pack()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        return cls(*_RECONFIGURE_ACCEPT.unpack(data))
