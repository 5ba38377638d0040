"""Measurement traffic between a host and a correspondent, and what became of it.

The near end of a flow is the host's, the far end the correspondent's; *up* is from near to far.
Both ends are sockets that the caller opened in the nodes (`udp_pair`, `tcp_pair`). One process
drives both, so that all times are of one clock: ns of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import errno
import select
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address
from itertools import pairwise
from typing import IO, Final, Generic, Self, TypeVar

import msgspec

from moorage.lab.errors import LabError
from moorage.lab.lab import Node

_MILLISECOND: Final = 1_000_000
_CONNECT_SECONDS: Final = 10.0


class Side(StrEnum):
    """An end of a flow."""

    NEAR = "near"
    FAR = "far"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that a socket reported."""

    moment: int
    side: Side
    number: int
    """The errno; 0: the other end closed the connection."""

    def __str__(self) -> str:
        name = errno.errorcode.get(self.number, str(self.number)) if self.number else "closed"
        return f"{self.side} end: {name}"


@dataclass(frozen=True, slots=True)
class Probes:
    """Numbered packets in one direction: when each was sent and received (0: it was not)."""

    sent: tuple[int, ...]
    received: tuple[int, ...]

    @property
    def lost(self) -> int:
        """How many were sent and never received."""
        return sum(
            1
            for sent, received in zip(self.sent, self.received, strict=True)
            if sent and not received
        )

    def arrivals(self) -> list[int]:
        """When packets were received, in order of time."""
        return sorted(moment for moment in self.received if moment)

    def longest_gap(self) -> int:
        """The longest time between two packets that were received one after the other."""
        arrivals = self.arrivals()
        return max((later - one for one, later in pairwise(arrivals)), default=0)


@dataclass(frozen=True, slots=True)
class UdpReport:
    """What became of a UDP flow. Errors did not end it."""

    up: Probes
    down: Probes
    errors: tuple[Failure, ...]

    def up_after(self, moment: int) -> int | None:
        """When the first packet arrived that the near end sent after ``moment``; None: none did."""
        pairs = zip(self.up.sent, self.up.received, strict=True)
        return min(
            (received for sent, received in pairs if sent >= moment and received), default=None
        )

    def down_after(self, moment: int) -> int | None:
        """When the first packet arrived at the near end after ``moment``; None: none did."""
        return min((a for a in self.down.received if a >= moment), default=None)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Bytes of a stream that arrived within one millisecond, the first and the last of them."""

    first: int
    last: int
    size: int


@dataclass(frozen=True, slots=True)
class Stall:
    """A time without arrivals."""

    start: int
    end: int

    @property
    def duration(self) -> int:
        """In ns."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class TcpReport:
    """What became of a TCP flow between ``start`` and ``end``; a failure ended it."""

    start: int
    end: int
    up: tuple[Arrival, ...]
    down: tuple[Arrival, ...]
    failure: Failure | None

    def throughput(
        self, arrivals: tuple[Arrival, ...], interval: int = 10 * _MILLISECOND
    ) -> list[int]:
        """Bytes of ``up`` or ``down`` that arrived in each interval since ``start``."""
        samples = [0] * ((self.end - self.start) // interval + 1)
        for arrival in arrivals:
            samples[(arrival.first - self.start) // interval] += arrival.size
        return samples

    def stalls(
        self, arrivals: tuple[Arrival, ...], longer_than: int = 50 * _MILLISECOND
    ) -> list[Stall]:
        """The times without arrivals in ``up`` or ``down``, up to the end of the flow."""
        found = []
        last = self.start
        for arrival in (*arrivals, Arrival(self.end, self.end, 0)):
            if arrival.first - last > longer_than:
                found.append(Stall(last, arrival.first))
            last = arrival.last
        return found


Prepare = Callable[[socket.socket], object]
"""What to do with the near socket before it is connected: setsc(), bind()."""


def udp_pair(
    host: Node, peer: Node, address: IPv6Address, prepare: Prepare
) -> tuple[socket.socket, socket.socket]:
    """Two UDP sockets in the host and the correspondent, connected to each other.

    Raises:
        OSError: as ``prepare``, bind() and connect() do.
    """
    far = peer.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    near = host.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        far.bind((str(address), 0))
        prepare(near)
        near.connect(far.getsockname()[:2])
        far.connect(near.getsockname()[:2])
    except BaseException:
        near.close()
        far.close()
        raise
    return near, far


def tcp_pair(
    host: Node, peer: Node, address: IPv6Address, prepare: Prepare
) -> tuple[socket.socket, socket.socket]:
    """The two ends of a TCP connection from the host to the correspondent.

    Raises:
        OSError: as ``prepare``, bind() and connect() do.
    """
    near = host.socket(socket.AF_INET6, socket.SOCK_STREAM)
    try:
        with peer.socket(socket.AF_INET6, socket.SOCK_STREAM) as listening:
            listening.bind((str(address), 0))
            listening.listen()
            prepare(near)
            near.settimeout(_CONNECT_SECONDS)
            near.connect(listening.getsockname()[:2])
            far, _ = listening.accept()
    except BaseException:
        near.close()
        raise
    return near, far


Report = TypeVar("Report", UdpReport, TcpReport)


class _Flow(Generic[Report]):
    """A flow that is running; as a context manager it ends the flow."""

    _kind: type[Report]

    def __init__(self, near: socket.socket, far: socket.socket, *arguments: str) -> None:
        ends: list[int] = [near.fileno(), far.fileno()]
        with near, far:
            self._process: Final = subprocess.Popen(
                [sys.executable, "-m", "moorage.lab.generator", *arguments, *map(str, ends)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=ends,
            )
        self._report: Report | None = None
        if self._output().read(1) != b"\n":
            self._process.wait()
            raise LabError("a flow ended before it began")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def ends_within(self, seconds: float) -> bool:
        """Wait until the flow ends by itself, since it failed; False: it goes on."""
        return self._report is not None or bool(select.select([self._output()], [], [], seconds)[0])

    def stop(self) -> Report:
        """End the flow, and close its sockets; return what became of it."""
        if self._report is None:
            with self._process:
                data, _ = self._process.communicate()
            self._report = msgspec.json.decode(data, type=self._kind)
        return self._report


class UdpFlow(_Flow[UdpReport]):
    """A packet in each direction every ``interval`` seconds."""

    _kind = UdpReport

    @classmethod
    def start(cls, near: socket.socket, far: socket.socket, interval: float = 0.001) -> Self:
        """Begin to send between two connected sockets, which the flow owns from now on."""
        return cls(near, far, "udp", str(interval))


class TcpFlow(_Flow[TcpReport]):
    """A stream in one direction or both, in an even pace or as fast as it can."""

    _kind = TcpReport

    UNLIMITED: Final = -1

    @classmethod
    def start(cls, near: socket.socket, far: socket.socket, *, up: int = 0, down: int = 0) -> Self:
        """Begin to send over a connection, whose sockets the flow owns from now on.

        ``up`` and ``down`` are bytes a second.
        """
        return cls(near, far, "tcp", str(up), str(down))
