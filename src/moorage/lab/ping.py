"""ICMPv6 echo (RFC 4443 section 4), since a machine may have no ``ping``."""

from __future__ import annotations

import os
import socket
import struct
import time
from ipaddress import IPv6Address
from typing import Final

from moorage.lab.lab import Node

_ECHO_REQUEST: Final = 128
_ECHO_REPLY: Final = 129
_HEADER: Final = struct.Struct("!BBHHH")
"""Type, code, checksum (which the kernel fills in), identifier, sequence number."""


def ping(
    node: Node, destination: IPv6Address, *, within: float = 5.0, interval: float = 0.05
) -> float | None:
    """Send echo requests every ``interval`` seconds until one is answered.

    Return the round-trip time of that one in seconds; None if none is answered ``within`` seconds.
    """
    identifier = int.from_bytes(os.urandom(2))
    sent: dict[int, float] = {}
    end = time.monotonic() + within
    with node.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as opened:
        opened.connect((str(destination), 0))
        while (now := time.monotonic()) < end:
            sequence = len(sent)
            sent[sequence] = now
            try:
                opened.send(_HEADER.pack(_ECHO_REQUEST, 0, 0, identifier, sequence))
            except OSError:  # no route yet
                pass
            answered = _await_reply(opened, identifier, min(end, now + interval))
            if answered in sent:
                return time.monotonic() - sent[answered]
    return None


def _await_reply(opened: socket.socket, identifier: int, end: float) -> int | None:
    """The sequence number of a reply to us that comes before ``end``."""
    while (left := end - time.monotonic()) > 0:
        opened.settimeout(left)
        try:
            kind, _, _, whose, sequence = _HEADER.unpack_from(opened.recv(2048))
        except OSError:  # nothing came, or an error message did
            continue
        if (kind, whose) == (_ECHO_REPLY, identifier):
            return int(sequence)
    return None
