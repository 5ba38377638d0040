"""The library, built once, and a small daemon for it to talk to."""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.native.checkers import Checker
from tests.native.workshop import HERE, WERROR, Library, build_library, build_program, run
from tests.unit.api.conftest import Answering, Daemon, Start


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the library in both forms."""
    return build_library(tmp_path_factory.mktemp("library")).parent


@pytest.fixture(scope="session")
def library(built: Path) -> Library:
    return Library(built / "libsetsc.so")


@pytest.fixture(scope="session")
def hooked(built: Path) -> Library:
    """The library on a kernel with hooks, which hooks.c plays."""
    path = built / "hooked.so"
    run(
        *("gcc", "-shared", "-fPIC", "-std=c11", *WERROR.split(), f"-I{HERE.parents[1]}/native"),
        *("-Wl,--wrap=getsockopt", "-pthread", "-o", path),
        *(HERE / "hooks.c", "-Wl,--whole-archive", built / "libsetsc.a", "-Wl,--no-whole-archive"),
    )
    return Library(path)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the library looks for the daemon."""
    path = tmp_path / "host.sock"
    monkeypatch.setenv("MOORAGE_SOCKET", str(path))
    return path


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Starts a daemon that is real but for what it knows."""
    with contextlib.ExitStack() as stack:

        def start(answering: Answering) -> Daemon:
            daemon = Daemon(path, answering)
            stack.callback(daemon.stop)
            return daemon

        yield start


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        yield sock


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Checker], list[str]]:
    """The command that runs probe.c under a checker."""

    @functools.cache
    def command(checker: Checker) -> list[str]:
        folder = tmp_path_factory.mktemp(checker.name)
        program = build_program(HERE / "probe.c", folder, checker.compiler, checker.flags)
        return [*checker.prefix, str(program)]

    return command
