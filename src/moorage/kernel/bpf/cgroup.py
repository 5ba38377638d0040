"""Where the control groups of the unified hierarchy are."""

from __future__ import annotations

import os
from pathlib import Path

from moorage.kernel.bpf.errors import Unavailable

_MOUNTS = Path("/proc/self/mounts")


def root(mounts: Path = _MOUNTS) -> Path:
    """Return the folder of the group that contains all others which this process can see.

    Raises:
        Unavailable: the hierarchy (cgroup v2) is mounted nowhere.
    """
    for line in os.fsdecode(mounts.read_bytes()).splitlines():
        _, place, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return Path(_unescaped(place))
    raise Unavailable("no cgroup v2 is mounted")


def _unescaped(place: str) -> str:
    """Return a path that has spaces, tabs, line ends and backslashes as octal numbers."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        place = place.replace(escape, character)
    return place
