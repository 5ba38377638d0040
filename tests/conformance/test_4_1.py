"""Draft section 4.1: the example of an application in C."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from moorage.service import ServiceType
from tests.conformance.scene import PATIENCE, Scene
from tests.native.workshop import NATIVE, build_program

pytestmark = [pytest.mark.netns, pytest.mark.interop]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built."""
    return build_program(NATIVE / "examples" / "client.c", tmp_path_factory.mktemp("example"))


class Client:
    """The example while it runs, and the server's end of its connection."""

    def __init__(self, process: subprocess.Popen[bytes], far: socket.socket) -> None:
        self.process = process
        self._far = far

    @property
    def source(self) -> IPv6Address:
        """Its address, as the server sees it."""
        return IPv6Address(self._far.getpeername()[0])

    def line(self) -> str:
        """What it prints next."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().rstrip("\n")

    def echoes(self, text: str) -> bool:
        """Whether it prints what is typed, which the server sends back to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()
        self._far.sendall(self._far.recv(100))
        return self.line() == text


@contextmanager
def running(scene: Scene, program: Path) -> Iterator[Client]:
    """Run the example on the host; it has to end well when nothing more is typed."""
    environment = {name: value for name, value in os.environ.items() if name != "MOORAGE_SOCKET"}
    with scene.peer.socket(socket.AF_INET6, socket.SOCK_STREAM) as server:
        server.bind((str(scene.destination), 0))
        server.listen()
        server.settimeout(PATIENCE)
        host, port, *_ = server.getsockname()
        with scene.host.popen(
            [str(program), host, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        ) as process:
            try:
                far, _ = server.accept()
                far.settimeout(PATIENCE)
                with far:
                    yield Client(process, far)
                    assert process.stdin is not None
                    process.stdin.close()
                    assert process.wait(PATIENCE) == 0
            finally:
                process.kill()


def test_the_example_goes_on_over_a_move(scene: Scene, program: Path) -> None:
    """4.1-a, 5.1-b: it connects from a Session-lasting address, and its connection survives a move.

    Where ``setsc()`` fails it goes on with an ordinary address, and stays where it is.
    """
    with running(scene, program) as client:
        said = f"connected from {client.source}" if scene.served else "connected"
        assert client.line() == said
        assert scene.type_of(client.source) is scene.granted(ServiceType.SESSION_LASTING)
        assert client.echoes("before")
        if scene.served:
            scene.move()
            assert client.echoes("after")
