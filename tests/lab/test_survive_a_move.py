"""The programs of the how-to, run on a host that moves."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from tests.conformance.scene import PATIENCE, Scene, eventually, open_scene
from tests.leaks import nothing_left_behind

pytestmark = pytest.mark.netns

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "survive-a-move.md"
CONNECT_AGAIN, REPLACE, LOOP = range(3)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A lab whose host is somewhere."""
    with nothing_left_behind(), open_scene(tmp_path_factory.mktemp("store")) as scene:
        eventually(scene.settled)
        yield scene


def programs() -> list[str]:
    """The programs in the text, in its order."""
    return re.findall(r"^```python\n(.*?)^```$", HOW_TO.read_text(), re.MULTILINE | re.DOTALL)


class Program:
    """A program of the how-to on the host, and its server at the correspondent."""

    def __init__(self, process: subprocess.Popen[bytes], server: socket.socket) -> None:
        self.process = process
        self._server = server

    def connection(self) -> socket.socket:
        """The next connection that it makes."""
        accepted, _ = self._server.accept()
        accepted.settimeout(PATIENCE)
        return accepted

    def line(self) -> str:
        """What it prints next."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().rstrip("\n")


@contextmanager
def running(scene: Scene, number: int, folder: Path) -> Iterator[Program]:
    source = folder / "program.py"
    source.write_text(programs()[number])
    environment = {name: value for name, value in os.environ.items() if name != "MOORAGE_SOCKET"}
    with scene.peer.socket(socket.AF_INET6, socket.SOCK_STREAM) as server:
        server.bind((str(scene.destination), 0))
        server.listen()
        server.settimeout(PATIENCE)
        host, port, *_ = server.getsockname()
        with scene.host.popen(
            [sys.executable, str(source), host, str(port)],
            stdout=subprocess.PIPE,
            env=environment,
        ) as process:
            try:
                yield Program(process, server)
                assert process.wait(PATIENCE) == 0
            finally:
                process.kill()


def source(connection: socket.socket) -> str:
    return str(IPv6Address(connection.getpeername()[0]))


def test_connect_again(scene: Scene, tmp_path: Path) -> None:
    with running(scene, CONNECT_AGAIN, tmp_path) as program:
        with program.connection() as first:
            old = source(first)
            assert program.line() == f"from {old}"
            first.sendall(b"before\n")
            assert program.line() == "before"
            scene.lab.move("mn", scene.elsewhere)
            assert program.line() == "moved"
        with program.connection() as second:
            assert program.line() == f"from {source(second)}"
            assert source(second) != old
            second.sendall(b"after\n")
            assert program.line() == "after"


def test_replace_a_connection(scene: Scene, tmp_path: Path) -> None:
    with running(scene, REPLACE, tmp_path) as program, program.connection() as first:
        assert program.line() == f"from {source(first)}"
        scene.lab.move("mn", scene.elsewhere)
        told = program.line()
        with program.connection() as second:
            assert re.fullmatch(rf"replaced by {source(second)} with \d+ s left", told)
            assert first.recv(1) == b""
            assert program.line() == f"from {source(second)}"
            second.sendall(b"after\n")
            assert program.line() == "after"


def test_a_loop(scene: Scene, tmp_path: Path) -> None:
    with running(scene, LOOP, tmp_path) as program, program.connection() as connection:
        assert program.line() == f"from {source(connection)}"
        scene.lab.move("mn", scene.elsewhere)
        assert [program.line(), program.line()] == ["Detached", "Moved"]
        scene.lab.daemon("mn").stop()
        assert program.line() == "Interrupted"
        scene.lab.daemon("mn").start()
