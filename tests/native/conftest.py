"""The library, built once, and a small daemon for it to talk to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.native.checkers import Checker
from tests.native.workshop import HERE, WERROR, Library, build_library, build_program, run
from tests.small_daemon import path, sock, start

__all__ = ["path", "sock", "start"]


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


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Checker], list[str]]:
    """The command that runs probe.c under a checker."""

    @functools.cache
    def command(checker: Checker) -> list[str]:
        folder = tmp_path_factory.mktemp(checker.name)
        program = build_program(HERE / "probe.c", folder, checker.compiler, checker.flags)
        return [*checker.prefix, str(program)]

    return command
