"""Options for classes of users and for vendors (RFC 8415 sections 21.15 to 21.17)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from moorage.wire.dhcp6.option import join, split
from moorage.wire.errors import WireError
from moorage.wire.layout import Layout

# the enterprise number in front of the rest
_VENDOR_CLASS: Final = Layout("DHCPv6 vendor class", "I")
_VENDOR_OPTS: Final = Layout("DHCPv6 vendor options", "I")
_CLASS_LENGTH: Final = Layout("DHCPv6 class data", "H")


@dataclass(frozen=True, slots=True)
class UserClass:
    """The classes of users or applications that the client belongs to."""

    option_code: ClassVar[int] = 15
    classes: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return _join_classes(self.classes)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        return cls(_split_classes(data))


@dataclass(frozen=True, slots=True)
class VendorClass:
    """The vendor of the client's hardware and what he says about it."""

    option_code: ClassVar[int] = 16
    enterprise: int
    classes: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return _VENDOR_CLASS.pack(self.enterprise) + _join_classes(self.classes)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        (enterprise,), classes = _VENDOR_CLASS.split(data)
        return cls(enterprise, _split_classes(classes))


@dataclass(frozen=True, slots=True)
class VendorOpts:
    """Vendor-specific information: (code, body) pairs whose meaning the vendor defines."""

    option_code: ClassVar[int] = 17
    enterprise: int
    options: tuple[tuple[int, bytes], ...]

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return _VENDOR_OPTS.pack(self.enterprise) + join(self.options)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        (enterprise,), options = _VENDOR_OPTS.split(data)
        return cls(enterprise, tuple(split(options)))


def _join_classes(classes: Iterable[bytes]) -> bytes:
    return b"".join([_CLASS_LENGTH.pack(len(item)) + item for item in classes])


def _split_classes(data: bytes) -> tuple[bytes, ...]:
    classes: list[bytes] = []
    start = 0
    while start < len(data):
        body = start + _CLASS_LENGTH.size
        (length,) = _CLASS_LENGTH.unpack(data[start:body])
        start = body + length
        if start > len(data):
            what = f"a class has {len(data) - body} of {length} bytes"
            raise WireError(_CLASS_LENGTH.where, what)
        classes.append(data[body:start])
    return tuple(classes)
