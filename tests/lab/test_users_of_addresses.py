"""What uses an address keeps it, whatever it is, and nothing else does."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from ipaddress import IPv6Address
from pathlib import Path

import pytest

import moorage
from moorage import client
from moorage.lab.network import NODE_FOLDER
from moorage.service import ServiceType
from tests.conformance.conftest import LINGER
from tests.conformance.scene import PATIENCE, Scene, eventually, open_scene

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("mark")]

LASTING, OTHER = ServiceType.SESSION_LASTING, ServiceType.GRACEFUL_REPLACEMENT
PROTOCOL = 253  # for experiments (RFC 3692)
PORT = 7


@pytest.fixture
def scene(mark: str, tmp_path: Path) -> Iterator[Scene]:
    with open_scene(tmp_path, host={"linger": LINGER, "at_boot": []}) as scene:
        eventually(scene.settled)
        yield scene


def stays(scene: Scene, address: IPv6Address) -> bool:
    """Whether an address outlives one that is given out only now and that no socket uses."""
    for _ in range(2):
        with client.held(OTHER):
            assert scene.of_type(OTHER)
        eventually(lambda: not scene.of_type(OTHER))
    return address in scene.typed() and scene.binding(address).held


def goes(scene: Scene, address: IPv6Address) -> None:
    eventually(lambda: address not in scene.typed())
    eventually(lambda: not scene.binding(address).held)


@pytest.mark.parametrize("asks", [True, False], ids=["asks itself", "bound by hand"])
@pytest.mark.parametrize(
    ("kind", "protocol"),
    [(socket.SOCK_STREAM, 0), (socket.SOCK_DGRAM, 0), (socket.SOCK_RAW, PROTOCOL)],
    ids=["TCP", "UDP", "raw"],
)
def test_a_socket(scene: Scene, kind: int, protocol: int, asks: bool) -> None:
    with scene.host.socket(socket.AF_INET6, kind, protocol) as sock:
        if asks:
            address = moorage.setsc(sock, LASTING)
            sock.bind((str(address), 0))
        else:
            with client.held(LASTING) as held:
                address = held.address
                sock.bind((str(address), 0))
        assert stays(scene, address)
    goes(scene, address)


def test_an_accepted_child(scene: Scene) -> None:
    """It has a cookie that nobody has seen, and outlives the socket that listened."""
    with ExitStack() as stack:
        with closing(scene.new_socket()) as server:
            address = moorage.setsc(server, LASTING)
            server.bind((str(address), PORT))
            server.listen()
            caller = stack.enter_context(scene.peer.socket(socket.AF_INET6, socket.SOCK_STREAM))
            caller.settimeout(PATIENCE)
            caller.connect((str(address), PORT))
            child = stack.enter_context(server.accept()[0])
        assert stays(scene, address)
        child.sendall(b"ahoy")
        assert caller.recv(100) == b"ahoy"
    goes(scene, address)


def test_a_connection_that_closes_in_peace(scene: Scene) -> None:
    """The half that is still open keeps the address although the other one has said goodbye."""
    with scene.connect(LASTING) as connection:
        address = connection.source
        connection.far.shutdown(socket.SHUT_WR)
        assert connection.near.recv(100) == b""
        assert stays(scene, address)
        connection.near.sendall(b"ahoy")
        assert connection.far.recv(100) == b"ahoy"
    goes(scene, address)


def inside() -> dict[str, str]:
    """The environment of a command on the host."""
    return {**os.environ, "MOORAGE_SOCKET": str(NODE_FOLDER / "host.sock")}


KEEP = [sys.executable, "-m", "moorage", "address", LASTING.slug, "--keep"]


def test_a_reservation_made_by_the_command_line(scene: Scene) -> None:
    with scene.host.popen(KEEP, stdout=subprocess.PIPE, env=inside()) as process:
        assert process.stdout is not None
        address = IPv6Address(process.stdout.readline().decode().strip())
        assert stays(scene, address)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    goes(scene, address)


def test_a_reservation_ends_with_the_daemon(scene: Scene) -> None:
    pipe = subprocess.PIPE
    with scene.host.popen(KEEP, stdout=pipe, stderr=pipe, env=inside()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        scene.lab.daemon("mn").kill()
        assert process.wait(PATIENCE) == 1
        assert select.select([process.stderr], [], [], 0)[0]
        assert process.stderr.read().decode().splitlines() == [
            "Error: the host daemon has ended; the address is not kept"
        ]
