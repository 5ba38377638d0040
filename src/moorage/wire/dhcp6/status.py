"""The Status Code option (RFC 8415 section 21.13)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import ClassVar, Self

from moorage.wire.dhcp6.fields import need_at_least, pack

_STATUS_CODE = Struct("!H")


class Status(IntEnum):
    """The status codes of RFC 8415; USE_MULTICAST is obsolete since RFC 9915."""

    SUCCESS = 0
    UNSPEC_FAIL = 1
    NO_ADDRS_AVAIL = 2
    NO_BINDING = 3
    NOT_ON_LINK = 4
    USE_MULTICAST = 5
    NO_PREFIX_AVAIL = 6


@dataclass(frozen=True, slots=True)
class StatusCode:
    """What became of the message, IA or lease that this stands in.

    ``code`` is a `Status`, or a number that another RFC assigned; ``message`` is text for people.
    """

    option_code: ClassVar[int] = 13
    code: int
    message: str = ""

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return pack(_STATUS_CODE, self.code) + self.message.encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        need_at_least("DHCPv6 status code", data, _STATUS_CODE.size)
        (code,) = _STATUS_CODE.unpack_from(data)
        # Bytes that are no UTF-8 are left out: bad text is no reason to lose the message.
        return cls(code, data[_STATUS_CODE.size :].decode(errors="ignore"))
