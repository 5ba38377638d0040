"""Classic BPF programs on sockets: the kernel drops what a socket is not to receive."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from typing import Final

Instruction = tuple[int, int, int, int]
"""Operation, where to go on if a test holds and if not (instructions to skip), and a number."""

LOAD_BYTE: Final = 0x30
LOAD_HALF: Final = 0x28
LOAD_WORD: Final = 0x20
IF_EQUAL: Final = 0x15
IF_ANY_BIT: Final = 0x45
TAKE: Final[Instruction] = (0x06, 0, 0, 0xFFFFFFFF)
DROP: Final[Instruction] = (0x06, 0, 0, 0)

NETWORK_HEADER: Final = 0xFFF00000
"""Added to an offset: it counts from the network header (SKF_NET_OFF)."""

_SO_ATTACH_FILTER: Final = 26
_INSTRUCTION: Final = struct.Struct("=HBBI")


def attach(sock: socket.socket, program: Sequence[Instruction]) -> None:
    """Let a socket receive from now on only what a program takes, instead of an earlier one.

    Raises:
        OSError: the kernel does not accept the program.
    """
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)
    kept = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("@HP", len(program), ctypes.addressof(kept))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)
