"""Router solicitations and advertisements (RFC 4861 sections 4.1 and 4.2).

They begin with the ICMPv6 header. The kernel fills in and checks the checksum, which is left 0
here. What can only be checked with the IPv6 header (hop limit 255, the source address) is left to
the receiver.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar, Final, Self, TypeVar

from moorage.wire.errors import WireError
from moorage.wire.layout import Layout
from moorage.wire.nd.option import NdOption, decode_options, encode_options
from moorage.wire.nd.preference import decode_preference, encode_preference

_T = TypeVar("_T", bound=NdOption)

# type, code, checksum
_ICMPV6: Final = Layout("ICMPv6", "BB 2x")
# reserved
_SOLICITATION: Final = Layout("ND Router Solicitation", "4x")
# hop limit, flags, router lifetime, reachable time, retrans timer
_ADVERTISEMENT: Final = Layout("ND Router Advertisement", "BB H I I")


class _Flag(IntFlag):
    MANAGED = 0x80
    OTHER = 0x40


class _Message:
    """What all messages with options have."""

    __slots__ = ()

    options: tuple[NdOption, ...]

    def every(self, option: type[_T]) -> tuple[_T, ...]:
        """Return all options of the class ``option``, in their order."""
        return tuple(member for member in self.options if isinstance(member, option))

    def first(self, option: type[_T]) -> _T | None:
        """Return the first option of the class ``option``."""
        return next(iter(self.every(option)), None)


@dataclass(frozen=True, slots=True)
class RouterSolicitation(_Message):
    """A host's wish for an advertisement."""

    type: ClassVar[int] = 133

    options: tuple[NdOption, ...] = ()

    def encode(self) -> bytes:
        """Return the ICMPv6 message.

        Raises:
            ValueError: a field is out of its range.
        """
        return _ICMPV6.pack(self.type, 0) + _SOLICITATION.pack() + encode_options(self.options)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message whose ICMPv6 body is ``data``.

        Raises:
            WireError: ``data`` does not follow the format.
        """
        _, options = _SOLICITATION.split(data)
        return cls(decode_options(options))


@dataclass(frozen=True, slots=True)
class RouterAdvertisement(_Message):
    """A router's announcement of itself and its link.

    Attributes:
        hop_limit: for hosts to use; 0 says nothing.
        managed: the M flag, addresses are available by DHCPv6.
        other: the O flag, other configuration is available by DHCPv6.
        router_lifetime: seconds as a default router; 0: it is none.
        reachable_time: milliseconds; 0 says nothing.
        retrans_timer: milliseconds; 0 says nothing.
        options: in the order of the message.
        preference: as a default router (RFC 4191 section 2.2): 1 high, 0 medium, -1 low.
    """

    type: ClassVar[int] = 134

    hop_limit: int
    managed: bool
    other: bool
    router_lifetime: int
    reachable_time: int
    retrans_timer: int
    options: tuple[NdOption, ...]
    preference: int = 0

    def encode(self) -> bytes:
        """Return the ICMPv6 message.

        Raises:
            ValueError: a field is out of its range.
        """
        flags = (
            _Flag.MANAGED * self.managed
            | _Flag.OTHER * self.other
            | encode_preference(self.preference)
        )
        head = _ADVERTISEMENT.pack(
            self.hop_limit, flags, self.router_lifetime, self.reachable_time, self.retrans_timer
        )
        return _ICMPV6.pack(self.type, 0) + head + encode_options(self.options)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message whose ICMPv6 body is ``data``.

        Raises:
            WireError: ``data`` does not follow the format.
        """
        head, options = _ADVERTISEMENT.split(data)
        hop_limit, flags, router_lifetime, reachable_time, retrans_timer = head
        return cls(
            hop_limit=hop_limit,
            managed=bool(flags & _Flag.MANAGED),
            other=bool(flags & _Flag.OTHER),
            router_lifetime=router_lifetime,
            reachable_time=reachable_time,
            retrans_timer=retrans_timer,
            options=decode_options(options),
            # The reserved value counts as medium (RFC 4191 section 2.2).
            preference=decode_preference(flags) or 0,
        )


def decode_message(data: bytes) -> RouterSolicitation | RouterAdvertisement:
    """Return the message that ``data``, an ICMPv6 message, is.

    Raises:
        WireError: another type, a code other than 0 (RFC 4861 section 6.1), or a wrong format.
    """
    (message_type, code), body = _ICMPV6.split(data)
    if code != 0:
        raise WireError(_ICMPV6.where, f"code {code} instead of 0")
    if message_type == RouterSolicitation.type:
        return RouterSolicitation.decode(body)
    if message_type == RouterAdvertisement.type:
        return RouterAdvertisement.decode(body)
    raise WireError(_ICMPV6.where, f"type {message_type} is no message about routers")
