"""Who is at the other end of a unix socket: asked of the kernel, never of him."""

from __future__ import annotations

import array
import contextlib
import errno
import os
import select
import socket
import struct
from dataclasses import replace

from moorage.host.caller import Caller
from moorage.kernel.cgroups import outside

_SO_PEERGROUPS = 59
_SO_PEERPIDFD = 77
_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_GROUPS_ROOM = 1024
"""Bytes for the supplementary groups: the most that `socket.getsockopt` takes, 256 groups."""
_STARTED = 19
"""Place of the start time in ``/proc/PID/stat``, counted from behind the program's name."""
_UNITS = (".service", ".scope", ".socket", ".mount", ".swap")
"""The kinds of systemd unit that have processes."""


def identify(connection: socket.socket) -> Caller:
    """Return who made ``connection``, with the rights that he had when he did.

    Raises:
        OSError: it is no unix socket.
    """
    pid, uid, gid = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    process = f"/proc/{pid}"
    caller = Caller(pid, None, uid, frozenset((gid, *_supplementary_groups(connection))))
    with contextlib.suppress(OSError):
        started = _started(process)
        unit, cgroup = control_group(_text(process, "cgroup"))
        seen = replace(
            caller, started=started, executable=_executable(process), unit=unit, cgroup=cgroup
        )
        # Only now is it sure that nothing was read from a later process with the same pid.
        if _lives(connection, process, started):
            return seen
    return caller


def describe(pid: int) -> Caller:
    """Return a process as it would be seen if it called now.

    Raises:
        OSError: there is none.
    """
    process = f"/proc/{pid}"
    fields = dict(line.split(":", 1) for line in _text(process, "status").splitlines())
    unit, cgroup = control_group(_text(process, "cgroup"))
    _, uid, *_ = fields["Uid"].split()
    _, gid, *_ = fields["Gid"].split()
    groups = frozenset(map(int, (gid, *fields["Groups"].split())))
    return Caller(pid, _started(process), int(uid), groups, _executable(process), unit, cgroup)


def _supplementary_groups(connection: socket.socket) -> array.array[int]:
    groups = array.array("I")
    # Of more groups than have room none counts: too few rights are better than too many.
    with contextlib.suppress(OSError):
        groups.frombytes(connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_ROOM))
    return groups


def _lives(connection: socket.socket, process: str, started: int) -> bool:
    """Whether the process that made ``connection`` has not ended.

    Before Linux 6.5 nobody can say whether it is still that one which has its pid; then this is
    whether it is still the one that ``started`` at that time.
    """
    try:
        pidfd = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        return error.errno == errno.ENOPROTOOPT and _started(process) == started
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return not poll.poll(0)
    finally:
        os.close(pidfd)


def _text(process: str, name: str) -> str:
    # Without a buffer, and without a Path: this is most of what a new connection costs.
    with open(f"{process}/{name}", "rb", buffering=0) as file:
        return os.fsdecode(file.read())


def _started(process: str) -> int:
    # The program's name, in parentheses, may hold anything.
    _, _, fields = _text(process, "stat").rpartition(") ")
    return int(fields.split()[_STARTED])


def _executable(process: str) -> str | None:
    """Return the path of the program, if it is that file on this host.

    It is not where somebody mounted another one there in a namespace of his own, nor where the
    program was replaced since it was started.
    """
    try:
        path = os.readlink(f"{process}/exe")
        return path if os.path.samefile(path, f"{process}/exe") else None
    except OSError:
        return None


def control_group(hierarchies: str) -> tuple[str | None, str | None]:
    """Return the systemd unit and the control group in the text of ``/proc/PID/cgroup``.

    The group is that of the unified hierarchy, or where systemd does not use it, of its own; for a
    program with a default type, which has a group of ours, the one in which that was made.
    """
    found = {}
    for line in hierarchies.splitlines():
        _, controllers, path = line.split(":", 2)
        found[controllers] = path
    systemd, unified = found.get("name=systemd"), found.get("")
    cgroup = systemd if unified in (None, "/") and systemd is not None else unified
    if cgroup is not None:
        cgroup = outside(cgroup)
    return unit_of(cgroup or "/"), cgroup


def unit_of(cgroup: str) -> str | None:
    """Return the unit of the system's manager: the first part of the path that is no slice."""
    for part in cgroup.split("/")[1:]:
        if not part.endswith(".slice"):
            # systemd puts "_" before a name that a controller's file might have.
            return part.removeprefix("_") if part.endswith(_UNITS) else None
    return None
