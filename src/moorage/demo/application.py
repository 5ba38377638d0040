"""An application on the mobile host, as the draft has it: setsc(), bind(), connect(), and again.

It asks for the service types that it was given, one after the other, until one is supported. Then
it sends small pieces in an even pace and reads them back, since the other end is an echo server
(see `echo`). When its connection ends it makes a new one in the same way. What happens to it goes
to its standard output, an `Event` a line.
"""

from __future__ import annotations

import errno
import select
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

import moorage
from moorage.service import ServiceType

PIECE_BYTES: Final = 250
PIECE_SECONDS: Final = 0.002
"""Pace of the stream, which bounds how short an interruption it can show."""

_REPORT_SECONDS: Final = 0.05
_RETRY_SECONDS: Final = 0.01
_PATIENCE_SECONDS: Final = 5.0
_READ_BYTES: Final = 1 << 16


class Arrival(NamedTuple):
    """Bytes that came back, in ns of CLOCK_MONOTONIC."""

    moment: int
    size: int


class _Event(msgspec.Struct, frozen=True, tag=True):
    """What happened to the application; its class name tells what."""


class Refused(_Event, frozen=True):
    """``setsc()`` failed after so many ns, with the draft's number."""

    moment: int
    service: ServiceType
    setsc_ns: int
    eai: int
    text: str


class Connected(_Event, frozen=True):
    """A connection is up, from the address that ``setsc()`` returned after so many ns."""

    moment: int
    service: ServiceType
    address: str
    setsc_ns: int


class Ended(_Event, frozen=True):
    """The connection ended, or could not be made, with this errno (0: the server closed it)."""

    moment: int
    number: int


class Arrived(_Event, frozen=True):
    """What came back since the last report."""

    arrivals: list[Arrival]


Event = Refused | Connected | Ended | Arrived


def _tell(event: Event) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
    sys.stdout.buffer.flush()


def _connect(server: tuple[str, int], service: ServiceType) -> socket.socket:
    """Connect from an address of a type. Raises SetscError, OSError."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    try:
        asked = time.monotonic_ns()
        address = moorage.setsc(sock, service)
        given = time.monotonic_ns()
        sock.bind((str(address), 0))
        sock.settimeout(_PATIENCE_SECONDS)
        sock.connect(server)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        source = sock.getsockname()[0]
        _tell(Connected(time.monotonic_ns(), service, source, given - asked))
    except BaseException:
        sock.close()
        raise
    return sock


def _stream(sock: socket.socket) -> None:
    """Send and read until the connection ends. Raises OSError, with errno 0 if it was closed."""
    due = time.monotonic()
    report_at = due + _REPORT_SECONDS
    arrivals: list[Arrival] = []
    try:
        while True:
            wait = max(0.0, due - time.monotonic())
            readable = select.select([sock], [], [], wait)[0]
            if readable:
                size = len(sock.recv(_READ_BYTES))
                if not size:
                    raise ConnectionError(0, "closed")
                arrivals.append(Arrival(time.monotonic_ns(), size))
            now = time.monotonic()
            if now >= due:
                due = max(due + PIECE_SECONDS, now)
                try:
                    sock.send(bytes(PIECE_BYTES))
                except BlockingIOError:  # all that may be under way is
                    pass
            if arrivals and now >= report_at:
                _tell(Arrived(arrivals))
                arrivals = []
                report_at = now + _REPORT_SECONDS
    finally:
        _tell(Arrived(arrivals))


def run(server: tuple[str, int], services: Sequence[ServiceType]) -> None:
    """Be connected for as long as one of ``services`` is supported."""
    remaining = list(services)
    while remaining:
        asked = time.monotonic_ns()
        try:
            with _connect(server, remaining[0]) as sock:
                _stream(sock)
        except moorage.SetscError as error:
            now = time.monotonic_ns()
            _tell(Refused(now, remaining[0], now - asked, error.eai, str(error)))
            if isinstance(error, moorage.RequiredIPNotSupported):
                del remaining[0]
            else:  # the network may be back in a moment
                time.sleep(_RETRY_SECONDS)
        except OSError as error:
            _tell(Ended(time.monotonic_ns(), error.errno or 0))
            if error.errno != errno.ECONNABORTED:
                time.sleep(_RETRY_SECONDS)


if __name__ == "__main__":
    _, host, port, *slugs = sys.argv
    run((host, int(port)), [ServiceType.from_slug(slug) for slug in slugs])
