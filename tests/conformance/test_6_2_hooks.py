"""Draft sections 3.5, 6.1 and 6.2 with the host daemon's hooks in the kernel."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path

import pytest

import moorage
from moorage.lab.traffic import tcp_pair
from moorage.service import ServiceType
from tests.conformance.conftest import Stage
from tests.conformance.scene import PATIENCE, Connection, Scene, eventually
from tests.lab.inside import moorage_json
from tests.native.workshop import Library, build_library

pytestmark = pytest.mark.netns

OPTION = (socket.IPPROTO_IPV6, moorage.IPV6_ADDR_PREFERENCES)
ON_NET = moorage.IPV6_REQUIRE_SRC_ON_NET
USUAL = 0x0500
SESSION = ServiceType.SESSION_LASTING
LINGER = {kind.slug: 0.5 for kind in ServiceType}

Setsc = Callable[[socket.socket, ServiceType], IPv6Address]


@pytest.fixture(scope="module")
def hooked(stage: Stage) -> Iterator[Scene]:
    """A lab whose host has hooks, and an address of every delegated type from boot."""
    types = ["fixed", "session-lasting", "graceful-replacement"]
    with stage(host={"linger": LINGER, "at_boot": types}) as scene:
        eventually(scene.settled)
        eventually(lambda: len(scene.typed()) == 3)
        with scene.new_socket() as sock:
            sock.setsockopt(*OPTION, ON_NET)
            if not sock.getsockopt(*OPTION) & ON_NET:
                pytest.skip("needs root outside of user namespaces")
        yield scene


@pytest.fixture(scope="module", params=["python", "c"])
def setsc(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Setsc:
    """``setsc()`` of both languages."""
    if request.param == "python":
        return moorage.setsc
    return Library(build_library(tmp_path_factory.mktemp("library")).with_suffix(".so")).setsc


@contextmanager
def nobody_listens() -> Iterator[None]:
    """Applications do not find the daemon meanwhile: what they get is from the kernel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOORAGE_SOCKET", "/nowhere")
        yield


def patiently(setsc: Setsc) -> Setsc:
    """As ``setsc``, but of the kernel alone, which offers nothing while sockets are counted."""

    def ask(sock: socket.socket, service: ServiceType) -> IPv6Address | None:
        try:
            return setsc(sock, service)
        except moorage.SetscError:
            return None

    def asked(sock: socket.socket, service: ServiceType) -> IPv6Address:
        with nobody_listens():
            address = eventually(lambda: ask(sock, service))
        assert address is not None
        return address

    return asked


def connect(scene: Scene, setsc: Setsc, service: ServiceType) -> Connection:
    def prepare(near: socket.socket) -> None:
        near.bind((str(setsc(near, service)), 0))

    return Connection(*tcp_pair(scene.host, scene.peer, scene.destination, prepare))


def test_plain_setsockopt_in_python(hooked: Scene) -> None:
    """3.5-e, 6.2-a: the flag is set, read back and reset by socket options, and does its work."""
    with hooked.new_socket() as sock:
        assert sock.getsockopt(*OPTION) == USUAL
        sock.setsockopt(*OPTION, ON_NET)
        assert sock.getsockopt(*OPTION) == ON_NET | USUAL
        before = hooked.typed()
        assert moorage.setsc(sock, SESSION, timeout=PATIENCE) not in before
        sock.setsockopt(*OPTION, 0)
        assert sock.getsockopt(*OPTION) == USUAL


_PROGRAM = """
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    int flags = 0x5000 | 0x0002, found = 0;
    socklen_t length = sizeof found;
    int s = socket(AF_INET6, SOCK_DGRAM, 0);

    if (setsockopt(s, IPPROTO_IPV6, 72, &flags, sizeof flags) != 0)
        return 1;
    if (fork() == 0 || (s = dup(s)) < 0)
        flags = 0;
    if (getsockopt(s, IPPROTO_IPV6, 72, &found, &length) != 0 || length != sizeof found)
        return 2;
    return found != (0x5000 | 0x0402);
}
"""


@pytest.mark.interop
def test_plain_setsockopt_in_c(hooked: Scene, tmp_path: Path) -> None:
    """3.5-e, 6.2-a: a C program that knows nothing of the service sets the flag and reads it."""
    source, program = tmp_path / "plain.c", tmp_path / "plain"
    source.write_text(_PROGRAM)
    subprocess.run(["gcc", "-Wall", "-Werror", "-o", program, source], check=True)
    assert hooked.host.run([str(program)], check=False).returncode == 0


def test_the_flag_beside_setsc(hooked: Scene, setsc: Setsc) -> None:
    """6.2-b: with the flag in the kernel the address is a new one; without it one that is there."""
    present = hooked.typed()
    with hooked.new_socket() as sock, hooked.new_socket() as other:
        sock.setsockopt(*OPTION, ON_NET)
        assert setsc(sock, SESSION) not in present
        assert patiently(setsc)(other, SESSION) in hooked.typed()
        with nobody_listens(), pytest.raises(moorage.SetscError):
            setsc(sock, SESSION)


@pytest.mark.parametrize("service", [ServiceType.FIXED, SESSION, ServiceType.GRACEFUL_REPLACEMENT])
def test_the_kernel_answers(hooked: Scene, setsc: Setsc, service: ServiceType) -> None:
    """3.5-a, 6.1-a: without a question to the daemon, with what it would say."""
    with hooked.new_socket() as sock:
        address = patiently(setsc)(sock, service)
        assert address in hooked.typed()
        assert hooked.binding(address).type is service
        assert sock.getsockname()[:2] == ("::", 0)
        assert sock.getsockopt(*OPTION) == USUAL


def test_a_session_over_a_move(hooked: Scene, setsc: Setsc) -> None:
    """3.2-b, 6.1-a: what the kernel gave lasts over a move, and is given by it afterwards."""
    with connect(hooked, patiently(setsc), SESSION) as connection:
        assert connection.works()
        hooked.move()
        assert connection.works()
        with hooked.new_socket() as sock:
            assert patiently(setsc)(sock, SESSION) in hooked.typed()


def test_an_address_stays_for_those_who_have_it_from_the_kernel(stage: Stage) -> None:
    """3.4-e: nobody but the kernel knows of the socket, until its address is to be released."""
    with stage(host={"linger": LINGER, "at_boot": []}) as scene:
        eventually(scene.settled)
        with (
            scene.connect(SESSION) as first,
            connect(scene, patiently(moorage.setsc), SESSION) as second,
        ):
            assert second.source == first.source
            first.near.close()
            eventually(lambda: _users(scene, second.source) == 1)
            assert second.works()
        eventually(lambda: not scene.bindings())


def _users(scene: Scene, address: IPv6Address) -> int:
    found = moorage_json(scene.host, "addresses")
    [sockets] = [each["sockets"] for each in found if each["address"] == str(address)]
    assert isinstance(sockets, int)
    return sockets
