"""Control groups in memory, for tests: the test ends processes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from ipaddress import IPv6Address
from pathlib import Path

from moorage.kernel.cgroups import Group


class FakeControlGroups:
    """`ControlGroups`, and what the test needs to fill and to empty them."""

    def __init__(self, processes: Iterable[int] = (), left: Iterable[Group] = ()) -> None:
        self.inside: dict[Group, set[int]] = {group: set(processes) for group in left}
        """The groups, and the processes in them."""
        self._numbers = itertools.count()

    def fileno(self) -> int:
        """Nothing ever comes by itself."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to give back; the groups stay."""

    def take_empty(self) -> list[Group]:
        """See `ControlGroups.take_empty`."""
        empty = [group for group, members in self.inside.items() if not members]
        for group in empty:
            del self.inside[group]
        return empty

    def make(self, label: str, pid: int) -> Group:
        """See `ControlGroups.make`."""
        group = Group(Path("/groups", f"{label}-{next(self._numbers)}"), label)
        self.inside[group] = set()
        return group

    def enter(self, group: Group, pid: int) -> None:
        """See `ControlGroups.enter`."""
        self.inside[group].add(pid)

    def members(self, group: Group) -> list[int]:
        """See `ControlGroups.members`."""
        return sorted(self.inside[group])

    def discard(self, group: Group) -> None:
        """See `ControlGroups.discard`."""
        if not self.inside.get(group):
            self.inside.pop(group, None)

    def restore(self) -> list[Group]:
        """See `ControlGroups.restore`."""
        self.take_empty()
        return list(self.inside)


class FakeSource:
    """A `DefaultSource` that remembers what was chosen.

    True: the kernel chooses for now. False: it does for good.
    """

    def __init__(self) -> None:
        self.chosen: IPv6Address | bool | None = None

    def choose(self, address: IPv6Address | None) -> None:
        """See `DefaultSource.choose`."""
        self.chosen = address

    def leave(self) -> None:
        """See `DefaultSource.leave`."""
        self.chosen = True

    def close(self) -> None:
        """See `DefaultSource.close`."""
        self.chosen = False
