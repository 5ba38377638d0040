"""Options for classes of users and for vendors (RFC 8415 sections 21.15 to 21.17)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from moorage.wire.dhcp6.fields import need_at_least, pack
from moorage.wire.dhcp6.option import join, split
from moorage.wire.errors import WireError

_ENTERPRISE = Struct("!I")
_LENGTH = Struct("!H")


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
        return cls(_split_classes("DHCPv6 user class", data))


@dataclass(frozen=True, slots=True)
class VendorClass:
    """The vendor of the client's hardware and what he says about it."""

    option_code: ClassVar[int] = 16
    enterprise: int
    classes: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return pack(_ENTERPRISE, self.enterprise) + _join_classes(self.classes)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        where = "DHCPv6 vendor class"
        need_at_least(where, data, _ENTERPRISE.size)
        (enterprise,) = _ENTERPRISE.unpack_from(data)
        return cls(enterprise, _split_classes(where, data[_ENTERPRISE.size :]))


@dataclass(frozen=True, slots=True)
class VendorOpts:
    """Vendor-specific information: (code, body) pairs whose meaning the vendor defines."""

    option_code: ClassVar[int] = 17
    enterprise: int
    options: tuple[tuple[int, bytes], ...]

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return pack(_ENTERPRISE, self.enterprise) + join(self.options)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        where = "DHCPv6 vendor options"
        need_at_least(where, data, _ENTERPRISE.size)
        (enterprise,) = _ENTERPRISE.unpack_from(data)
        return cls(enterprise, tuple(split(where, data[_ENTERPRISE.size :])))


def _join_classes(classes: Iterable[bytes]) -> bytes:
    return b"".join([pack(_LENGTH, len(item)) + item for item in classes])


def _split_classes(where: str, data: bytes) -> tuple[bytes, ...]:
    classes: list[bytes] = []
    offset = 0
    while offset < len(data):
        need_at_least(where, data, offset + _LENGTH.size)
        (length,) = _LENGTH.unpack_from(data, offset)
        start = offset + _LENGTH.size
        offset = start + length
        if offset > len(data):
            raise WireError(where, f"a class has {len(data) - start} of {length} bytes")
        classes.append(data[start:offset])
    return tuple(classes)
