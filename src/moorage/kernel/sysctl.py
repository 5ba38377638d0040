"""Kernel parameters of the network namespace of the calling thread.

A path is written with slashes (``net/ipv6/conf/eth0.5/forwarding``), since names of interfaces may
have dots in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

_ROOT: Final = Path("/proc/sys")


class Sysctl(Protocol):
    """Kernel parameters; this module is one."""

    def read(self, path: str) -> str:
        """The value, without the newline. Raises OSError."""

    def write(self, path: str, value: str) -> None:
        """Set the value. Raises OSError."""


def read(path: str) -> str:
    """The value, without the newline. Raises OSError."""
    return (_ROOT / path).read_text().rstrip("\n")


def write(path: str, value: str) -> None:
    """Set the value. Raises OSError."""
    (_ROOT / path).write_text(value)
