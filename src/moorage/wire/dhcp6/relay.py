"""Options of relay agents (RFC 8415 sections 21.10 and 21.18)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True, slots=True)
class RelayMessageOption:
    """The message that is relayed, not decoded: it may be a relayed one again."""

    option_code: ClassVar[int] = 9
    message: bytes

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return self.message

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; any is possible."""
        return cls(data)


@dataclass(frozen=True, slots=True)
class InterfaceId:
    """The relay agent's name for the interface; the server sends it back as it is."""

    option_code: ClassVar[int] = 18
    data: bytes

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return self.data

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; any is possible."""
        return cls(data)
