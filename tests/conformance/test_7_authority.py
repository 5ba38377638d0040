"""Draft section 7: typed addresses are for the authorised, whatever a program does to have them."""

from __future__ import annotations

import errno
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address

import pytest

import moorage
from moorage.service import ServiceType
from tests.conformance.callers import ROOT, SOMEBODY, SOMEBODY_ELSE
from tests.conformance.conftest import LINGER, Stage
from tests.conformance.scene import PATIENCE, Scene, eventually

pytestmark = pytest.mark.netns

REFUSED = [errno.EACCES] * 4
ALLOWED = [0] * 4

# Binds by TCP and by UDP, and names the source in messages, unconnected and connected.
_ATTEMPTS = """
import json, os, socket, sys
address, destination, user = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.setresuid(user, user, user)
source = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO,
           socket.inet_pton(socket.AF_INET6, address) + bytes(4))]
found = []
def attempt(kind, *steps):
    with socket.socket(socket.AF_INET6, kind) as sock:
        try:
            for step in steps:
                step(sock)
        except OSError as error:
            found.append(error.errno)
        else:
            found.append(0)
bind = lambda sock: sock.bind((address, 0))
connect = lambda sock: sock.connect((destination, 9))
attempt(socket.SOCK_STREAM, bind)
attempt(socket.SOCK_DGRAM, bind, connect)
attempt(socket.SOCK_DGRAM, lambda sock: sock.sendmsg([b"x"], source, 0, (destination, 9)))
attempt(socket.SOCK_DGRAM, connect, lambda sock: sock.sendmsg([b"x"], source))
print(json.dumps(found))
"""


def attempts(scene: Scene, address: IPv6Address, uid: int) -> list[int]:
    """The errors that a user's program meets who uses an address by itself."""
    argv = [sys.executable, "-c", _ATTEMPTS, str(address), str(scene.destination), str(uid)]
    found = json.loads(scene.host.run(argv).stdout)
    assert isinstance(found, list)
    return found


def only_with_hooks(scene: Scene) -> None:
    with scene.new_socket() as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, moorage.IPV6_ADDR_PREFERENCES, 0x1000)
        if not sock.getsockopt(socket.IPPROTO_IPV6, moorage.IPV6_ADDR_PREFERENCES) & 0x1000:
            pytest.skip("needs root outside of user namespaces")


@contextmanager
def having(scene: Scene, service: ServiceType) -> Iterator[tuple[socket.socket, IPv6Address]]:
    """A socket, and the address that it has from ``setsc()``."""
    with scene.new_socket(socket.SOCK_DGRAM) as sock:
        yield sock, moorage.setsc(sock, service, timeout=PATIENCE)


@pytest.fixture(scope="module")
def ruled(stage: Stage) -> Iterator[Scene]:
    """A host where one user may have Fixed addresses, and root."""
    rules = [{"users": ["root", str(SOMEBODY)]}, {"types": ["session-lasting"]}]
    with stage(host={"linger": LINGER, "at_boot": [], "rule": rules}) as scene:
        eventually(scene.settled)
        only_with_hooks(scene)
        yield scene


def test_others_cannot_use_a_costly_address(ruled: Scene) -> None:
    """7-a: who may not have the type cannot bind to its address, connect or send from it."""
    with having(ruled, ServiceType.FIXED) as (_, address):
        assert attempts(ruled, address, SOMEBODY_ELSE) == REFUSED
        assert attempts(ruled, address, SOMEBODY) == ALLOWED
        assert attempts(ruled, address, ROOT) == ALLOWED


def test_everybody_can_use_an_address_for_all(ruled: Scene) -> None:
    """7-a: of a type that everybody may have an address is everybody's."""
    with having(ruled, ServiceType.SESSION_LASTING) as (_, address):
        assert attempts(ruled, address, SOMEBODY_ELSE) == ALLOWED


@pytest.fixture
def strict(stage: Stage) -> Iterator[Scene]:
    """A host where nobody uses a typed address without ``setsc()``."""
    with stage(host={"linger": LINGER, "at_boot": [], "authority": "socket"}) as scene:
        eventually(scene.settled)
        only_with_hooks(scene)
        yield scene


@pytest.mark.parametrize("service", [ServiceType.FIXED, ServiceType.SESSION_LASTING])
def test_only_sockets_that_asked(strict: Scene, service: ServiceType) -> None:
    """7-a: by a stricter policy not even root can use an address that his socket has not got."""
    with having(strict, service) as (first, address):
        first.bind((str(address), 0))
        first.sendto(b"x", (str(strict.destination), 9))
        assert attempts(strict, address, ROOT) == REFUSED
        # The second one has it from the kernel.
        with having(strict, service) as (second, again):
            assert again == address
            second.bind((str(address), 0))
            second.connect((str(strict.destination), 9))


def test_a_restart_takes_nothing_away(strict: Scene) -> None:
    """7-a: who was authorised stays so when the daemon was killed and has come back."""
    with having(strict, ServiceType.FIXED) as (sock, address):
        sock.bind((str(address), 0))
        daemon = strict.lab.daemon("mn")
        daemon.kill()
        assert attempts(strict, address, ROOT) == ALLOWED  # hooks go with their daemon
        daemon.start()
        sock.sendto(b"x", (str(strict.destination), 9))
        sock.connect((str(strict.destination), 9))
        assert attempts(strict, address, ROOT) == REFUSED
        with having(strict, ServiceType.FIXED) as (other, again):
            assert again == address
            other.bind((str(address), 0))
