"""Watching an address, against a small daemon that tells what the test wants."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
from collections.abc import Callable
from ipaddress import IPv6Address

import pytest

import moorage
from moorage import aio
from moorage.numbers import EAI_REQUIREDIPFAILED
from moorage.wire.app import Operation, Reason, Reply, Request
from moorage.wire.notice import encode_notice
from tests.small_daemon import LOOPBACK, Start, refuses

DETACHED = moorage.Detached(LOOPBACK)
MOVED = moorage.Moved(LOOPBACK)


def accepted(request: Request) -> bytes:
    return Reply(request.id, 0, Reason.NONE, IPv6Address(0), 0).encode()


def tells(*notices: moorage.Detached | moorage.Moved) -> Callable[[Request], list[bytes]]:
    return lambda request: [accepted(request), *map(encode_notice, notices)]


def readable(watch: moorage.Watch) -> bool:
    return bool(select.select([watch], [], [], 10)[0])


def test_what_happened_is_read_without_waiting(start: Start, sock: socket.socket) -> None:
    daemon = start(tells(DETACHED, MOVED))
    with moorage.watch(sock) as watch:
        events: list[moorage.Event] = []
        while len(events) < 2:
            assert readable(watch)
            events += watch.read()
        assert events == [DETACHED, MOVED]
        assert watch.read() == []
    [request] = daemon.requests
    assert request.operation is Operation.WATCH
    assert len(daemon.subjects) == 1


def test_it_is_readable_when_something_happened(start: Start, sock: socket.socket) -> None:
    daemon = start(tells())
    with moorage.watch(sock) as watch:
        assert not select.select([watch], [], [], 0)[0]
        daemon.connections[0].send(encode_notice(MOVED))
        assert readable(watch)
        assert watch.read() == [MOVED]


def test_iteration_waits_until_nothing_happens_for_long(start: Start, sock: socket.socket) -> None:
    start(tells(DETACHED, MOVED))
    with moorage.watch(sock) as watch:
        assert list(watch.events(timeout=0.2)) == [DETACHED, MOVED]
        assert not watch.over


@pytest.mark.parametrize("last", [b"", b"nonsense"])
def test_the_end_of_the_daemon_is_the_last_event(
    last: bytes, start: Start, sock: socket.socket
) -> None:
    daemon = start(tells(DETACHED))
    with moorage.watch(sock) as watch:
        events = iter(watch)
        assert next(events) == DETACHED
        if last:
            daemon.connections[0].send(last)
        else:
            daemon.connections[0].shutdown(socket.SHUT_RDWR)
        assert list(events) == [moorage.Interrupted()]
        assert watch.over
        assert readable(watch)
        assert watch.read() == []
        assert list(watch) == []


def test_a_closed_watch_tells_nothing(start: Start, sock: socket.socket) -> None:
    start(tells(DETACHED))
    watch = moorage.watch(sock)
    watch.close()
    assert watch.over
    assert watch.read() == []
    assert list(watch) == []


@pytest.mark.parametrize("address", [LOOPBACK, "::1"])
def test_an_address_is_watched_by_a_socket_bound_to_it(
    address: IPv6Address | str, start: Start
) -> None:
    daemon = start(tells(MOVED))
    with moorage.watch(address) as watch:
        assert next(iter(watch)) == MOVED
    assert len(daemon.subjects) == 1


def test_an_address_of_others_cannot_be_watched(start: Start) -> None:
    daemon = start(tells())
    with pytest.raises(OSError, match="assign") as caught:
        moorage.watch("2001:db8::99")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert daemon.requests == []


def blocking(subject: socket.socket | str) -> None:
    moorage.watch(subject).close()


async def in_loop(subject: socket.socket | str) -> None:
    async with aio.watch(subject):
        pass


def awaiting(subject: socket.socket | str) -> None:
    asyncio.run(in_loop(subject))


both = pytest.mark.parametrize("watch", [blocking, awaiting])
Watching = Callable[[socket.socket | str], None]


@both
def test_no_daemon(watch: Watching, sock: socket.socket) -> None:
    with pytest.raises(moorage.RequiredIPNotSupported):
        watch(sock)


@both
def test_a_socket_without_an_address(watch: Watching, start: Start, sock: socket.socket) -> None:
    start(refuses(EAI_REQUIREDIPFAILED, Reason.NO_ADDRESS))
    with pytest.raises(OSError, match="looks after") as caught:
        watch(sock)
    assert caught.value.errno == errno.EADDRNOTAVAIL


@both
def test_another_refusal(watch: Watching, start: Start, sock: socket.socket) -> None:
    start(refuses(EAI_REQUIREDIPFAILED, Reason.NOT_AUTHORISED))
    with pytest.raises(moorage.RequiredIPFailed, match="not allow"):
        watch(sock)


@both
def test_a_daemon_that_hangs_up(watch: Watching, start: Start, sock: socket.socket) -> None:
    start(lambda request: [])
    with pytest.raises(moorage.RequiredIPFailed, match="hung up"):
        watch(sock)


@both
def test_what_is_no_ipv6_socket_or_address(watch: Watching, start: Start) -> None:
    start(tells())
    with socket.socket(socket.AF_INET) as sock, pytest.raises(ValueError, match="IPv6 sockets"):
        watch(sock)
    with pytest.raises(ValueError, match="closed"):
        watch(sock_that_is_closed())
    with pytest.raises(ValueError, match=r"192\.0\.2\.1"):
        watch("192.0.2.1")


def sock_that_is_closed() -> socket.socket:
    sock = socket.socket(socket.AF_INET6)
    sock.close()
    return sock


async def test_in_a_loop(start: Start, sock: socket.socket) -> None:
    daemon = start(tells(DETACHED, MOVED))
    async with aio.watch(sock) as events:
        assert [await anext(events), await anext(events)] == [DETACHED, MOVED]
        daemon.connections[0].shutdown(socket.SHUT_RDWR)
        assert [event async for event in events] == [moorage.Interrupted()]


async def test_a_loop_goes_on_while_nothing_happens(start: Start, sock: socket.socket) -> None:
    daemon = start(tells())
    async with aio.watch(sock) as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        assert not waiting.done()
        daemon.connections[0].send(encode_notice(MOVED))
        assert await waiting == MOVED


async def test_a_cancelled_watch_hangs_up(start: Start, sock: socket.socket) -> None:
    daemon = start(tells())
    entered = asyncio.Event()

    async def follow() -> None:
        async with aio.watch(sock) as events:
            entered.set()
            async for _ in events:
                pass

    task = asyncio.create_task(follow())
    await entered.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await asyncio.to_thread(daemon.threads[1].join, 10)
    assert not daemon.threads[1].is_alive()
