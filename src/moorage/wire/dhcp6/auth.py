"""Authentication and Reconfigure options (RFC 8415 sections 21.11, 21.19 and 21.20)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from moorage.wire.dhcp6.fields import need_at_least, need_exactly, pack

_AUTHENTICATION = Struct("!BBBQ")
_MESSAGE_TYPE = Struct("!B")


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
        fixed = pack(
            _AUTHENTICATION, self.protocol, self.algorithm, self.rdm, self.replay_detection
        )
        return fixed + self.information

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        need_at_least("DHCPv6 authentication", data, _AUTHENTICATION.size)
        protocol, algorithm, rdm, replay_detection = _AUTHENTICATION.unpack_from(data)
        information = data[_AUTHENTICATION.size :]
        return cls(protocol, algorithm, rdm, replay_detection, information)


@dataclass(frozen=True, slots=True)
class ReconfigureMessage:
    """The type of the message by which the client shall answer a Reconfigure."""

    option_code: ClassVar[int] = 19
    message_type: int

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return pack(_MESSAGE_TYPE, self.message_type)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        need_exactly("DHCPv6 reconfigure message", data, _MESSAGE_TYPE.size)
        return cls(data[0])


@dataclass(frozen=True, slots=True)
class ReconfigureAccept:
    """The sender takes part in Reconfigure exchanges."""

    option_code: ClassVar[int] = 20

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return b""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        need_exactly("DHCPv6 reconfigure accept", data, 0)
        return cls()
