"""Our vendor option: what On-Demand Mobility adds to DHCPv6 (``docs/protocol.md``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, Protocol, Self, TypeVar

from moorage.numbers import ENTERPRISE_NUMBER
from moorage.service import ServiceType, from_mask, to_mask
from moorage.wire.dhcp6.message import Message
from moorage.wire.dhcp6.vendor import VendorOpts
from moorage.wire.errors import WireError
from moorage.wire.layout import Layout

_KEY_SIZE: Final = 32
_LINK_ID_SIZE: Final = 8
_SIGNATURE_SIZE: Final = 64
_MAC_SIZE: Final = 6
_GROUP_BIT: Final = 0x01
"""In the first octet of a link-layer address: it is a group's, and no interface's."""

_SERVICE_TYPE: Final = Layout("On-Demand service type", "I B")
_OFFERED_TYPES: Final = Layout("On-Demand offered types", "B")
_REFUSAL: Final = Layout("On-Demand refusal", "I B")
_GRACE_TIME: Final = Layout("On-Demand grace time", "I I")
_PUBLIC_KEY: Final = Layout("On-Demand public key", f"{_KEY_SIZE}s")
# time, link id, signature
_SIGNATURE: Final = Layout("On-Demand signature", f"Q {_LINK_ID_SIZE}s {_SIGNATURE_SIZE}s")
_PATH_MTU: Final = Layout("On-Demand path MTU", "I H")
# permitted, boot, default
_POLICY: Final = Layout("On-Demand network policy", "B B B")
_TIME_AND_LINK: Final = Layout("On-Demand time and link", f"Q {_LINK_ID_SIZE}s")
_LINK_LAYER_ADDRESS: Final = Layout("On-Demand link-layer address", f"{_MAC_SIZE}s")

_T = TypeVar("_T")


class RefusalReason(IntEnum):
    """Why the network did not give a prefix of the type that was asked for."""

    TYPE_NOT_OFFERED = 1
    POOL_FULL = 2
    QUOTA = 3
    NOT_AUTHORISED = 4
    TRY_LATER = 5
    SIGNATURE_OR_TIME = 6


_SERVICE_TYPES: Final = {member.value: member for member in ServiceType}
_REASONS: Final = {member.value: member for member in RefusalReason}


class SubOption(Protocol):
    """One of the options inside our vendor option."""

    @property
    def code(self) -> int:
        """The number of the sub-option."""

    def encode(self) -> bytes:
        """Return the body; `ValueError` if a value does not fit its field."""


class _OfIa(Protocol):
    @property
    def iaid(self) -> int: ...


_I = TypeVar("_I", bound=_OfIa)


@dataclass(frozen=True, slots=True)
class ServiceTypeOf:
    """The service type of the prefix of one IA_PD."""

    code: ClassVar[int] = 1
    iaid: int
    type: ServiceType

    def encode(self) -> bytes:
        """Return the body; see `SubOption.encode`."""
        return _SERVICE_TYPE.pack(self.iaid, self.type)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the sub-option with the body ``data``; `WireError` if it breaks the format."""
        iaid, number = _SERVICE_TYPE.unpack(data)
        return cls(iaid, _service_type(_SERVICE_TYPE.where, number))


@dataclass(frozen=True, slots=True)
class OfferedTypes:
    """The types that the network offers; from the server."""

    code: ClassVar[int] = 2
    types: frozenset[ServiceType]

    def encode(self) -> bytes:
        """Return the body; see `SubOption.encode`."""
        return _OFFERED_TYPES.pack(to_mask(self.types))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the sub-option with the body ``data``; `WireError` if it breaks the format."""
        (mask,) = _OFFERED_TYPES.unpack(data)
        return cls(from_mask(mask))


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason behind the NoPrefixAvail of one IA_PD; from the server."""

    code: ClassVar[int] = 3
    iaid: int
    reason: RefusalReason

    def encode(self) -> bytes:
        """Return the body; see `SubOption.encode`."""
        return _REFUSAL.pack(self.iaid, self.reason)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the sub-option with the body ``data``; `WireError` if it breaks the format."""
        iaid, number = _REFUSAL.unpack(data)
        reason = _REASONS.get(number)
        if reason is None:
            raise WireError(_REFUSAL.where, f"unknown reason {number}")
        return cls(iaid, reason)


@dataclass(frozen=True, slots=True)
class GraceTime:
    """How many seconds a replaced prefix still works; from the server."""

    code: ClassVar[int] = 4
    iaid: int
    seconds: int

    def encode(self) -> bytes:
        """Return the body; see `SubOption.encode`."""
        return _GRACE_TIME.pack(self.iaid, self.seconds)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the sub-option with the body ``data``; `WireError` if it breaks the format."""
        return cls(*_GRACE_TIME.unpack(data))


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The client's Ed25519 public key, 32 bytes."""

    code: ClassVar[int] = 5
    key: bytes

    def encode(self) -> bytes:
        """Return the body; see `SubOption.encode`."""
        return _PUBLIC_KEY.pack(_sized(self.key, _KEY_SIZE))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the sub-option with the body ``data``; `WireError` if it breaks the format."""
        return cls(*_PUBLIC_KEY.unpack(data))


@dataclass(frozen=True, slots=True)
class Signature:
    """The client's signature over the message that it ends.

    ``time`` is microseconds since 1970; ``link_id`` has 8 bytes, all zero if the client heard none
    on this link; ``signature`` is 64 bytes of Ed25519.
    """

    code: ClassVar[int] = 6
    time: int
    link_id: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Return the body; see `SubOption.encode`."""
        link_id = _sized(self.link_id, _LINK_ID_SIZE)
        return _SIGNATURE.pack(self.time, link_id, _sized(self.signature, _SIGNATURE_SIZE))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the sub-option with the body ``data``; `WireError` if it breaks the format."""
        return cls(*_SIGNATURE.unpack(data))


@dataclass(frozen=True, slots=True)
class PathMtu:
    """The size in bytes that packets of one prefix may safely have; from the server."""

    code: ClassVar[int] = 7
    iaid: int
    mtu: int

    def encode(self) -> bytes:
        """Return the body; see `SubOption.encode`."""
        return _PATH_MTU.pack(self.iaid, self.mtu)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the sub-option with the body ``data``; `WireError` if it breaks the format."""
        return cls(*_PATH_MTU.unpack(data))


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """What the operator dictates (draft section 3.4); whether to follow is the host's choice.

    ``permitted`` are the types that a host may ask for, ``boot`` the ones to have from the start,
    ``default`` the one for applications that ask for none.
    """

    code: ClassVar[int] = 8
    permitted: frozenset[ServiceType]
    boot: frozenset[ServiceType]
    default: ServiceType | None

    def encode(self) -> bytes:
        """Return the body; see `SubOption.encode`."""
        return _POLICY.pack(to_mask(self.permitted), to_mask(self.boot), self.default or 0)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the sub-option with the body ``data``; `WireError` if it breaks the format."""
        permitted, boot, number = _POLICY.unpack(data)
        default = _service_type(_POLICY.where, number) if number else None
        return cls(from_mask(permitted), from_mask(boot), default)


@dataclass(frozen=True, slots=True)
class TimeAndLink:
    """The server's clock (microseconds since 1970) and link id, for the client to sign again."""

    code: ClassVar[int] = 9
    time: int
    link_id: bytes

    def encode(self) -> bytes:
        """Return the body; see `SubOption.encode`."""
        return _TIME_AND_LINK.pack(self.time, _sized(self.link_id, _LINK_ID_SIZE))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the sub-option with the body ``data``; `WireError` if it breaks the format."""
        return cls(*_TIME_AND_LINK.unpack(data))


@dataclass(frozen=True, slots=True)
class LinkLayerAddress:
    """The client's Ethernet address on the link that it sends by, 6 bytes: whom to send to there.

    The signature covers it, unlike what neighbour discovery says of it.
    """

    code: ClassVar[int] = 10
    mac: bytes

    def encode(self) -> bytes:
        """Return the body; see `SubOption.encode`."""
        return _LINK_LAYER_ADDRESS.pack(_sized(self.mac, _MAC_SIZE))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the sub-option with the body ``data``; `WireError` if it breaks the format."""
        (mac,) = _LINK_LAYER_ADDRESS.unpack(data)
        if mac[0] & _GROUP_BIT or not any(mac):
            raise WireError(_LINK_LAYER_ADDRESS.where, f"{mac.hex(':')} is no interface's")
        return cls(mac)


@dataclass(frozen=True, slots=True)
class UnknownSubOption:
    """A sub-option of a later version; kept byte for byte."""

    code: int
    data: bytes

    def encode(self) -> bytes:
        """Return the body as it came."""
        return self.data


_DECODERS: Final[dict[int, Callable[[bytes], SubOption]]] = {
    ServiceTypeOf.code: ServiceTypeOf.decode,
    OfferedTypes.code: OfferedTypes.decode,
    Refusal.code: Refusal.decode,
    GraceTime.code: GraceTime.decode,
    PublicKey.code: PublicKey.decode,
    Signature.code: Signature.decode,
    PathMtu.code: PathMtu.decode,
    NetworkPolicy.code: NetworkPolicy.decode,
    TimeAndLink.code: TimeAndLink.decode,
    LinkLayerAddress.code: LinkLayerAddress.decode,
}


@dataclass(frozen=True, slots=True)
class OnDemand:
    """The content of our vendor option."""

    sub_options: tuple[SubOption, ...]

    @classmethod
    def of(cls, message: Message) -> Self | None:
        """Return what ``message`` says about On-Demand; None if its sender does not know of it.

        Raises:
            WireError: there are two of our options, or a sub-option breaks the format.
        """
        ours = [
            option for option in message.every(VendorOpts) if option.enterprise == ENTERPRISE_NUMBER
        ]
        if not ours:
            return None
        if len(ours) > 1:
            raise WireError("On-Demand option", "more than one in a message")
        sub_options: list[SubOption] = []
        for code, body in ours[0].options:
            decode = _DECODERS.get(code)
            sub_options.append(UnknownSubOption(code, body) if decode is None else decode(body))
        return cls(tuple(sub_options))

    def to_option(self) -> VendorOpts:
        """Return the vendor option with this content.

        Raises:
            ValueError: a value does not fit its field.
        """
        pairs = tuple([(option.code, option.encode()) for option in self.sub_options])
        return VendorOpts(ENTERPRISE_NUMBER, pairs)

    def first(self, kind: type[_T]) -> _T | None:
        """Return the first sub-option of class ``kind``, if there is one."""
        for option in self.sub_options:
            if isinstance(option, kind):
                return option
        return None

    def for_iaid(self, kind: type[_I], iaid: int) -> _I | None:
        """Return the first sub-option of class ``kind`` about the IA_PD ``iaid``."""
        for option in self.sub_options:
            if isinstance(option, kind) and option.iaid == iaid:
                return option
        return None

    def service_type(self, iaid: int) -> ServiceType | None:
        """Return the type that is named for the IA_PD ``iaid``; None if none is."""
        found = self.for_iaid(ServiceTypeOf, iaid)
        return None if found is None else found.type


def _service_type(where: str, number: int) -> ServiceType:
    service_type = _SERVICE_TYPES.get(number)
    if service_type is None:
        raise WireError(where, f"{number} is no service type")
    return service_type


def _sized(data: bytes, size: int) -> bytes:
    # A struct would pad or cut it without a word.
    if len(data) != size:
        raise ValueError(f"{data!r} has {len(data)} bytes instead of {size}")
    return data
