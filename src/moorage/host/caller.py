"""Who asks for an address, as policy sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """A process that called the daemon, as the kernel knew it when it connected.

    What could not be read, or not for certain, is none: a process that is gone, or one whose
    executable is not the file that this path leads to on the host.

    Attributes:
        pid: its process id as the daemon sees it, 0 if it is in no namespace of the daemon's.
        started: when it began, in clock ticks since boot; with the pid it names one process only.
        uid: its effective user.
        gids: its effective group and all its supplementary ones.
        executable: the path of the program that it runs.
        unit: the systemd unit of the system's manager that it belongs to. Units of a user's own
            manager, which he may call what he likes, are part of ``cgroup`` only.
        cgroup: its control group's path.
    """

    pid: int
    started: int | None
    uid: int
    gids: frozenset[int]
    executable: str | None = None
    unit: str | None = None
    cgroup: str | None = None

    @property
    def is_group(self) -> bool:
        """Whether it is no process but a control group, whoever is in it."""
        return not self.pid and self.cgroup is not None
