"""Control groups of others that have processes, as they come and go: units, sessions and so on."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from moorage.kernel import inotify
from moorage.kernel.cgroups import is_populated, outside

_EVENTS: Final = "cgroup.events"
_LOST: Final = -1
"""The number of an event that stands for those that the kernel could not keep."""

Wanted = Callable[[str], bool]
"""Says of the path of a group, as ``/proc/PID/cgroup`` has it, whether it counts."""


class PopulatedGroups(Protocol):
    """The groups that count and have processes, in themselves or in groups below them."""

    def fileno(self) -> int:
        """Readable when there may be others than before."""

    def want(self, wanted: Wanted) -> None:
        """Let these count from now on, of those that there are and of those to come."""

    def read(self) -> dict[str, int]:
        """Return the paths of those that there are by now, and which group of that path it is."""

    def folder(self, path: str) -> Path:
        """Return where the group of a path is."""

    def close(self) -> None:
        """Look at them no longer."""


class GroupWatch:
    """`PopulatedGroups` of cgroup v2, below ``root``, its mount point.

    All folders are watched, since a group that counts may be made in any of them; but no group of
    our own (`moorage.kernel.cgroups`), nor what is in one.

    Args:
        root: where the hierarchy is mounted.
        complain: takes what goes wrong and nobody waits to hear.

    Raises:
        OSError: the kernel has no inotify instance left for this user.
    """

    def __init__(self, root: Path, complain: Callable[[str], None]) -> None:
        self._root = root
        self._complain = complain
        self._changes = inotify.Inotify()
        self._wanted: Wanted = lambda _: False
        self._found: set[str] = set()
        self._numbers: dict[int, str] = {}

    def fileno(self) -> int:
        """See `PopulatedGroups.fileno`."""
        return self._changes.fileno()

    def close(self) -> None:
        """See `PopulatedGroups.close`."""
        self._changes.close()

    def folder(self, path: str) -> Path:
        """See `PopulatedGroups.folder`."""
        return self._root / path.lstrip("/")

    def want(self, wanted: Wanted) -> None:
        """See `PopulatedGroups.want`."""
        self._wanted = wanted
        self._look("/")

    def read(self) -> dict[str, int]:
        """See `PopulatedGroups.read`."""
        changed = self._changes.read()
        for path in ["/"] if _LOST in changed else self._changed_folders(changed):
            self._look(path)
        self._forget_gone()
        present = {}
        for path in self._found:
            folder = self.folder(path)
            if path == "/" or is_populated(folder):
                with suppress(OSError):  # it is gone by now
                    present[path] = folder.stat().st_ino
        return present

    def _changed_folders(self, numbers: set[int]) -> list[str]:
        return [self._numbers[number] for number in numbers if number in self._numbers]

    def _look(self, path: str) -> None:
        """Take in a group, if it is there, and all below it."""
        if outside(path) != path:
            return
        folder = self.folder(path)
        try:
            # Before its groups are listed: one that is made meanwhile is listed, told of, or both.
            number = self._changes.watch(folder, inotify.CREATE | inotify.DELETE)
            self._numbers[number] = path
            self._found.discard(path)
            if self._wanted(path):
                self._found.add(path)
                if path != "/":  # which always has processes
                    self._changes.watch(folder / _EVENTS, inotify.MODIFY)
            children = [each.name for each in os.scandir(folder) if each.is_dir()]
        except FileNotFoundError:
            return
        except OSError as error:
            self._complain(f"no default types in control groups below {folder}: {error.strerror}")
            return
        for name in children:
            self._look(f"{path.rstrip('/')}/{name}")

    def _forget_gone(self) -> None:
        gone = {path for path in self._numbers.values() if not self.folder(path).is_dir()}
        if gone:
            self._found -= gone
            self._numbers = {n: path for n, path in self._numbers.items() if path not in gone}
