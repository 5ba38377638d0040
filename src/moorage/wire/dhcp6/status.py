"""The Status Code option (RFC 8415 section 21.13)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, Self

from moorage.wire.layout import Layout

_STATUS_CODE: Final = Layout("DHCPv6 status code", "H")


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
        return _STATUS_CODE.pack(self.code) + self.message.encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        (code,), message = _STATUS_CODE.split(data)
        # Bytes that are no UTF-8 are left out: bad text is no reason to lose the message.
        return cls(code, message.decode(errors="ignore"))
