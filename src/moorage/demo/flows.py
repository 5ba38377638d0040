"""The flows of the demo: applications that run, and what has become of each until now."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from itertools import pairwise
from typing import Final, Self

import msgspec

from moorage.demo.application import Arrival, Arrived, Connected, Ended, Event, Refused
from moorage.lab.errors import LabError
from moorage.lab.lab import Node
from moorage.lab.traffic import Stall
from moorage.service import ServiceType


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of an application; times are ns of CLOCK_MONOTONIC."""

    service: ServiceType
    address: IPv6Address
    setsc_ns: int
    start: int
    end: int | None = None
    error: str | None = None
    """Why it ended, as the name of an errno."""


@dataclass(slots=True)
class History:
    """What has happened to one application.

    Attributes:
        failures: when a connection could not be made although there was an address, and why.
    """

    connections: list[Connection] = field(default_factory=list)
    refusals: list[Refused] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Add what happened next."""
        match event:
            case Connected():
                self.connections.append(
                    Connection(
                        event.service, IPv6Address(event.address), event.setsc_ns, event.moment
                    )
                )
            case Ended():
                error = errno.errorcode.get(event.number, "closed")
                if self.current is None:
                    self.failures.append((event.moment, error))
                else:
                    self.connections[-1] = replace(self.current, end=event.moment, error=error)
            case Refused():
                self.refusals.append(event)
            case Arrived():
                self.arrivals += event.arrivals

    @property
    def current(self) -> Connection | None:
        """The connection that is up."""
        last = self.connections[-1] if self.connections else None
        return last if last is not None and last.end is None else None

    def arrived_after(self, moment: int) -> bool:
        """Whether anything came back after ``moment``."""
        return bool(self.arrivals) and self.arrivals[-1].moment > moment


def interruption(arrivals: Sequence[Arrival], begin: int, until: int) -> Stall | None:
    """The longest time without arrivals that touches the time from ``begin`` to ``until``.

    None: nothing arrived before ``begin``, or nothing after it.
    """
    moments = [arrival.moment for arrival in arrivals]
    first = bisect_right(moments, begin) - 1
    if first < 0 or moments[-1] <= begin:
        return None
    last = max(bisect_right(moments, until), first + 1)
    touched = moments[first : last + 1]
    stalls = [Stall(one, other) for one, other in pairwise(touched)]
    return max(stalls, key=lambda stall: stall.duration)


class Flow:
    """An application that runs on the host; as a context manager it is ended."""

    def __init__(
        self,
        name: str,
        host: Node,
        server: tuple[IPv6Address, int],
        services: Sequence[ServiceType],
    ) -> None:
        """Launch it; it asks for the services one after the other."""
        self.name: Final = name
        self.services: Final = tuple(services)
        self.history: Final = History()
        address, port = server
        with _without_interrupts():
            self._process: Final = host.popen(
                [
                    *(sys.executable, "-m", "moorage.demo.application", str(address), str(port)),
                    *(service.slug for service in services),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
        self._changed: Final = threading.Condition()
        self._reader: Final = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.kill()
            self._reader.join()  # before its pipe is closed

    def _read(self) -> None:
        decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith(b"\n"):  # it was killed while it wrote
                return
            with self._changed:
                self.history.take(decoder.decode(line))
                self._changed.notify_all()

    def wait(self, condition: Callable[[History], bool], seconds: float) -> bool:
        """Wait until its history meets a condition; False: it did not in so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self.history), seconds)


@contextmanager
def echo_server(node: Node, address: IPv6Address) -> Iterator[tuple[IPv6Address, int]]:
    """Run an echo server in a node, and yield where it listens.

    Raises:
        LabError: it does not start.
    """
    with _without_interrupts():
        process = node.popen(
            [sys.executable, "-m", "moorage.demo.echo", str(address)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
    with process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline()
            if not port:
                raise LabError("the correspondent's echo server does not start")
            yield address, int(port)
        finally:
            process.kill()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Have what is started here not hear of Ctrl-C, which goes to every process of a terminal."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
