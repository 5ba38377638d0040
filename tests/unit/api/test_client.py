"""The application's side, against a small daemon that is real but for what it knows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address
from pathlib import Path

import pytest

import moorage
from moorage import aio, client
from moorage.numbers import EAI_REQUIREDIPFAILED, EAI_REQUIREDIPNOTSUPPORTED
from moorage.wire.app import Operation, Reason, Reply, Request
from tests.small_daemon import FIXED, LASTING, LOOPBACK, Start, gives, refuses


async def in_loop(sock: socket.socket) -> IPv6Address:
    return await aio.setsc(sock, FIXED)


def blocking(sock: socket.socket) -> IPv6Address:
    return moorage.setsc(sock, FIXED)


def awaiting(sock: socket.socket) -> IPv6Address:
    return asyncio.run(in_loop(sock))


both = pytest.mark.parametrize("ask", [blocking, awaiting])
Ask = Callable[[socket.socket], IPv6Address]


@both
def test_no_daemon(ask: Ask, sock: socket.socket) -> None:
    with pytest.raises(moorage.RequiredIPNotSupported) as caught:
        ask(sock)
    assert (caught.value.errno, caught.value.eai) == (-180, EAI_REQUIREDIPNOTSUPPORTED)
    assert caught.value.reason is Reason.NO_SERVICE


@both
def test_address(ask: Ask, start: Start, sock: socket.socket) -> None:
    daemon = start(gives(LOOPBACK))
    assert ask(sock) == LOOPBACK
    [request] = daemon.requests
    assert (request.operation, request.type) == (Operation.SETSC, FIXED)
    assert (request.on_net, request.timeout_ms) == (False, 0)
    status = os.fstat(sock.fileno())
    assert daemon.subjects == [(status.st_dev, status.st_ino)]


def test_options(start: Start, sock: socket.socket) -> None:
    daemon = start(gives(LOOPBACK))
    moorage.setsc(sock, 4, on_net=True, timeout=1.5)
    moorage.setsc(sock, 4, timeout=0)
    assert [(r.type, r.on_net, r.timeout_ms) for r in daemon.requests] == [
        (4, True, 1500),
        (4, False, 1),
    ]


def test_hold(start: Start) -> None:
    daemon = start(gives(LOOPBACK))
    with client.held(FIXED) as held:
        assert held.address == LOOPBACK
    assert [request.operation for request in daemon.requests] == [Operation.HOLD]
    assert daemon.subjects == []


@both
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (EAI_REQUIREDIPNOTSUPPORTED, moorage.RequiredIPNotSupported),
        (EAI_REQUIREDIPFAILED, moorage.RequiredIPFailed),
    ],
)
def test_refusal(
    ask: Ask, status: int, error: type[moorage.SetscError], start: Start, sock: socket.socket
) -> None:
    start(refuses(status, Reason.QUOTA))
    with pytest.raises(error) as caught:
        ask(sock)
    assert (caught.value.errno, caught.value.reason) == (status, Reason.QUOTA)


@both
def test_daemon_that_hangs_up(ask: Ask, start: Start, sock: socket.socket) -> None:
    start(lambda request: [])
    with pytest.raises(moorage.RequiredIPFailed, match="hung up"):
        ask(sock)


@both
def test_daemon_that_talks_nonsense(ask: Ask, start: Start, sock: socket.socket) -> None:
    start(lambda request: [b"nonsense"])
    with pytest.raises(moorage.RequiredIPFailed):
        ask(sock)


@both
def test_answer_to_an_earlier_request_is_skipped(
    ask: Ask, start: Start, sock: socket.socket
) -> None:
    def answering(request: Request) -> list[bytes]:
        late = Reply(request.id ^ 0x8000_0000, EAI_REQUIREDIPFAILED, Reason.TIMEOUT, LOOPBACK, 0)
        return [late.encode(), *gives(LOOPBACK)(request)]

    start(answering)
    assert ask(sock) == LOOPBACK


@both
def test_only_ipv6_sockets(ask: Ask) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock,
        pytest.raises(ValueError, match="IPv6"),
    ):
        ask(sock)


@both
def test_only_open_sockets(ask: Ask, sock: socket.socket) -> None:
    sock.close()
    with pytest.raises(ValueError, match="closed"):
        ask(sock)


@both
def test_only_sockets_without_a_source_address(
    ask: Ask, sock: socket.socket, listener: socket.socket
) -> None:
    sock.bind(("::1", 0))
    with pytest.raises(ValueError, match="source address ::1"):
        ask(sock)
    with (
        socket.create_connection(listener.getsockname()[:2]) as connected,
        pytest.raises(ValueError, match="source address ::1"),
    ):
        ask(connected)


@both
def test_a_socket_that_has_a_port_and_no_address(ask: Ask, start: Start) -> None:
    start(gives(LOOPBACK))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::", 0))
        assert ask(sock) == LOOPBACK


def waiting(sock: socket.socket) -> IPv6Address:
    return moorage.setsc(sock, FIXED, timeout=0.001)


def waiting_in_loop(sock: socket.socket) -> IPv6Address:
    return asyncio.run(aio.setsc(sock, FIXED, timeout=0.001))


@pytest.mark.parametrize("ask", [waiting, waiting_in_loop])
def test_a_daemon_that_does_not_answer_in_time(
    ask: Ask, start: Start, sock: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_GRACE", 0.01)
    start(lambda request: [Reply(request.id ^ 1, 0, Reason.NONE, LOOPBACK, 60).encode()])
    with pytest.raises(moorage.RequiredIPFailed, match="does not answer") as caught:
        ask(sock)
    assert caught.value.reason is Reason.TIMEOUT


def test_threads_at_once(start: Start) -> None:
    def answering(request: Request) -> list[bytes]:
        return gives(IPv6Address(request.type))(request)

    def ask(number: int) -> bool:
        with socket.socket(socket.AF_INET6) as sock:
            return all(moorage.setsc(sock, number) == IPv6Address(number) for _ in range(50))

    start(answering)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))


def test_one_connection_a_thread(start: Start, sock: socket.socket) -> None:
    daemon = start(gives(LOOPBACK))
    for _ in range(3):
        moorage.setsc(sock, FIXED)
    assert len(daemon.connections) == 1
    thread = threading.Thread(target=blocking, args=(sock,))
    thread.start()
    thread.join()
    assert len(daemon.connections) == 2
    assert len({request.id for request in daemon.requests}) == 4


def test_daemon_started_anew_between_calls(start: Start, sock: socket.socket) -> None:
    first = start(gives(LOOPBACK))
    moorage.setsc(sock, FIXED)
    first.stop()
    second = start(gives(IPv6Address("2001:db8::2")))
    assert moorage.setsc(sock, FIXED) == IPv6Address("2001:db8::2")
    assert len(second.requests) == 1


def test_daemon_gone_between_calls(start: Start, path: Path, sock: socket.socket) -> None:
    daemon = start(gives(LOOPBACK))
    moorage.setsc(sock, FIXED)
    daemon.stop()
    path.unlink()
    with pytest.raises(moorage.RequiredIPNotSupported):
        moorage.setsc(sock, FIXED)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_has_a_connection_of_its_own(start: Start, sock: socket.socket) -> None:
    daemon = start(gives(LOOPBACK))
    moorage.setsc(sock, FIXED)
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = 0 if moorage.setsc(sock, FIXED) == LOOPBACK else 1
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(daemon.connections) == 2
    moorage.setsc(sock, FIXED)
    assert len(daemon.connections) == 2


def test_create_connection(start: Start, listener: socket.socket) -> None:
    start(gives(LOOPBACK))
    address = listener.getsockname()[:2]
    with moorage.create_connection(address, FIXED, timeout=10) as connection:
        accepted, peer = listener.accept()
        with accepted:
            assert peer == connection.getsockname()
            accepted.send(b"hello")
            assert connection.recv(5) == b"hello"


def test_create_connection_without_an_address(listener: socket.socket) -> None:
    with pytest.raises(moorage.RequiredIPNotSupported):
        moorage.create_connection(listener.getsockname()[:2], FIXED)


def test_create_connection_refused(start: Start) -> None:
    start(gives(LOOPBACK))
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as closed:
        address = closed.getsockname()[:2]
    with pytest.raises(ConnectionRefusedError):
        moorage.create_connection(address, FIXED)


def test_create_connection_from_an_address_that_is_not_ours(
    start: Start, listener: socket.socket
) -> None:
    start(gives(IPv6Address("2001:db8::99")))
    with pytest.raises(OSError, match="assign"):
        moorage.create_connection(listener.getsockname()[:2], FIXED)


async def test_open_connection(start: Start) -> None:
    start(gives(LOOPBACK))

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, "::1", 0, family=socket.AF_INET6) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await aio.open_connection("::1", port, FIXED)
        assert await reader.read() == b"hello"
        assert writer.get_extra_info("sockname")[0] == "::1"
        writer.close()
        await writer.wait_closed()


async def test_open_connection_without_an_address() -> None:
    with pytest.raises(moorage.RequiredIPNotSupported):
        await aio.open_connection("::1", 9, FIXED)


async def test_the_loop_goes_on_while_somebody_waits(start: Start, sock: socket.socket) -> None:
    release = threading.Event()

    def answering(request: Request) -> list[bytes]:
        assert release.wait(10)
        return gives(LOOPBACK)(request)

    start(answering)
    waiting = asyncio.create_task(aio.setsc(sock, FIXED))
    await asyncio.sleep(0)
    assert not waiting.done()
    release.set()
    assert await waiting == LOOPBACK


@pytest.mark.parametrize("lifetime", [0, -1, 2**32])
def test_lifetimes_that_make_no_sense(sock: socket.socket, lifetime: int) -> None:
    with pytest.raises(ValueError, match="1 to 4294967295 seconds"):
        moorage.setsc(sock, LASTING, lifetime=lifetime)


def test_only_a_session_lasting_address_can_have_a_lifetime(sock: socket.socket) -> None:
    with pytest.raises(ValueError, match="Session-lasting"):
        moorage.setsc(sock, FIXED, lifetime=60)


def test_the_lifetime_is_asked_for(start: Start, sock: socket.socket) -> None:
    daemon = start(gives(LOOPBACK))
    moorage.setsc(sock, LASTING, lifetime=60)
    asyncio.run(aio.setsc(sock, LASTING, lifetime=61))
    assert [request.lifetime for request in daemon.requests] == [60, 61]


def test_without_a_type_policy_chooses(start: Start, sock: socket.socket) -> None:
    daemon = start(gives(LOOPBACK))
    moorage.setsc(sock)
    asyncio.run(aio.setsc(sock))
    moorage.setsc(sock, 0)
    assert [(request.operation, request.type) for request in daemon.requests] == [
        (Operation.DEFAULT, 0),
        (Operation.DEFAULT, 0),
        (Operation.SETSC, 0),
    ]
    with pytest.raises(ValueError, match="Session-lasting"):
        moorage.setsc(sock, lifetime=60)
