"""The daemon's side of the unix socket, with real sockets on both sides."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from moorage.complaints import Complaints
from moorage.host.applications import Application, ApplicationServer
from moorage.host.outbox import ROOM
from moorage.host.subject import Subject
from moorage.kernel.sock_diag import socket_cookie
from moorage.wire.app import REPLY_LENGTH, Operation, Reason, Reply, Request, decode_reply
from moorage.wire.notice import NOTICE_LENGTH, Deprecated, Notice, Overrun, decode_notice

ADDRESS = IPv6Address("2001:db8:a::17")
SETSC = Request(1, Operation.SETSC, 2, False, 0)
WATCH = Request(2, Operation.WATCH, 0, False, 0)
HOLD = Request(3, Operation.HOLD, 2, False, 0)


class Server:
    """Remembers what applications asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: asyncio.Queue[tuple[Application, Request, Subject | None]] = asyncio.Queue()
        self.left: asyncio.Queue[Application] = asyncio.Queue()
        self.complaints = Complaints(logging.getLogger(__name__))
        self._server = ApplicationServer(path, self._ask, self.left.put_nowait, self.complaints)
        self.close = self._server.close

    def _ask(self, application: Application, request: Request, subject: Subject | None) -> None:
        self.asked.put_nowait((application, request, subject))

    @contextmanager
    def application(self) -> Iterator[socket.socket]:
        """Connect as an application does."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(str(self.path))
            sock.setblocking(False)
            yield sock


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path / "host.sock")
    yield server
    server.close()


async def test_the_subject_is_the_socket_that_came_along(server: Server) -> None:
    with (
        server.application() as sock,
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as fresh,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound,
    ):
        bound.bind(("::1", 0))
        for subject, address in ((fresh, None), (bound, IPv6Address("::1"))):
            socket.send_fds(sock, [SETSC.encode()], [subject.fileno()])
            _, request, found = await server.asked.get()
            assert request == SETSC
            assert found == Subject(socket_cookie(subject), address)


async def test_a_request_that_is_about_no_socket(server: Server) -> None:
    with server.application() as sock:
        sock.send(HOLD.encode())
        _, request, subject = await server.asked.get()
        assert (request, subject) == (HOLD, None)


async def test_an_answer(server: Server) -> None:
    with server.application() as sock:
        sock.send(HOLD.encode())
        application, *_ = await server.asked.get()
        reply = Reply(3, 0, Reason.NONE, ADDRESS, 60)
        application.answer(reply)
        data = await asyncio.get_running_loop().sock_recv(sock, REPLY_LENGTH + 1)
        assert decode_reply(data) == reply


@pytest.mark.parametrize("record", [b"nonsense", SETSC.encode(), WATCH.encode()])
async def test_a_wrong_record_ends_the_connection(server: Server, record: bytes) -> None:
    with server.application() as sock:
        sock.send(record)
        await server.left.get()
        assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
        assert server.complaints.counts["application record"] == 1


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
async def test_only_ipv6_sockets_are_subjects(server: Server, family: int) -> None:
    with server.application() as sock, socket.socket(family) as subject:
        socket.send_fds(sock, [WATCH.encode()], [subject.fileno()])
        await server.left.get()


async def test_notices_reach_their_reader(server: Server) -> None:
    with server.application() as sock:
        sock.send(HOLD.encode())
        application, *_ = await server.asked.get()
        application.notify(Deprecated(ADDRESS, 60))
        assert await received(sock) == Deprecated(ADDRESS, 60)


async def test_a_slow_reader_loses_the_oldest_and_learns_how_many(server: Server) -> None:
    count = 5 * ROOM
    with server.application() as sock:
        sock.send(HOLD.encode())
        application, *_ = await server.asked.get()
        for number in range(count):
            application.notify(Deprecated(ADDRESS, number))
        notices: list[Notice] = []
        while not notices or notices[-1] != Deprecated(ADDRESS, count - 1):
            notices.append(await received(sock))
    [overrun] = [notice for notice in notices if isinstance(notice, Overrun)]
    at = notices.index(overrun)
    assert at < ROOM
    assert notices[:at] == [Deprecated(ADDRESS, number) for number in range(at)]
    rest = range(at + overrun.lost, count)
    assert notices[at + 1 :] == [Deprecated(ADDRESS, number) for number in rest]
    assert len(rest) == ROOM


async def test_a_reader_that_leaves_while_notices_wait(server: Server) -> None:
    with server.application() as sock:
        sock.send(HOLD.encode())
        application, *_ = await server.asked.get()
        for number in range(ROOM):
            application.notify(Deprecated(ADDRESS, number))
    application.notify(Deprecated(ADDRESS, 0))
    assert await server.left.get() is application


async def received(sock: socket.socket) -> Notice:
    return decode_notice(await asyncio.get_running_loop().sock_recv(sock, NOTICE_LENGTH + 1))
