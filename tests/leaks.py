"""Whether a test left anything behind: processes, network namespaces, names of labs, files."""

from __future__ import annotations

import os
import select
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moorage.lab import control

_MARK = "MOORAGE_TEST_MARK"
_SECONDS_TO_DIE = 10.0
_FOLDERS = (Path("/run/moorage"), Path("/run/lab"), Path("/run/netns"))


def marked_processes(mark: str) -> dict[int, str]:
    """Process id and command line of everything that was started with this mark."""
    wanted = f"{_MARK}={mark}".encode()
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(folder.name)] = command
        except OSError:  # it has ended
            continue
    return found


def await_end(pid: int, seconds: float = _SECONDS_TO_DIE) -> bool:
    """Wait until a process has ended; False: it has not."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], seconds)[0])
    finally:
        os.close(process)


def _open_namespaces() -> list[str]:
    """The network and mount namespaces that this process itself keeps alive."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if target.startswith(("net:", "mnt:")):
            found.append(target)
    return sorted(found)


def _files() -> list[Path]:
    return [path for folder in _FOLDERS if folder.exists() for path in sorted(folder.rglob("*"))]


@contextmanager
def nothing_left_behind() -> Iterator[str]:
    """Fail if what runs inside leaves something; yield the mark of its processes."""
    mark = uuid.uuid4().hex
    labs, files, namespaces = control.running(), _files(), _open_namespaces()
    os.environ[_MARK] = mark
    try:
        yield mark
    finally:
        del os.environ[_MARK]
    left = {pid: command for pid, command in marked_processes(mark).items() if not await_end(pid)}
    assert not left, "processes were left behind"
    assert _open_namespaces() == namespaces, "namespaces are still open"
    # Other test runs of the same user may begin and end labs meanwhile; ours have our number.
    ours = [name for name in control.running() if name.startswith(f"{os.getpid()}-")]
    assert [name for name in ours if name not in labs] == [], "labs are still up"
    assert _files() == files, "files were left behind"
