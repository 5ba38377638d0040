"""The small daemon, which is all that tests of the interface can find, and somebody to talk to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small_daemon import path, sock, start

__all__ = ["path", "sock", "start"]


@pytest.fixture(autouse=True)
def _no_other_daemon(path: Path) -> None:
    """Find none of this machine's own."""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        yield listener
