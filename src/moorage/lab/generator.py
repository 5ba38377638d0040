"""The process that drives both ends of one flow, and reports in the end (see `traffic`).

It begins with a line break on its standard output, ends when its standard input is closed, and then
writes the report (JSON).
"""

from __future__ import annotations

import gc
import os
import select
import socket
import struct
import sys
import time
from typing import Final, TextIO

import msgspec

from moorage.lab.traffic import (
    Arrival,
    Failure,
    Probes,
    Side,
    TcpFlow,
    TcpReport,
    UdpReport,
)

_NUMBER: Final = struct.Struct("!Q")
_STRAGGLERS_SECONDS: Final = 0.5
_CHUNK: Final = bytes(1 << 16)
_READ_BYTES: Final = 1 << 20
_MILLISECOND: Final = 1_000_000
_TICK: Final = _MILLISECOND
"""How often a paced stream is sent, in ns."""
_MOST_ERRORS: Final = 10_000


class _UdpEnd:
    """One end of a UDP flow: what it sent, and what it received of the other end."""

    def __init__(self, side: Side, opened: socket.socket) -> None:
        opened.setblocking(False)
        self.side: Final = side
        self.socket: Final = opened
        self.sent: list[int] = []
        self.received: dict[int, int] = {}
        self.errors: list[Failure] = []

    def send(self) -> None:
        now = time.monotonic_ns()
        try:
            self.socket.send(_NUMBER.pack(len(self.sent)))
        except OSError as error:
            self._failed(now, error)
            now = 0
        self.sent.append(now)

    def receive(self) -> None:
        while True:
            try:
                data = self.socket.recv(_NUMBER.size)
            except BlockingIOError:
                return
            except OSError as error:
                self._failed(time.monotonic_ns(), error)
                return
            self.received.setdefault(_NUMBER.unpack(data)[0], time.monotonic_ns())

    def _failed(self, moment: int, error: OSError) -> None:
        if len(self.errors) < _MOST_ERRORS:
            self.errors.append(Failure(moment, self.side, error.errno or 0))

    def has_all_of(self, other: _UdpEnd) -> bool:
        return len(self.received) >= sum(map(bool, other.sent))


def _probes(sender: _UdpEnd, receiver: _UdpEnd) -> Probes:
    count = len(sender.sent)
    return Probes(
        tuple(sender.sent), tuple(receiver.received.get(number, 0) for number in range(count))
    )


def run_udp(near: socket.socket, far: socket.socket, interval: float) -> UdpReport:
    """Send until standard input is closed, and wait for what is under way."""
    ends = [_UdpEnd(Side.NEAR, near), _UdpEnd(Side.FAR, far)]
    one, other = ends
    by_socket = {end.socket: end for end in ends}
    due = time.monotonic()
    last = float("inf")
    sources: list[TextIO | socket.socket] = [*by_socket, sys.stdin]
    while (now := time.monotonic()) < last:
        if sys.stdin in sources and now >= due:
            for end in ends:
                end.send()
            # After a pause of this process the pace goes on, without a burst.
            due = max(due + interval, now)
        wait = max(0.0, min(due, last) - time.monotonic())
        for ready in select.select(sources, [], [], wait)[0]:
            if isinstance(ready, socket.socket):
                by_socket[ready].receive()
            else:
                sources.remove(ready)
                due = last = now + _STRAGGLERS_SECONDS
        if sys.stdin not in sources and one.has_all_of(other) and other.has_all_of(one):
            break
    errors = sorted(one.errors + other.errors, key=lambda failure: failure.moment)
    return UdpReport(_probes(one, other), _probes(other, one), tuple(errors))


class _TcpEnd:
    """One end of a TCP connection: what it may send, and what arrived at it."""

    def __init__(self, side: Side, opened: socket.socket, rate: int) -> None:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.side: Final = side
        self.socket: Final = opened
        self.arrivals: list[Arrival] = []
        self._rate = rate
        self._sent = 0

    def allowed(self, elapsed: float) -> int:
        """How many bytes may be sent ``elapsed`` seconds after the start."""
        if self._rate == TcpFlow.UNLIMITED:
            return len(_CHUNK)
        return min(len(_CHUNK), int(self._rate * elapsed) - self._sent)

    def send(self, size: int) -> None:
        """Send that much. Raises OSError."""
        self._sent += self.socket.send(_CHUNK[:size])

    def receive(self) -> None:
        """Read what has arrived. Raises OSError, with errno 0 at the end of the stream."""
        size = len(self.socket.recv(_READ_BYTES))
        if not size:
            raise ConnectionError(0, "closed")
        now = time.monotonic_ns()
        if self.arrivals and now - self.arrivals[-1].first < _MILLISECOND:
            begun = self.arrivals.pop()
            self.arrivals.append(Arrival(begun.first, now, begun.size + size))
        else:
            self.arrivals.append(Arrival(now, now, size))


def run_tcp(near: socket.socket, far: socket.socket, up: int, down: int) -> TcpReport:
    """Send until standard input is closed or the connection fails."""
    ends = [_TcpEnd(Side.NEAR, near, up), _TcpEnd(Side.FAR, far, down)]
    start = time.monotonic_ns()
    failure = None
    while failure is None:
        elapsed = (time.monotonic_ns() - start) // _TICK * _TICK / 1e9
        senders = [end.socket for end in ends if end.allowed(elapsed) > 0]
        ready = select.select([sys.stdin, near, far], senders, [], _TICK / 1e9)
        if sys.stdin in ready[0]:
            break
        for end in ends:
            try:
                if end.socket in ready[0]:
                    end.receive()
                if end.socket in ready[1]:
                    end.send(end.allowed(elapsed))
            except BlockingIOError:
                continue
            except OSError as error:
                failure = Failure(time.monotonic_ns(), end.side, error.errno or 0)
                break
    here, there = ends  # what arrived there went up
    return TcpReport(
        start, time.monotonic_ns(), tuple(there.arrivals), tuple(here.arrivals), failure
    )


def main() -> None:
    """Run as ``python -m moorage.lab.generator udp|tcp ARGUMENT... NEAR FAR``."""
    kind, *arguments, near, far = sys.argv[1:]
    ends = socket.socket(fileno=int(near)), socket.socket(fileno=int(far))
    gc.disable()  # a collection would be seen as a gap
    sys.stdout.buffer.write(b"\n")
    sys.stdout.flush()
    report: UdpReport | TcpReport
    if kind == "udp":
        report = run_udp(*ends, *map(float, arguments))
    else:
        report = run_tcp(*ends, *map(int, arguments))
    try:
        sys.stdout.buffer.write(msgspec.json.encode(report))
        sys.stdout.flush()
    except BrokenPipeError:  # nobody is interested any more
        os._exit(1)


if __name__ == "__main__":
    main()
