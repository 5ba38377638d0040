"""Options about the link: link-layer addresses and MTU (RFC 4861 sections 4.6.1 and 4.6.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from moorage.wire.layout import Layout

_MTU: Final = Layout("ND MTU", "2x I")


@dataclass(frozen=True, slots=True)
class _LinkLayerAddress:
    address: bytes

    def encode(self) -> bytes:
        """Return the body."""
        return self.address

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option whose body is ``data``."""
        return cls(data)


@dataclass(frozen=True, slots=True)
class SourceLinkLayerAddress(_LinkLayerAddress):
    """The sender's own link-layer address.

    Attributes:
        address: 6 bytes on Ethernet (RFC 2464 section 6).
    """

    type: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class TargetLinkLayerAddress(_LinkLayerAddress):
    """The link-layer address of a neighbor that the message is about.

    Attributes:
        address: 6 bytes on Ethernet (RFC 2464 section 6).
    """

    type: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Mtu:
    """The MTU that all nodes of the link should use.

    Attributes:
        mtu: bytes.
    """

    type: ClassVar[int] = 5

    mtu: int

    def encode(self) -> bytes:
        """Return the body.

        Raises:
            ValueError: the MTU is out of its range.
        """
        return _MTU.pack(self.mtu)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option whose body is ``data``.

        Raises:
            WireError: wrong length.
        """
        (mtu,) = _MTU.unpack(data)
        return cls(mtu)
