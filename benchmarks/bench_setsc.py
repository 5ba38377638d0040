"""``setsc()`` by the host daemon: with the address present, and with a new one from the network."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, ParamSpec

import moorage
from benchmarks import echo, handoff, report
from benchmarks.figure import Figure
from moorage import ServiceType
from moorage.lab.lab import Lab
from moorage.wire.app import REPLY_LENGTH, REQUEST_LENGTH

_P = ParamSpec("_P")

_TOPOLOGY: Final = "two-routers"

_PRESENT_CALLS: Final = 1000
_PRESENT_LIMIT_US: Final = 150.0
_BLOCK: Final = 100
"""Calls in a row, before the reference has its turn."""

_MANY: Final = 50
"""Addresses of the host, for the calls among many."""

_NEW_CALLS: Final = 20
_NEW_LIMIT_MS: Final = 10.0
_NEW_PAUSE: Final = 0.15
"""Seconds between calls: a DHCPv6 client sends no more than ten messages a second."""
_SOLICIT_BYTES: Final = 230
_REPLY_BYTES: Final = 180
"""About what the two DHCPv6 messages have."""
_PORT: Final = 50546

_WARM_UP: Final = 3


def run() -> list[Figure]:
    """Measure in one lab, each kind of call in turn with its reference."""
    with handoff.daemons(_TOPOLOGY) as lab:
        one = _present(lab, "setsc(), address present")
        new = _new(lab)
        with _more_addresses(lab, _MANY - _NEW_CALLS - _WARM_UP):
            return [one, _present(lab, f"setsc(), {_MANY} addresses present"), new]


@contextmanager
def _more_addresses(lab: Lab, count: int) -> Iterator[None]:
    """Have so many addresses more; those of the calls before linger on."""
    with ExitStack() as stack:
        for each in lab.node(handoff.HOST).call(_udp_sockets, count):
            stack.enter_context(each)
            time.sleep(_NEW_PAUSE)
            _setsc_on_net(each)
        yield


def _present(lab: Lab, name: str) -> Figure:
    """The reference is the same exchange, socket and all, with a server that does nothing.

    All of the sockets stay open meanwhile.
    """
    count = _PRESENT_CALLS + _WARM_UP
    sockets = lab.node(handoff.HOST).call(_udp_sockets, count)
    client, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    calls, exchanges = [], []
    with client, echo.answering(server, REPLY_LENGTH):
        for start in range(0, count, _BLOCK):
            block = sockets[start : start + _BLOCK]
            exchanges += [_seconds(_exchange, client, each) for each in block]
            calls += [_seconds(moorage.setsc, each, ServiceType.SESSION_LASTING) for each in block]
    for each in sockets:
        each.close()
    return Figure(
        name,
        "us",
        _scaled(calls, 1e6),
        "bare request and reply",
        _scaled(exchanges, 1e6),
        _PRESENT_LIMIT_US,
    )


def _new(lab: Lab) -> Figure:
    """The reference is a bare exchange of UDP packets of the same sizes with the router's node."""
    host, router = lab.node(handoff.HOST), lab.node(handoff.ANCHOR)
    address = str(lab.topology().routers[handoff.ANCHOR].access.router_address)
    server = router.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind((address, _PORT))
    calls, exchanges = [], []
    sockets = host.call(_udp_sockets, _NEW_CALLS + _WARM_UP)
    with (
        host.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client,
        echo.answering(server, _REPLY_BYTES),
    ):
        client.connect((address, _PORT))
        for each in sockets:
            time.sleep(_NEW_PAUSE)
            exchanges.append(_seconds(_send_and_wait, client))
            time.sleep(_NEW_PAUSE)
            calls.append(_seconds(_setsc_on_net, each))
    for each in sockets:
        each.close()
    return Figure(
        "setsc(), new prefix from the network",
        "ms",
        _scaled(calls, 1e3),
        "bare UDP exchange",
        _scaled(exchanges, 1e3),
        _NEW_LIMIT_MS,
    )


def _udp_sockets(count: int) -> list[socket.socket]:
    return [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(count)]


def _exchange(client: socket.socket, subject: socket.socket) -> None:
    socket.send_fds(client, [bytes(REQUEST_LENGTH)], [subject.fileno()])
    client.recv(REPLY_LENGTH + 1)


def _send_and_wait(client: socket.socket) -> None:
    client.send(bytes(_SOLICIT_BYTES))
    client.recv(_REPLY_BYTES + 1)


def _setsc_on_net(sock: socket.socket) -> None:
    moorage.setsc(sock, ServiceType.SESSION_LASTING, on_net=True)


def _seconds(call: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> float:
    start = time.perf_counter()
    call(*args, **kwargs)
    return time.perf_counter() - start


def _scaled(seconds: list[float], factor: float) -> tuple[float, ...]:
    """In another unit, without the first ones."""
    return tuple(factor * each for each in seconds[_WARM_UP:])


if __name__ == "__main__":
    sys.exit(report.standalone(run))
