"""Packet captures: frames of several interfaces, possibly of several namespaces, in one pcap file.

The file is a classic pcap with nanoseconds, as everybody's tools read it.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from heapq import heappop, heappush
from itertools import count
from math import inf
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self

_MAGIC_NANOSECONDS: Final = 0xA1B23C4D
_LINKTYPE_ETHERNET: Final = 1
_SNAP_LENGTH: Final = 262_144
"""Longest frame in bytes; segmentation offload makes frames longer than any MTU."""

# magic, version 2.4, time zone, accuracy, snap length, link type
_FILE_HEADER: Final = struct.Struct("<IHHiIII")
# seconds, nanoseconds, bytes in the file, bytes of the frame
_RECORD_HEADER: Final = struct.Struct("<IIII")
_SECOND_NS: Final = 1_000_000_000

# From <linux/if_ether.h>, <asm-generic/socket.h> and <linux/if_packet.h>.
_ETH_P_ALL: Final = 0x0003
_SO_RCVBUFFORCE: Final = 33
_SO_TIMESTAMPNS_NEW: Final = 64
_SOL_PACKET: Final = 263
_PACKET_STATISTICS: Final = 6

_TIMESTAMP: Final = struct.Struct("=qq")
_STATISTICS: Final = struct.Struct("=II")
_RECEIVE_BUFFER: Final = 32 * 1024 * 1024

_HOLD_NS: Final = _SECOND_NS
"""How long frames are held back: far longer than the kernel takes from stamping one to queueing it,
so that no older one can still come from another interface."""


class PcapWriter:
    """Writes Ethernet frames into a pcap file, in the order in which it gets them."""

    def __init__(self, file: BinaryIO) -> None:
        """Write the file's header to ``file``, which remains the caller's to close."""
        self._file = file
        file.write(
            _FILE_HEADER.pack(_MAGIC_NANOSECONDS, 2, 4, 0, 0, _SNAP_LENGTH, _LINKTYPE_ETHERNET)
        )

    def write(self, time_ns: int, frame: bytes) -> None:
        """Append ``frame``, seen at ``time_ns`` nanoseconds since 1970."""
        seconds, nanoseconds = divmod(time_ns, _SECOND_NS)
        self._file.write(_RECORD_HEADER.pack(seconds, nanoseconds, len(frame), len(frame)))
        self._file.write(frame)


def capture_socket(interface: str) -> socket.socket:
    """Open a packet socket for `Capture` in the calling thread's network namespace.

    It queues what ``interface`` sends and receives from now on.

    Raises:
        OSError: no such interface, or no permission.
    """
    with ExitStack() as stack:
        # Without a protocol nothing is received before bind() names the interface.
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        stack.enter_context(opened)
        opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS_NEW, 1)
        # Root of a user namespace may not, and has to do with the buffer that everybody has.
        with suppress(PermissionError):
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        opened.bind((interface, _ETH_P_ALL))
        stack.pop_all()
        return opened


class Capture:
    """Records frames in a thread, from entering this context until leaving it.

    Frames are ordered by the kernel's time stamps, over all sockets. An interface may go down and
    come up again meanwhile.

    Attributes:
        dropped: frames that were lost because nobody read them in time; known at the end.
    """

    def __init__(self, path: Path, sockets: Iterable[socket.socket]) -> None:
        """Prepare to write ``path`` from ``sockets``.

        The sockets are those of `capture_socket`. They are closed at the end.
        """
        self.dropped = 0
        self._path = path
        self._sockets = tuple(sockets)
        self._buffer = memoryview(bytearray(_SNAP_LENGTH))
        self._numbers = count()

    def __enter__(self) -> Self:
        """Begin to record.

        Raises:
            OSError: the file cannot be created.
        """
        with ExitStack() as stack:
            for opened in self._sockets:
                stack.enter_context(opened)
            file = stack.enter_context(self._path.open("wb"))
            self._stop = os.eventfd(0, os.EFD_CLOEXEC)
            stack.callback(os.close, self._stop)
            executor = stack.enter_context(ThreadPoolExecutor(1, "capture"))
            self._recording: Future[None] = executor.submit(self._record, file)
            self._resources = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write what has been seen until now, and close everything.

        Raises:
            OSError: the file could not be written.
        """
        with self._resources:
            os.eventfd_write(self._stop, 1)
            self._recording.result()

    def _record(self, file: BinaryIO) -> None:
        writer = PcapWriter(file)
        held: list[_Frame] = []
        with selectors.DefaultSelector() as selector:
            for opened in self._sockets:
                selector.register(opened, selectors.EVENT_READ)
            selector.register(self._stop, selectors.EVENT_READ)
            stopping = False
            while not stopping:
                stopping = any(key.fileobj == self._stop for key, _ in selector.select())
                now = time.time_ns()
                for opened in self._sockets:
                    for frame in self._frames(opened, now):
                        heappush(held, frame)
                complete_until = inf if stopping else now - _HOLD_NS
                while held and held[0].time_ns < complete_until:
                    frame = heappop(held)
                    writer.write(frame.time_ns, frame.data)
        self.dropped = sum(map(_drops, self._sockets))

    def _frames(self, opened: socket.socket, until: int) -> Iterator[_Frame]:
        """Return the frames in the queue, no more than one of them later than ``until``."""
        time_ns = 0
        while time_ns < until:
            try:
                size, ((_, _, stamp),), _, _ = opened.recvmsg_into(
                    [self._buffer], socket.CMSG_SPACE(_TIMESTAMP.size)
                )
            except BlockingIOError:
                return
            except OSError as error:
                # Said once when the interface goes down; frames come again when it is up.
                if error.errno != errno.ENETDOWN:
                    raise
                continue
            seconds, nanoseconds = _TIMESTAMP.unpack(stamp)
            time_ns = seconds * _SECOND_NS + nanoseconds
            yield _Frame(time_ns, next(self._numbers), bytes(self._buffer[:size]))


class _Frame(NamedTuple):
    time_ns: int
    number: int
    """Keeps the order of arrival among frames of the same time."""
    data: bytes


def _drops(opened: socket.socket) -> int:
    _, drops = _STATISTICS.unpack(
        opened.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
    )
    return int(drops)
