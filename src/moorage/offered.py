"""What the host daemon's hooks in the kernel offer (``docs/protocol.md``, "Kernel hooks")."""

from __future__ import annotations

import socket
import struct
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from moorage.numbers import IPV6_ADDR_PREFERENCES
from moorage.preferences import DEFAULT

_ANSWER_LENGTH: Final = 32
_GIVEN: Final = struct.pack("=II", DEFAULT, 0)
"""How the answer begins that gives an address to a socket without preferences of its own."""
_ADDRESS: Final = slice(8, 24)


class _Known(IPv6Address):
    """An address whose text is made once: it is what everybody asks for who binds to it."""

    __slots__ = ("_text",)

    def __init__(self, address: object) -> None:
        super().__init__(address)
        self._text = super().__str__()

    def __str__(self) -> str:
        return self._text


_known = lru_cache(64)(_Known)
"""Sockets of one type get the same address for hours, and to make one takes longer than to ask."""


def offered(sock: socket.socket, service: int) -> IPv6Address | None:
    """Return the address that the kernel gives to a socket, if the daemon need not be asked.

    ``service`` is the number of a type; there is nothing for any other one.
    """
    try:
        answer = sock.getsockopt(
            socket.IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, _ANSWER_LENGTH + service
        )
    except OSError:
        return None  # what is wrong with the socket is said where the daemon is asked
    return _known(answer[_ADDRESS]) if answer.startswith(_GIVEN) else None
