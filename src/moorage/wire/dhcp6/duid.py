"""DHCP unique identifiers (RFC 8415 section 11, RFC 6355 for DUID-UUID)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from moorage.wire.errors import WireError
from moorage.wire.layout import Layout

_TYPE: Final = Layout("DHCPv6 DUID", "H")
_LLT: Final = Layout("DHCPv6 DUID-LLT", "HI")
_EN: Final = Layout("DHCPv6 DUID-EN", "I")
_LL: Final = Layout("DHCPv6 DUID-LL", "H")
_UUID: Final = Layout("DHCPv6 DUID-UUID", "16s")

_TYPE_LLT: Final = 1
_TYPE_EN: Final = 2
_TYPE_LL: Final = 3
_TYPE_UUID: Final = 4

_SHORTEST: Final = _TYPE.size + 1
_LONGEST: Final = _TYPE.size + 128


@dataclass(frozen=True, slots=True)
class DuidLlt:
    """Link-layer address and the time, in seconds since 2000 modulo 2^32, when it was taken."""

    hardware_type: int
    time: int
    address: bytes

    def encode(self) -> bytes:
        """Return the DUID; `ValueError` if a field does not fit."""
        return _duid(_TYPE_LLT, _LLT.pack(self.hardware_type, self.time) + self.address)


@dataclass(frozen=True, slots=True)
class DuidEn:
    """An identifier that the vendor with this enterprise number assigned."""

    enterprise: int
    identifier: bytes

    def encode(self) -> bytes:
        """Return the DUID; `ValueError` if a field does not fit."""
        return _duid(_TYPE_EN, _EN.pack(self.enterprise) + self.identifier)


@dataclass(frozen=True, slots=True)
class DuidLl:
    """A link-layer address."""

    hardware_type: int
    address: bytes

    def encode(self) -> bytes:
        """Return the DUID; `ValueError` if a field does not fit."""
        return _duid(_TYPE_LL, _LL.pack(self.hardware_type) + self.address)


@dataclass(frozen=True, slots=True)
class DuidUuid:
    """A UUID of 16 bytes."""

    uuid: bytes

    def encode(self) -> bytes:
        """Return the DUID; `ValueError` if the UUID has not 16 bytes."""
        if len(self.uuid) != _UUID.size:
            raise ValueError(f"{_UUID.where}: {len(self.uuid)} bytes instead of {_UUID.size}")
        return _duid(_TYPE_UUID, self.uuid)


@dataclass(frozen=True, slots=True)
class DuidUnknown:
    """A DUID of a type that we do not know."""

    type: int
    data: bytes

    def encode(self) -> bytes:
        """Return the DUID; `ValueError` if a field does not fit."""
        return _duid(self.type, self.data)


Duid: TypeAlias = DuidLlt | DuidEn | DuidLl | DuidUuid | DuidUnknown


def has_duid_length(duid: bytes) -> bool:
    """Tell whether ``duid`` is as long as a DUID may be (RFC 8415 section 11.1)."""
    return _SHORTEST <= len(duid) <= _LONGEST


def decode_duid(data: bytes) -> Duid:
    """Return the parts of the DUID ``data``.

    Only for people and logs: the protocol compares DUIDs as bytes (RFC 8415 section 11).

    Raises:
        WireError: the length is not allowed, or too short for the type.
    """
    if not has_duid_length(data):
        raise WireError(_TYPE.where, f"{len(data)} bytes, not {_SHORTEST} to {_LONGEST}")
    (duid_type,), rest = _TYPE.split(data)
    if duid_type == _TYPE_LLT:
        (hardware_type, time), address = _LLT.split(rest)
        return DuidLlt(hardware_type, time, address)
    if duid_type == _TYPE_EN:
        (enterprise,), identifier = _EN.split(rest)
        return DuidEn(enterprise, identifier)
    if duid_type == _TYPE_LL:
        (hardware_type,), address = _LL.split(rest)
        return DuidLl(hardware_type, address)
    if duid_type == _TYPE_UUID:
        return DuidUuid(*_UUID.unpack(rest))
    return DuidUnknown(duid_type, rest)


def _duid(duid_type: int, rest: bytes) -> bytes:
    duid = _TYPE.pack(duid_type) + rest
    if not has_duid_length(duid):
        raise ValueError(f"{_TYPE.where}: {len(duid)} bytes, not {_SHORTEST} to {_LONGEST}")
    return duid
