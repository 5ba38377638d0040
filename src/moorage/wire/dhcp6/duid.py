"""DHCP unique identifiers (RFC 8415 section 11, RFC 6355 for DUID-UUID)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from moorage.wire.dhcp6.fields import need_at_least, need_exactly, pack, sized
from moorage.wire.errors import WireError

_TYPE = Struct("!H")
_LLT = Struct("!HHI")
_EN = Struct("!HI")
_LL = Struct("!HH")

_LLT_TYPE = 1
_EN_TYPE = 2
_LL_TYPE = 3
_UUID_TYPE = 4
_UUID_SIZE = 16
_SHORTEST = _TYPE.size + 1
_LONGEST = _TYPE.size + 128


@dataclass(frozen=True, slots=True)
class DuidLlt:
    """Link-layer address and the time, in seconds since 2000 modulo 2^32, when it was taken."""

    hardware_type: int
    time: int
    address: bytes

    def encode(self) -> bytes:
        """Return the DUID; `ValueError` if a field does not fit."""
        return _bounded(pack(_LLT, _LLT_TYPE, self.hardware_type, self.time) + self.address)


@dataclass(frozen=True, slots=True)
class DuidEn:
    """An identifier that the vendor with this enterprise number assigned."""

    enterprise: int
    identifier: bytes

    def encode(self) -> bytes:
        """Return the DUID; `ValueError` if a field does not fit."""
        return _bounded(pack(_EN, _EN_TYPE, self.enterprise) + self.identifier)


@dataclass(frozen=True, slots=True)
class DuidLl:
    """A link-layer address."""

    hardware_type: int
    address: bytes

    def encode(self) -> bytes:
        """Return the DUID; `ValueError` if a field does not fit."""
        return _bounded(pack(_LL, _LL_TYPE, self.hardware_type) + self.address)


@dataclass(frozen=True, slots=True)
class DuidUuid:
    """A UUID of 16 bytes."""

    uuid: bytes

    def encode(self) -> bytes:
        """Return the DUID; `ValueError` if the UUID has not 16 bytes."""
        return pack(_TYPE, _UUID_TYPE) + sized(self.uuid, _UUID_SIZE)


@dataclass(frozen=True, slots=True)
class DuidUnknown:
    """A DUID of a type that we do not know."""

    type: int
    data: bytes

    def encode(self) -> bytes:
        """Return the DUID; `ValueError` if a field does not fit."""
        return _bounded(pack(_TYPE, self.type) + self.data)


Duid = DuidLlt | DuidEn | DuidLl | DuidUuid | DuidUnknown


def has_duid_length(duid: bytes) -> bool:
    """Tell whether ``duid`` is as long as a DUID may be (RFC 8415 section 11.1)."""
    return _SHORTEST <= len(duid) <= _LONGEST


def decode_duid(data: bytes) -> Duid:
    """Return the parts of the DUID ``data``.

    Only for people and logs: the protocol compares DUIDs as bytes (RFC 8415 section 11).

    Raises:
        WireError: the length is not allowed, or too short for the type.
    """
    where = "DHCPv6 DUID"
    if not has_duid_length(data):
        raise WireError(where, f"{len(data)} bytes, not {_SHORTEST} to {_LONGEST}")
    (duid_type,) = _TYPE.unpack_from(data)
    if duid_type == _LLT_TYPE:
        need_at_least(where, data, _LLT.size)
        _, hardware_type, time = _LLT.unpack_from(data)
        return DuidLlt(hardware_type, time, data[_LLT.size :])
    if duid_type == _EN_TYPE:
        need_at_least(where, data, _EN.size)
        _, enterprise = _EN.unpack_from(data)
        return DuidEn(enterprise, data[_EN.size :])
    if duid_type == _LL_TYPE:
        need_at_least(where, data, _LL.size)
        _, hardware_type = _LL.unpack_from(data)
        return DuidLl(hardware_type, data[_LL.size :])
    if duid_type == _UUID_TYPE:
        need_exactly(where, data, _TYPE.size + _UUID_SIZE)
        return DuidUuid(data[_TYPE.size :])
    return DuidUnknown(duid_type, data[_TYPE.size :])


def _bounded(duid: bytes) -> bytes:
    if not has_duid_length(duid):
        raise ValueError(f"a DUID of {len(duid)} bytes, not {_SHORTEST} to {_LONGEST}")
    return duid
