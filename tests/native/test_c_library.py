"""What the C calls return, against a small daemon that is real but for what it knows."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from moorage.numbers import (
    EAI_REQUIREDIPFAILED,
    EAI_REQUIREDIPNOTSUPPORTED,
    IPV6_REQUIRE_SRC_ON_NET,
)
from moorage.service import ServiceType
from moorage.wire.app import Operation, Reason, Reply, Request
from tests.native.checkers import Checker
from tests.native.workshop import UNTOUCHED, Library, Outcome
from tests.small_daemon import FIXED, LASTING, LOOPBACK, Answering, Start, gives, refuses

pytestmark = pytest.mark.interop

FAILED = EAI_REQUIREDIPFAILED
NOT_SUPPORTED = EAI_REQUIREDIPNOTSUPPORTED
ADDRESS = IPv6Address("2001:db8::7")

# What errno is for the daemon's reasons.
ERRNO = {
    Reason.TYPE_NOT_OFFERED: errno.EOPNOTSUPP,
    Reason.POOL_FULL: errno.EADDRNOTAVAIL,
    Reason.QUOTA: errno.EDQUOT,
    Reason.NOT_AUTHORISED: errno.EACCES,
    Reason.TRY_LATER: errno.EAGAIN,
    Reason.SIGNATURE_OR_TIME: errno.EKEYREJECTED,
    Reason.DETACHED: errno.ENETUNREACH,
    Reason.TIMEOUT: errno.ETIMEDOUT,
    Reason.NO_SERVICE: errno.EOPNOTSUPP,
    Reason.BAD_REQUEST: errno.EINVAL,
    Reason.HOST_NOT_AUTHORISED: errno.EACCES,
    Reason.HOST_QUOTA: errno.EDQUOT,
}


def failed(reason: int, status: int = FAILED) -> Outcome:
    return Outcome(status, reason, UNTOUCHED)


# ---- the daemon answers ---------------------------------------------------------------------


@pytest.mark.parametrize("service", ServiceType)
def test_address(library: Library, start: Start, sock: socket.socket, service: ServiceType) -> None:
    daemon = start(gives(ADDRESS))
    assert library.call(sock.fileno(), service) == Outcome(0, 0, ADDRESS.packed)
    [request] = daemon.requests
    assert request == Request(request.id, Operation.SETSC, service, False, 0, 0)
    status = os.fstat(sock.fileno())
    assert daemon.subjects == [(status.st_dev, status.st_ino)]
    assert sock.getsockname()[:2] == ("::", 0)


def test_options(library: Library, start: Start, sock: socket.socket) -> None:
    daemon = start(gives(ADDRESS))
    library.setsc(sock, LASTING, on_net=7, timeout_ms=1500, lifetime=0xFFFFFFFF)
    library.setsc(sock, LASTING, on_net=0)
    asked = [(each.on_net, each.timeout_ms, each.lifetime) for each in daemon.requests]
    assert asked == [(True, 1500, 0xFFFFFFFF), (False, 0, 0)]


@pytest.mark.parametrize("reason", ERRNO)
@pytest.mark.parametrize("status", [FAILED, NOT_SUPPORTED])
def test_refusals(
    library: Library, start: Start, sock: socket.socket, status: int, reason: Reason
) -> None:
    start(refuses(status, reason))
    assert library.call(sock.fileno(), FIXED) == failed(ERRNO[reason], status)


def test_a_code_that_is_not_the_drafts(library: Library, start: Start, sock: socket.socket) -> None:
    start(refuses(-3, Reason.QUOTA))
    assert library.call(sock.fileno(), FIXED) == failed(errno.EDQUOT)


def test_a_new_reason(library: Library, start: Start, sock: socket.socket) -> None:
    start(lambda request: [changed(request, slice(12, 13), b"\xc8", status=NOT_SUPPORTED)])
    assert library.call(sock.fileno(), FIXED) == failed(errno.EPROTO, NOT_SUPPORTED)


# ---- nobody does ----------------------------------------------------------------------------


def test_no_daemon(library: Library, path: Path, sock: socket.socket) -> None:
    assert library.call(sock.fileno(), FIXED) == failed(errno.ENOENT, NOT_SUPPORTED)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as ended:
        ended.bind(str(path))
    assert library.call(sock.fileno(), FIXED) == failed(errno.ECONNREFUSED, NOT_SUPPORTED)


def test_a_path_that_cannot_be(
    library: Library, sock: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORAGE_SOCKET", "/" + "x" * 107)
    assert library.call(sock.fileno(), FIXED) == failed(errno.ENAMETOOLONG, NOT_SUPPORTED)


def test_a_daemon_that_hangs(library: Library, path: Path, sock: socket.socket) -> None:
    """Neither where nobody takes connections nor where nobody answers does a call hang."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(str(path))
        listener.listen(0)
        assert library.call(sock.fileno(), FIXED, timeout_ms=1) == failed(errno.ETIMEDOUT)
        # Its queue is full now, for the one above is still in it.
        assert library.call(sock.fileno(), FIXED, timeout_ms=1) == failed(errno.ETIMEDOUT)


# ---- somebody answers who should not --------------------------------------------------------


def changed(request: Request, where: slice, to: bytes, status: int = 0) -> bytes:
    reply = bytearray(Reply(request.id, status, Reason.NONE, ADDRESS, 60).encode())
    reply[where] = to
    return bytes(reply)


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: b"\0",
        lambda request: changed(request, slice(35, 36), b""),
        lambda request: changed(request, slice(36, 36), b"\0"),
        lambda request: changed(request, slice(36, 36), bytes(100_000)),
        lambda request: changed(request, slice(0, 2), b"RM"),
        lambda request: changed(request, slice(2, 3), b"\x02"),
        lambda request: changed(request, slice(3, 4), b"\x01"),
        lambda request: changed(request, slice(4, 8), b"\xff\xff\xff\xff"),
        lambda request: request.encode(),
    ],
    ids=["byte", "short", "long", "huge", "magic", "version", "kind", "id", "echo"],
)
def test_nonsense(
    library: Library, start: Start, sock: socket.socket, answer: Callable[[Request], bytes]
) -> None:
    start(lambda request: [answer(request)])
    assert library.call(sock.fileno(), FIXED) == failed(errno.EPROTO)


def test_a_daemon_that_hangs_up(library: Library, start: Start, sock: socket.socket) -> None:
    start(lambda request: [])
    assert library.call(sock.fileno(), FIXED) == failed(errno.ECONNRESET)


# ---- mistakes of the caller -----------------------------------------------------------------


def test_what_is_no_ipv6_socket(library: Library, start: Start, tmp_path: Path) -> None:
    daemon = start(gives(ADDRESS))
    with (
        socket.socket(socket.AF_INET) as stream,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_UNIX) as unix,
        (tmp_path / "file").open("w") as file,
    ):
        for descriptor, reason in (
            (-1, errno.EBADF),
            (file.fileno(), errno.ENOTSOCK),
            (stream.fileno(), errno.EAFNOSUPPORT),
            (datagrams.fileno(), errno.EAFNOSUPPORT),
            (unix.fileno(), errno.EAFNOSUPPORT),
        ):
            assert library.call(descriptor, FIXED) == failed(reason)
    assert daemon.requests == []


@pytest.mark.parametrize("number", [-1, 0, 5, 6, 7, 8, 257, 0x7FFFFFFF])
def test_reserved_types(library: Library, start: Start, sock: socket.socket, number: int) -> None:
    daemon = start(gives(ADDRESS))
    assert library.call(sock.fileno(), number) == failed(errno.EINVAL)
    assert daemon.requests == []


def test_a_lifetime_for_another_type(library: Library, start: Start, sock: socket.socket) -> None:
    start(gives(ADDRESS))
    assert library.call(sock.fileno(), FIXED, lifetime=1) == failed(errno.EINVAL)


def test_no_place_for_the_address(library: Library, start: Start, sock: socket.socket) -> None:
    start(gives(ADDRESS))
    assert library.loaded.setsc(sock.fileno(), None, 1) == FAILED
    assert ctypes.get_errno() == errno.EFAULT


# ---- the connection that is kept ------------------------------------------------------------


def test_one_connection_for_all_calls(library: Library, start: Start, sock: socket.socket) -> None:
    answerings: list[Answering] = [gives(ADDRESS), refuses(FAILED, Reason.QUOTA), gives(ADDRESS)]
    daemon = start(lambda request: answerings.pop(0)(request))
    assert [library.call(sock.fileno(), FIXED).status for _ in range(3)] == [0, FAILED, 0]
    assert len(daemon.connections) == 1
    assert len({request.id for request in daemon.requests}) == 3


def test_none_is_kept_after_nonsense(library: Library, start: Start, sock: socket.socket) -> None:
    answerings: list[Answering] = [lambda request: [b"?"], gives(ADDRESS), gives(ADDRESS)]
    daemon = start(lambda request: answerings.pop(0)(request))
    assert [library.call(sock.fileno(), FIXED).status for _ in range(3)] == [FAILED, 0, 0]
    assert len(daemon.connections) == 2
    assert daemon.connections[0].recv(1) == b""


def test_an_answer_too_many(library: Library, start: Start, sock: socket.socket) -> None:
    """What answers no request is not taken for the answer to the next one."""
    start(lambda request: 2 * gives(ADDRESS + request.type)(request))
    assert library.setsc(sock, 1) == ADDRESS + 1
    assert library.call(sock.fileno(), 2) == failed(errno.EPROTO)
    assert library.setsc(sock, 3) == ADDRESS + 3


def test_a_daemon_that_was_started_anew(
    library: Library, start: Start, sock: socket.socket
) -> None:
    first = start(gives(ADDRESS))
    library.setsc(sock, FIXED)
    first.stop()
    start(gives(LOOPBACK))
    assert library.setsc(sock, FIXED) == LOOPBACK


def test_a_program_that_closes_what_it_does_not_know(
    library: Library, start: Start, sock: socket.socket, path: Path
) -> None:
    """The number of the connection may be anything's then: nothing is sent there, nor closed."""
    daemon = start(gives(ADDRESS))
    library.setsc(sock, FIXED)
    [connection] = [
        int(name) for name in os.listdir("/proc/self/fd") if is_connected_to(int(name), path)
    ]
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        os.dup2(here.fileno(), connection)
        assert library.setsc(sock, FIXED) == ADDRESS
        there.setblocking(False)
        with pytest.raises(BlockingIOError):
            there.recv(1)
        os.close(connection)
    assert len(daemon.connections) == 2


def is_connected_to(descriptor: int, path: Path) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            return bool(sock.getpeername() == str(path))
    except OSError:
        return False


def test_another_path(
    library: Library, start: Start, sock: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(gives(ADDRESS))
    library.setsc(sock, FIXED)
    monkeypatch.setenv("MOORAGE_SOCKET", "/nobody")
    assert library.call(sock.fileno(), FIXED) == failed(errno.ENOENT, NOT_SUPPORTED)


def test_other_rights(library: Library, start: Start, sock: socket.socket, path: Path) -> None:
    """Who has given up his rights is known to the daemon by those that he has left."""
    daemon = start(gives(ADDRESS))
    path.chmod(0)
    library.setsc(sock, FIXED)
    child = os.fork()
    if child == 0:
        library.setsc(sock, FIXED)
        os.setegid(65534)
        library.setsc(sock, FIXED)
        os.seteuid(65534)
        os._exit(library.call(sock.fileno(), FIXED).errno)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.EACCES
    assert len(daemon.connections) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a program with his rights")
def test_who_borrows_rights_does_not_choose_the_daemon(
    probe: Callable[[Checker], list[str]], start: Start
) -> None:
    """A set-user-ID program ignores MOORAGE_SOCKET: it could be led to a daemon of its user's."""
    daemon = start(gives(ADDRESS))
    with tempfile.TemporaryDirectory() as folder:
        [program] = probe(Checker("plain"))
        borrowed = Path(shutil.copy(program, folder))
        Path(folder).chmod(0o755)
        borrowed.chmod(0o4755)
        assert subprocess.run([borrowed, "refused"], user=65534, check=False).returncode == 0
    assert daemon.requests == []


# ---- threads and processes ------------------------------------------------------------------


def test_threads(library: Library, start: Start) -> None:
    def address(request: Request) -> list[bytes]:
        return gives(ADDRESS + request.type)(request)

    def ask(service: ServiceType) -> IPv6Address:
        with socket.socket(socket.AF_INET6) as sock:
            return library.setsc(sock, service)

    start(address)
    wanted = [*ServiceType] * 25
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, wanted)) == [ADDRESS + service for service in wanted]


def test_a_child(library: Library, start: Start, sock: socket.socket) -> None:
    """A child and its parent call for the same socket, each over a connection of its own."""
    daemon = start(gives(ADDRESS))
    library.setsc(sock, LASTING)
    child = os.fork()
    address = library.call(sock.fileno(), LASTING).address
    if child == 0:
        os._exit(address != ADDRESS.packed)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert address == ADDRESS.packed
    assert (len(daemon.subjects), len(daemon.connections)) == (3, 2)
    assert len(set(daemon.subjects)) == 1


def test_signals(library: Library, start: Start, sock: socket.socket) -> None:
    """A signal while a call waits does not end it."""

    def answer(request: Request) -> list[bytes]:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        return gives(ADDRESS)(request)

    start(answer)
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        for _ in range(100):
            assert library.setsc(sock, LASTING) == ADDRESS
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_copy_of_the_socket(library: Library, start: Start, sock: socket.socket) -> None:
    daemon = start(gives(ADDRESS))
    with sock.dup() as copy:
        library.setsc(copy, LASTING)
    library.setsc(sock, LASTING)
    assert len(set(daemon.subjects)) == 1


# ---- texts ----------------------------------------------------------------------------------


def test_every_result_has_a_text(library: Library) -> None:
    texts = [library.strerror(status) for status in (0, FAILED, NOT_SUPPORTED, -2)]
    assert all(texts)
    assert len(set(texts)) == len(texts)


# ---- hooks in the kernel --------------------------------------------------------------------


class Hooks:
    """What the kernel that hooks.c plays knows."""

    def __init__(self, library: Library, kept: int = 0, known: int = 0) -> None:
        self._loaded = library.loaded
        self.kept, self.system_calls = kept, 0
        ctypes.c_uint32.in_dll(self._loaded, "type_with_address").value = known
        place = (ctypes.c_char * 16).in_dll(self._loaded, "its_address")
        place.raw = LOOPBACK.packed

    @property
    def kept(self) -> int:
        return ctypes.c_uint32.in_dll(self._loaded, "kept_flags").value

    @kept.setter
    def kept(self, value: int) -> None:
        ctypes.c_uint32.in_dll(self._loaded, "kept_flags").value = value

    @property
    def system_calls(self) -> int:
        return ctypes.c_int.in_dll(self._loaded, "system_calls").value

    @system_calls.setter
    def system_calls(self, value: int) -> None:
        ctypes.c_int.in_dll(self._loaded, "system_calls").value = value


@pytest.mark.parametrize("before", [0, ServiceType.GRACEFUL_REPLACEMENT])
def test_the_kernel_answers(hooked: Library, path: Path, sock: socket.socket, before: int) -> None:
    hooks = Hooks(hooked, kept=before << 13, known=LASTING)
    assert hooked.setsc(sock, LASTING) == LOOPBACK
    assert hooks.kept == before << 13
    assert hooks.system_calls == 1


def test_the_kernel_has_no_address(hooked: Library, start: Start, sock: socket.socket) -> None:
    daemon = start(gives(ADDRESS))
    hooks = Hooks(hooked, known=LASTING)
    assert hooked.setsc(sock, FIXED) == ADDRESS
    assert hooks.kept == 0
    assert [request.type for request in daemon.requests] == [FIXED]


def test_the_flag_of_the_socket(hooked: Library, start: Start, sock: socket.socket) -> None:
    daemon = start(gives(ADDRESS))
    hooks = Hooks(hooked, kept=IPV6_REQUIRE_SRC_ON_NET, known=LASTING)
    assert hooked.setsc(sock, LASTING) == ADDRESS
    assert hooks.kept == IPV6_REQUIRE_SRC_ON_NET
    assert [request.on_net for request in daemon.requests] == [True]


@pytest.mark.parametrize("options", [{"on_net": 1}, {"lifetime": 60}])
def test_what_the_kernel_cannot_decide(
    hooked: Library, start: Start, sock: socket.socket, options: dict[str, int]
) -> None:
    start(gives(ADDRESS))
    Hooks(hooked, known=LASTING)
    assert hooked.setsc(sock, LASTING, **options) == ADDRESS
