from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.host.peer import control_group, identify

CONNECT = """
import socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sock.connect(sys.argv[1])
sys.stdin.read()
"""


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.bind(str(tmp_path / "host.sock"))
        sock.listen()
        yield sock


def connect(listener: socket.socket) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", CONNECT, listener.getsockname()]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE)


def test_the_kernel_says_who_connected(listener: socket.socket) -> None:
    with connect(listener) as process, listener.accept()[0] as connection:
        caller = identify(connection)
        process.communicate()
    assert caller.pid == process.pid
    assert caller.started is not None
    assert caller.uid == os.geteuid()
    assert caller.gids == {os.getegid(), *os.getgroups()}
    assert caller.executable == os.path.realpath(sys.executable)
    assert caller.cgroup is not None


def test_of_a_process_that_has_ended_only_its_rights_are_known(listener: socket.socket) -> None:
    with connect(listener) as process, listener.accept()[0] as connection:
        process.communicate()
        caller = identify(connection)
    assert (caller.pid, caller.uid) == (process.pid, os.geteuid())
    assert (caller.started, caller.executable, caller.unit, caller.cgroup) == (None,) * 4


def test_a_process_that_has_ended_but_is_not_reaped_is_not_described(
    listener: socket.socket,
) -> None:
    with connect(listener) as process, listener.accept()[0] as connection:
        pidfd = os.pidfd_open(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        select.select([pidfd], [], [])
        os.close(pidfd)
        assert identify(connection).started is None


def test_a_program_that_was_replaced_on_disk_is_not_known_by_its_path(
    listener: socket.socket, tmp_path: Path
) -> None:
    program = tmp_path / "python"
    program.write_bytes(Path(sys.executable).read_bytes())
    program.chmod(0o755)
    arguments = [program, "-S", "-c", CONNECT, listener.getsockname()]
    environment = {"PYTHONHOME": sys.base_prefix}
    with (
        subprocess.Popen(arguments, stdin=subprocess.PIPE, env=environment) as process,
        listener.accept()[0] as connection,
    ):
        assert identify(connection).executable == str(program)
        program.unlink()
        assert identify(connection).executable is None
        program.write_bytes(b"another program")
        assert identify(connection).executable is None
        process.communicate()


@pytest.mark.parametrize(
    ("hierarchies", "unit", "cgroup"),
    [
        ("0::/system.slice/ssh.service", "ssh.service", "/system.slice/ssh.service"),
        ("0::/a.slice/a-b.slice/_x.service/sub", "x.service", "/a.slice/a-b.slice/_x.service/sub"),
        (
            "0::/user.slice/user-1.slice/user@1.service/app.slice/ssh.service",
            "user@1.service",
            "/user.slice/user-1.slice/user@1.service/app.slice/ssh.service",
        ),
        ("1:name=systemd:/init.scope\n0::/", "init.scope", "/init.scope"),
        ("4:memory:/x\n1:name=systemd:/b.service\n0::/c.service", "c.service", "/c.service"),
        ("0::/", None, "/"),
        ("0::/pods/ssh.service", None, "/pods/ssh.service"),
        ("4:memory:/x", None, None),
    ],
)
def test_the_unit_is_that_of_the_systems_manager(
    hierarchies: str, unit: str | None, cgroup: str | None
) -> None:
    assert control_group(hierarchies) == (unit, cgroup)
