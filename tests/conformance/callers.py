"""Starts `tests.conformance.caller`, and tells what it got."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from itertools import takewhile
from pathlib import Path
from typing import Final

from moorage.lab.lab import Node
from tests.conformance import caller

ROOT: Final = 0
SOMEBODY: Final = 1001
SOMEBODY_ELSE: Final = 1002


@contextmanager
def asking(
    host: Node,
    *wanted: str,
    uid: int = SOMEBODY,
    gid: int | None = None,
    executable: Path | None = None,
    cgroup: Path | None = None,
) -> Iterator[list[IPv6Address | str]]:
    """What a process on ``host`` gets for each of these types: an address, or a reason.

    It keeps its sockets until the end of the context.
    """
    group = uid if gid is None else gid
    program = executable or Path(sys.executable)
    argv = [str(program), caller.__file__, str(uid), str(group), *wanted]
    # Inside the node the daemon is where every application expects it.
    environment = {key: value for key, value in os.environ.items() if key != "MOORAGE_SOCKET"}
    if executable is not None:
        environment["PYTHONHOME"] = sys.base_prefix
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    standard_input = (cgroup / "cgroup.procs") if cgroup else Path(os.devnull)
    with standard_input.open("wb", buffering=0) as stdin:
        process = host.popen(argv, stdin=stdin, stdout=-1, env=environment)
    with process:
        assert process.stdout is not None
        said = takewhile(lambda line: line != b"\n", process.stdout)
        lines = [line.decode().strip() for line in said]
        try:
            assert len(lines) == len(wanted), lines
            yield [IPv6Address(line) if ":" in line else line for line in lines]
        finally:
            # A kill of what is outside would not reach it, since it has changed its user.
            process.terminate()


def got(host: Node, wanted: str, **who: object) -> IPv6Address | str:
    """What somebody gets who asks once and ends."""
    with asking(host, wanted, **who) as [answer]:  # type: ignore[arg-type]
        return answer


@contextmanager
def control_group(*names: str) -> Iterator[Path | None]:
    """A control group in the unified hierarchy; none where groups cannot be made."""
    made: list[Path] = []
    try:
        folder = _unified_hierarchy()
        for name in names:
            folder /= name
            folder.mkdir()
            made.append(folder)
    except OSError:
        yield None
    else:
        yield folder
    finally:
        for each in reversed(made):
            each.rmdir()


def _unified_hierarchy() -> Path:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return Path(mount.split()[4])
    raise OSError("no unified hierarchy is mounted")
