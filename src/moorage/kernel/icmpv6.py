"""Raw ICMPv6 sockets of one message type."""

from __future__ import annotations

import socket
import struct
from typing import Final

_ICMP6_FILTER: Final = 1
_U32: Final = struct.Struct("=I")


def raw_socket(receives: int) -> socket.socket:
    """Return a non-blocking socket that receives messages of the type ``receives`` only.

    Raises OSError without CAP_NET_RAW.
    """
    sock = socket.socket(
        socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6
    )
    # A set bit blocks that type (RFC 3542 section 3.2).
    blocked = bytearray(b"\xff" * 32)
    _U32.pack_into(blocked, receives // 32 * 4, 0xFFFF_FFFF & ~(1 << receives % 32))
    sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(blocked))
    return sock
