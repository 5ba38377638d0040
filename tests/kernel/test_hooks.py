"""The hooks in the real kernel, as any program sees them."""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from ipaddress import IPv6Address

import pytest

from moorage.kernel.bpf import Unavailable
from moorage.kernel.hooks import Hooks, Offer, Rights, load_hooks
from moorage.kernel.sock_diag import socket_cookie
from moorage.numbers import IPV6_ADDR_PREFERENCES
from moorage.service import ServiceType
from tests.kernel.conftest import KernelWorld

pytestmark = pytest.mark.netns

FIXED, LASTING = ServiceType.FIXED, ServiceType.SESSION_LASTING
OPTION = (socket.IPPROTO_IPV6, IPV6_ADDR_PREFERENCES)
ON_NET = 0x1000
USUAL = 0x0500
ADDRESS = IPv6Address("2001:db8::7")
OTHER = IPv6Address("2001:db8::8")
SOMEBODY = 1001
NOTHING = Rights(frozenset(), frozenset())
FOREVER = float("inf")


def type_field(number: int) -> int:
    return number << 13


@pytest.fixture
def hooks(kernel: KernelWorld) -> Iterator[Hooks]:
    """The hooks of a namespace with two addresses."""
    for address in (ADDRESS, OTHER):
        kernel.add_address(str(address), 128)
    try:
        hooks = load_hooks()
    except Unavailable as error:
        if error.errno != errno.EPERM:
            raise
        pytest.skip("needs root outside of user namespaces")
    with closing(hooks):
        yield hooks


def new(kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    return socket.socket(socket.AF_INET6, kind)


@pytest.fixture
def sock(hooks: Hooks) -> Iterator[socket.socket]:
    """A socket of the namespace with the hooks."""
    with new() as sock:
        yield sock


def offer(hooks: Hooks, kind: ServiceType, address: IPv6Address = ADDRESS, **but: object) -> None:
    settings = {"until": FOREVER, "valid_until": FOREVER, "restricted": False, "known": False}
    hooks.offer(kind, Offer(address, **{**settings, **but}))  # type: ignore[arg-type]


def asked(sock: socket.socket, number: int) -> IPv6Address | None:
    """The address of a type that the kernel gives; none: the daemon has to be asked."""
    answer = sock.getsockopt(*OPTION, 32 + number)
    flags, status, address, _, reserved = struct.unpack("=II16sII", answer)
    assert (flags, reserved) == (sock.getsockopt(*OPTION), 0)
    assert status in (0, 1)
    assert status == 0 or address == bytes(16)
    return IPv6Address(address) if status == 0 else None


def refused(action: Callable[[], object]) -> int:
    """The error that an action ends with, 0 if it does not."""
    try:
        action()
    except OSError as error:
        return error.errno or 0
    return 0


# ---- what a socket keeps -----------------------------------------------------------------------


@pytest.mark.parametrize("flags", [ON_NET, type_field(4), ON_NET | type_field(2)])
def test_flags_are_kept_for_each_socket(sock: socket.socket, flags: int) -> None:
    sock.setsockopt(*OPTION, flags)
    assert sock.getsockopt(*OPTION) == flags | USUAL
    with new() as other:
        assert other.getsockopt(*OPTION) == USUAL
    with sock.dup() as same:
        assert same.getsockopt(*OPTION) == flags | USUAL
        same.setsockopt(*OPTION, 0)
    assert sock.getsockopt(*OPTION) == USUAL


@pytest.mark.parametrize("ours", [0, ON_NET, type_field(3)])
def test_flags_of_the_kernel_are_its_own(hooks: Hooks, ours: int) -> None:
    """What is set one after the other is the same as without hooks."""
    with_hooks = flags_in_turn(ours)
    hooks.close()
    assert with_hooks == [flags | ours for flags in flags_in_turn(0)]


def flags_in_turn(ours: int) -> list[int]:
    with new() as sock:
        found = []
        for flags in (0x0002, 0x0004, 0x0001, 0x0008, 0, 0x0400, 0x0104, 0x0800):
            sock.setsockopt(*OPTION, flags | ours)
            found.append(sock.getsockopt(*OPTION))
        return found


@pytest.mark.parametrize("flags", [0x0003, 0x0101, 0x0404, 0x0808])
def test_contradictions_are_refused_as_without_hooks(sock: socket.socket, flags: int) -> None:
    sock.setsockopt(*OPTION, ON_NET | type_field(1) | 0x0002)
    assert refused(lambda: sock.setsockopt(*OPTION, flags | type_field(2))) == errno.EINVAL
    assert sock.getsockopt(*OPTION) == ON_NET | type_field(1) | 0x0402


@pytest.mark.parametrize("number", [5, 6, 7])
def test_types_that_are_none_are_refused(sock: socket.socket, number: int) -> None:
    assert refused(lambda: sock.setsockopt(*OPTION, type_field(number))) == errno.EINVAL
    assert sock.getsockopt(*OPTION) == USUAL


def test_lengths(sock: socket.socket) -> None:
    flags = struct.pack("=i", ON_NET)
    assert refused(lambda: sock.setsockopt(*OPTION, flags[:3])) == errno.EINVAL
    assert sock.getsockopt(*OPTION, 2) == struct.pack("=H", USUAL)
    for length in (8, 64, 5000):
        sock.setsockopt(*OPTION, flags.ljust(length, b"\0"))
        assert sock.getsockopt(*OPTION) == ON_NET | USUAL
        sock.setsockopt(*OPTION, bytes(length))
        assert sock.getsockopt(*OPTION) == USUAL
    for length in (4, 31, 37, 1000):
        assert sock.getsockopt(*OPTION, length) == struct.pack("=i", USUAL)


def test_other_options_are_left_alone(sock: socket.socket) -> None:
    hops = (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
    sock.setsockopt(*hops, 70)
    assert sock.getsockopt(*hops) == 70
    assert refused(lambda: sock.setsockopt(*hops, 0x1000)) == errno.EINVAL
    # The same number at another level.
    assert refused(lambda: sock.setsockopt(socket.IPPROTO_TCP, OPTION[1], 1)) == errno.ENOPROTOOPT
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno".ljust(5000, b"\0"))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as old:
        assert refused(lambda: old.getsockopt(*OPTION)) != 0


def test_connections_that_are_accepted_keep_what_the_listener_does(hooks: Hooks) -> None:
    with new() as listener, new() as near:
        listener.setsockopt(*OPTION, type_field(2))
        listener.bind(("::1", 0))
        listener.listen()
        near.connect(listener.getsockname())
        far, _ = listener.accept()
        with far:
            assert far.getsockopt(*OPTION) == type_field(2) | USUAL
            assert near.getsockopt(*OPTION) == USUAL


# ---- what the kernel gives ---------------------------------------------------------------------


def test_an_offer_is_given(hooks: Hooks, sock: socket.socket) -> None:
    hooks.allow(None, Rights(frozenset({FIXED, LASTING}), frozenset()))
    assert asked(sock, LASTING) is None
    offer(hooks, LASTING)
    assert asked(sock, LASTING) == ADDRESS
    assert asked(sock, FIXED) is None
    assert asked(sock, 0) is None
    sock.setsockopt(*OPTION, type_field(LASTING))
    assert asked(sock, 0) == ADDRESS
    sock.setsockopt(*OPTION, ON_NET)
    assert asked(sock, LASTING) is None


def test_an_offer_is_over(hooks: Hooks, sock: socket.socket) -> None:
    hooks.allow(None, Rights(frozenset({LASTING}), frozenset()))
    offer(hooks, LASTING)
    hooks.withdraw(LASTING)
    assert asked(sock, LASTING) is None
    offer(hooks, LASTING, until=0.001)
    assert asked(sock, LASTING) is None


def test_who_has_to_ask(hooks: Hooks, sock: socket.socket) -> None:
    offer(hooks, LASTING)
    hooks.allow(None, Rights(frozenset({LASTING}), frozenset()))
    hooks.allow(os.geteuid(), NOTHING)
    assert asked(sock, LASTING) is None
    hooks.allow(os.geteuid(), None)
    assert asked(sock, LASTING) == ADDRESS
    hooks.allow(None, NOTHING)
    assert asked(sock, LASTING) is None


def test_sockets_that_have_to_ask(hooks: Hooks, sock: socket.socket) -> None:
    """Those that the daemon has to know, and who comes too late."""
    hooks.allow(None, Rights(frozenset({LASTING}), frozenset()))
    offer(hooks, LASTING)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        assert asked(raw, LASTING) is None
    sock.bind(("::1", 0))
    assert asked(sock, LASTING) is None


def test_the_daemon_hears_of_the_first_taker(hooks: Hooks, sock: socket.socket) -> None:
    hooks.allow(None, Rights(frozenset({LASTING}), frozenset()))
    offer(hooks, LASTING)
    assert (hooks.read(), hooks.last_taken(LASTING)) == (set(), 0.0)
    asked(sock, LASTING)
    first = hooks.last_taken(LASTING)
    assert first > 0.0
    assert hooks.read() == {LASTING}
    asked(sock, LASTING)
    assert hooks.last_taken(LASTING) > first
    assert hooks.read() == set()
    offer(hooks, LASTING, known=True)
    asked(sock, LASTING)
    assert hooks.read() == set()
    assert hooks.last_taken(FIXED) == 0.0


# ---- who may use an address --------------------------------------------------------------------


def control(source: IPv6Address) -> list[tuple[int, int, bytes]]:
    return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source.packed + struct.pack("=i", 0))]


def attempts(
    source: IPv6Address, prepare: Callable[[socket.socket], object] = lambda _: None
) -> list[int]:
    """The errors of ways to use an address, each with a socket of its own."""
    found = []
    for kind, way in (
        (socket.SOCK_STREAM, lambda sock: sock.bind((str(source), 0))),
        (socket.SOCK_DGRAM, lambda sock: sock.bind((str(source), 0))),
        (socket.SOCK_DGRAM, lambda sock: sock.sendmsg([b"x"], control(source), 0, ("::1", 9))),
        (socket.SOCK_DGRAM, lambda sock: sent_connected(sock, source)),
    ):
        with new(kind) as sock:
            prepare(sock)
            found.append(refused(partial(way, sock)))
    return found


def sent_connected(sock: socket.socket, source: IPv6Address) -> None:
    with new(socket.SOCK_DGRAM) as far:
        far.bind(("::1", 0))
        sock.connect(far.getsockname())
        sock.sendmsg([b"x"], control(source))


ALL_REFUSED = [errno.EACCES] * 4
ALL_ALLOWED = [0] * 4


def test_a_socket_without_authority(hooks: Hooks) -> None:
    hooks.allow(None, NOTHING)
    hooks.restrict(ADDRESS, FIXED)
    assert attempts(ADDRESS) == ALL_REFUSED
    assert attempts(OTHER) == ALL_ALLOWED
    hooks.restrict(ADDRESS, None)
    assert attempts(ADDRESS) == ALL_ALLOWED


def test_a_socket_may_be_bound_elsewhere_then(hooks: Hooks) -> None:
    hooks.allow(None, NOTHING)
    hooks.restrict(ADDRESS, FIXED)
    with new() as sock:
        assert refused(lambda: sock.bind((str(ADDRESS), 0))) == errno.EACCES
        assert sock.getsockname()[:2] == ("::", 0)
        sock.bind((str(OTHER), 0))
        assert sock.getsockname()[0] == str(OTHER)


def test_authority_by_the_user(hooks: Hooks) -> None:
    hooks.allow(None, NOTHING)
    hooks.restrict(ADDRESS, FIXED)
    hooks.allow(os.geteuid(), Rights(frozenset(), frozenset({LASTING})))
    assert attempts(ADDRESS) == ALL_REFUSED
    hooks.allow(os.geteuid(), Rights(frozenset(), frozenset({FIXED})))
    assert attempts(ADDRESS) == ALL_ALLOWED


def test_authority_by_the_daemon(hooks: Hooks) -> None:
    hooks.allow(None, NOTHING)
    hooks.restrict(ADDRESS, FIXED)
    assert attempts(ADDRESS, lambda sock: hooks.grant(socket_cookie(sock), [LASTING])) == (
        ALL_REFUSED
    )
    assert attempts(ADDRESS, lambda sock: hooks.grant(socket_cookie(sock), [FIXED])) == (
        ALL_ALLOWED
    )


def test_authority_by_the_kernels_own_answer(hooks: Hooks) -> None:
    hooks.allow(None, Rights(frozenset({FIXED}), frozenset()))
    hooks.restrict(ADDRESS, FIXED)
    offer(hooks, FIXED, restricted=True)
    assert attempts(ADDRESS) == ALL_REFUSED
    assert attempts(ADDRESS, lambda sock: asked(sock, FIXED)) == ALL_ALLOWED


def test_what_was_bound_stays_so(hooks: Hooks) -> None:
    """Programs bind as root, and go on as somebody else."""
    hooks.restrict(ADDRESS, FIXED)
    hooks.allow(None, Rights(frozenset(), frozenset({FIXED})))
    with new(socket.SOCK_DGRAM) as sock:
        sock.bind((str(ADDRESS), 0))
        hooks.allow(None, NOTHING)
        sock.sendto(b"x", ("::1", 9))
        sock.connect(("::1", 9))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_who_bound_before_the_address_was_one_of_ours(
    hooks: Hooks, kind: socket.SocketKind
) -> None:
    hooks.allow(None, NOTHING)
    with new() as listener, new(kind) as early, new(kind) as granted:
        listener.bind(("::1", 0))
        listener.listen()
        for sock in (early, granted):
            sock.bind((str(ADDRESS), 0))
        hooks.restrict(ADDRESS, FIXED)
        hooks.grant(socket_cookie(granted), {FIXED})
        if kind is socket.SOCK_DGRAM:
            assert refused(lambda: early.sendto(b"x", ("::1", 9))) == errno.EACCES
            assert refused(lambda: granted.sendto(b"x", ("::1", 9))) == 0
        assert refused(lambda: early.connect(listener.getsockname())) == errno.EACCES
        assert refused(lambda: granted.connect(listener.getsockname())) == 0


def test_who_needs_no_authority(hooks: Hooks) -> None:
    """Servers on all addresses answer from a restricted one, and echoes are free."""
    hooks.allow(None, NOTHING)
    hooks.restrict(ADDRESS, FIXED)
    with new() as listener, new() as near:
        listener.bind(("::", 0))
        listener.listen()
        near.connect((str(ADDRESS), listener.getsockname()[1]))
        far, _ = listener.accept()
        with far:
            far.sendall(b"ahoy")
            assert near.recv(9) == b"ahoy"
    echo = subprocess.run(
        [sys.executable, "-c", _ECHO, str(ADDRESS)], capture_output=True, check=False
    )
    assert echo.returncode == 0, echo.stderr


_ECHO = """
import socket, sys
open("/proc/sys/net/ipv4/ping_group_range", "w").write("0 2147483647")
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6) as sock:
    sock.bind((sys.argv[1], 0))
    sock.connect(("::1", 0))
    sock.send(bytes([128, 0, 0, 0, 0, 0, 0, 1]))
    assert sock.recv(99)[0] == 129
"""


# ---- whose sockets, and how long ---------------------------------------------------------------


def test_two_hosts_on_one_machine(hooks: Hooks) -> None:
    """Each namespace has what its own hooks give, whoever was there first."""
    hooks.allow(None, Rights(frozenset({LASTING}), frozenset({LASTING})))
    hooks.restrict(ADDRESS, FIXED)
    offer(hooks, LASTING)
    with subprocess.Popen(
        [sys.executable, "-c", _NEIGHBOUR], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as neighbour:
        assert neighbour.stdin is not None
        assert neighbour.stdout is not None
        assert neighbour.stdout.readline() == b"ready\n"
        with new(socket.SOCK_DGRAM) as sock:
            sock.setsockopt(*OPTION, type_field(4) | 0x0002)
            assert sock.getsockopt(*OPTION) == type_field(4) | 0x0402
            assert asked(sock, LASTING) == ADDRESS
            assert attempts(ADDRESS) == ALL_REFUSED
            sock.setsockopt(*OPTION, 0)
        neighbour.stdin.close()
        assert neighbour.stdout.read() == b"0x4500 2001:db8::99\n"
    with new() as sock:
        assert asked(sock, LASTING) == ADDRESS


_NEIGHBOUR = """
import ctypes, socket, sys
from ipaddress import IPv6Address
from moorage.kernel.hooks import Offer, Rights, load_hooks
from moorage.service import ServiceType
assert ctypes.CDLL(None).unshare(0x40000000) == 0
hooks = load_hooks()
every = frozenset(ServiceType)
hooks.allow(None, Rights(every, every))
forever = float("inf")
hooks.offer(ServiceType(2), Offer(IPv6Address("2001:db8::99"), forever, forever, False, False))
print("ready", flush=True)
sys.stdin.read()
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.IPPROTO_IPV6, 72, 2 << 13)
    answer = sock.getsockopt(socket.IPPROTO_IPV6, 72, 34)
    print(hex(int.from_bytes(answer[:4], sys.byteorder)), IPv6Address(answer[8:24]))
"""


def test_hooks_end_with_their_process(hooks: Hooks) -> None:
    """Whoever is killed leaves none behind."""
    hooks.close()
    script = "from moorage.kernel.hooks import load_hooks; hooks = load_hooks(); print(flush=True)"
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{script}; input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder, new() as sock:
        assert holder.stdout is not None
        holder.stdout.readline()
        sock.setsockopt(*OPTION, ON_NET)
        assert sock.getsockopt(*OPTION) == ON_NET | USUAL
        holder.kill()
        holder.wait()
        assert sock.getsockopt(*OPTION) == USUAL


def test_without_the_right(namespace: None) -> None:
    script = (
        "import os, moorage.kernel.hooks as h, moorage.kernel.bpf as b\n"
        f"os.setresuid({SOMEBODY}, {SOMEBODY}, {SOMEBODY})\n"
        "try: h.load_hooks()\n"
        "except b.Unavailable as error: print(error.strerror)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "no right to load BPF programs" in found.stdout, found.stderr
