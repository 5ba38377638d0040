"""Which processes hold which sockets, as ``/proc`` shows it to us."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_SOCKET: Final = "socket:["


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its id, its effective user and its command line, or its name if it has none."""

    pid: int
    uid: int
    command: str


def holders(inodes: Collection[int]) -> dict[int, list[Process]]:
    """Return the processes that have these sockets open, by the sockets' inodes.

    A socket is missing if nobody holds it, or nobody whose files we may see.
    """
    found: dict[int, list[Process]] = {}
    wanted = frozenset(inodes)
    for folder in _PROC.iterdir() if wanted else ():
        if not folder.name.isdecimal():
            continue
        # A process may end, or be another user's.
        with suppress(OSError):
            held = wanted & set(_sockets(folder))
            if held:
                process = read(int(folder.name))
                for inode in held:
                    found.setdefault(inode, []).append(process)
    return {inode: sorted(each, key=lambda one: one.pid) for inode, each in found.items()}


def sockets_of(pid: int) -> frozenset[int]:
    """Return the inodes of the sockets that a process has open.

    Raises:
        OSError: it is gone, or we may not see its files.
    """
    return frozenset(_sockets(_PROC / str(pid)))


def read(pid: int) -> Process:
    """Return what a process is.

    Raises:
        OSError: it is gone.
    """
    folder = _PROC / str(pid)
    words = (folder / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    command = os.fsdecode(b" ".join(words)) or (folder / "comm").read_text().strip()
    return Process(pid, folder.stat().st_uid, command)


def _sockets(folder: Path) -> Iterator[int]:
    with os.scandir(folder / "fd") as descriptors:
        for descriptor in descriptors:
            with suppress(OSError):
                target = os.readlink(descriptor.path)
                if target.startswith(_SOCKET):
                    yield int(target[len(_SOCKET) : -1])
