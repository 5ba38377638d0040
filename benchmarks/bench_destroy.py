"""How soon after a hard move a ``recv()`` on the Non-persistent address of before ends."""

from __future__ import annotations

import errno
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import IPv6Address, IPv6Network
from typing import Final

import moorage
from benchmarks import handoff, report
from benchmarks.figure import Figure
from moorage import ServiceType
from moorage.kernel.sock_diag import SockDiag, socket_cookie
from moorage.lab.lab import Lab

_TOPOLOGY: Final = "two-routers"
_REPETITIONS: Final = 20
_LIMIT_MS: Final = 100.0
_KINDS: Final = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
_ASLEEP: Final = 0.05
"""Seconds until a thread surely waits in ``recv()``."""


def run() -> list[Figure]:
    """Measure in one lab, each move in turn with its reference.

    The reference is the kernel's part: SOCK_DESTROY by our netlink messages, no move before it.
    """
    with handoff.daemons(_TOPOLOGY) as lab, ThreadPoolExecutor(1) as reader:
        return [_figure(lab, reader, name, kind) for name, kind in _KINDS.items()]


def _figure(lab: Lab, reader: ThreadPoolExecutor, name: str, kind: socket.SocketKind) -> Figure:
    table = lab.node(handoff.HOST).call(SockDiag)
    moves, destroyed = [], []
    for number in range(_REPETITIONS):
        with _waiting(lab, reader, kind) as (near, ended):
            start = time.monotonic_ns()
            _destroy(table, near)
            destroyed.append((ended.result() - start) / 1e6)
        with _waiting(lab, reader, kind) as (_, ended):
            router = (handoff.OTHER, handoff.ANCHOR)[number % 2]
            carrier = lab.move(handoff.HOST, router).up
            moves.append((ended.result() - carrier) / 1e6)
    table.close()
    return Figure(
        f"{name} recv() ends, from new link's carrier",
        "ms",
        tuple(moves),
        "SOCK_DESTROY alone",
        tuple(destroyed),
        _LIMIT_MS,
    )


@contextmanager
def _waiting(
    lab: Lab, reader: ThreadPoolExecutor, kind: socket.SocketKind
) -> Iterator[tuple[socket.socket, Future[int]]]:
    """A socket in whose ``recv()`` a thread waits, and the moment when that ends, in ns."""
    address = lab.topology().correspondents[handoff.CORRESPONDENT].core.address
    peer, host = lab.node(handoff.CORRESPONDENT), lab.node(handoff.HOST)
    with peer.socket(socket.AF_INET6, kind) as far, host.socket(socket.AF_INET6, kind) as near:
        far.bind((str(address), 0))
        if kind is socket.SOCK_STREAM:
            far.listen()
        near.bind((str(moorage.setsc(near, ServiceType.NON_PERSISTENT)), 0))
        near.connect(far.getsockname()[:2])
        ended = reader.submit(_end_of_recv, near)
        time.sleep(_ASLEEP)
        yield near, ended


def _end_of_recv(sock: socket.socket) -> int:
    try:
        sock.recv(1)
    except OSError as error:
        if error.errno == errno.ECONNABORTED:
            return time.monotonic_ns()
        raise
    raise RuntimeError("recv() returned")


def _destroy(table: SockDiag, sock: socket.socket) -> None:
    cookie = socket_cookie(sock)
    source = IPv6Network(IPv6Address(sock.getsockname()[0]))
    [info] = [info for info in table.sockets_from(source) if info.cookie == cookie]
    table.destroy(info)


if __name__ == "__main__":
    sys.exit(report.standalone(run))
