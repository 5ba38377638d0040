"""Control groups of our own: each has a program and all that it starts, and goes with the last.

One is made in the group where its program is, so that the limits, the unit and the session of a
process stay what they are. Its name says which network namespace it is for, since all of a machine
share one hierarchy, and what it is for there.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from moorage.kernel import inotify

_NAME: Final = re.compile(r"moorage-(?P<network>[0-9a-f]+)-(?P<label>[a-z-]+)-[0-9a-f]{8}")
_BELOW: Final = re.compile(rf"/{_NAME.pattern}(?=/|$)")
_UNIFIED: Final = "0::"
_MEMBERS: Final = "cgroup.procs"
_EVENTS: Final = "cgroup.events"
_POPULATED: Final = "populated 1"
_IN_THE_MAKING: Final = 10.0
"""Seconds in which another daemon's group may have no process yet."""


@dataclass(frozen=True, slots=True)
class Group:
    """A control group of ours: its folder, and what it is for."""

    path: Path
    label: str


class ControlGroups(Protocol):
    """The control groups that are for one network namespace."""

    def fileno(self) -> int:
        """Readable when there may be something to `take_empty`."""

    def take_empty(self) -> list[Group]:
        """Remove and return the groups whose last process has gone since the last time."""

    def make(self, label: str, pid: int) -> Group:
        """Make a group for a process.

        Raises:
            OSError: the process is gone, or our rights do not suffice.
        """

    def enter(self, group: Group, pid: int) -> None:
        """Put a process into a group.

        Raises:
            OSError: the process is gone, or our rights do not suffice.
        """

    def members(self, group: Group) -> list[int]:
        """Return the processes in a group, and in those that were made in it."""

    def discard(self, group: Group) -> None:
        """Remove a group, unless there are processes in it, and follow it no longer."""

    def restore(self) -> list[Group]:
        """Return the groups of an earlier life that have processes; remove all others.

        Those of other network namespaces go, too, if nobody is in them: perhaps nobody else comes.
        """

    def close(self) -> None:
        """Follow them no longer; they stay."""


def outside(path: str) -> str:
    """Return the path of the group that a group of ours was made in, or of one that is not ours."""
    ours = _BELOW.search(path)
    return path if ours is None else path[: ours.start()] or "/"


class CgroupTree:
    """`ControlGroups` of cgroup v2, below ``root``, its mount point."""

    def __init__(self, root: Path, network: int) -> None:
        """Begin.

        Args:
            root: where the hierarchy is mounted.
            network: the cookie of the network namespace.

        Raises:
            OSError: the kernel has no inotify instance left for this user.
        """
        self._root = root
        self._network = f"{network:x}"
        self._events = inotify.Inotify()
        self._watched: dict[int, Group] = {}

    def fileno(self) -> int:
        """See `ControlGroups.fileno`."""
        return self._events.fileno()

    def close(self) -> None:
        """See `ControlGroups.close`."""
        self._events.close()

    def take_empty(self) -> list[Group]:
        """See `ControlGroups.take_empty`."""
        self._events.read()
        gone = {
            number: group
            for number, group in self._watched.items()
            if not is_populated(group.path) and _remove(group.path)
        }
        for number in gone:
            del self._watched[number]
        return list(gone.values())

    def make(self, label: str, pid: int) -> Group:
        """See `ControlGroups.make`."""
        name = f"moorage-{self._network}-{label}-{secrets.token_hex(4)}"
        group = Group(self._root / self._home(pid).lstrip("/") / name, label)
        group.path.mkdir()
        return group

    def enter(self, group: Group, pid: int) -> None:
        """See `ControlGroups.enter`."""
        self._watch(group)
        (group.path / _MEMBERS).write_text(str(pid))

    def members(self, group: Group) -> list[int]:
        """See `ControlGroups.members`."""
        return [int(pid) for each in group.path.rglob(_MEMBERS) for pid in each.read_text().split()]

    def discard(self, group: Group) -> None:
        """See `ControlGroups.discard`."""
        self._watched = {n: each for n, each in self._watched.items() if each != group}
        _remove(group.path)

    def restore(self) -> list[Group]:
        """See `ControlGroups.restore`."""
        found = []
        for path, name in self._all():
            ours = name["network"] == self._network
            if is_populated(path):
                if ours:
                    found.append(Group(path, name["label"]))
                    self._watch(found[-1])
            elif ours or _age(path) > _IN_THE_MAKING:
                _remove(path)
        return found

    def _all(self) -> Iterator[tuple[Path, re.Match[str]]]:
        for folder, children, _ in os.walk(self._root):
            for child in list(children):
                name = _NAME.fullmatch(child)
                if name is not None:
                    children.remove(child)
                    yield Path(folder, child), name

    def _home(self, pid: int) -> str:
        """Return the path of the group that a process is in, or has been in before one of ours."""
        for line in os.fsdecode(Path("/proc", str(pid), "cgroup").read_bytes()).splitlines():
            if line.startswith(_UNIFIED):
                path = line.removeprefix(_UNIFIED)
                if ".." not in path.split("/"):
                    return outside(path)
        raise FileNotFoundError(f"process {pid} is in no control group that can be seen from here")

    def _watch(self, group: Group) -> None:
        self._watched[self._events.watch(group.path / _EVENTS, inotify.MODIFY)] = group


def is_populated(path: Path) -> bool:
    """Whether there are processes in a group, or in those that were made in it."""
    with suppress(OSError):  # it is gone
        return _POPULATED in (path / _EVENTS).read_text()
    return False


def _age(path: Path) -> float:
    with suppress(OSError):
        return time.time() - path.stat().st_ctime
    return 0.0


def _remove(path: Path) -> bool:
    """Remove a group and those that were made in it; false: there are processes in one."""
    try:
        for folder, _, _ in os.walk(path, topdown=False):
            os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
