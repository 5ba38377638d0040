"""`moorage run` on hosts without a daemon, and with one that refuses."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from moorage.numbers import EAI_REQUIREDIPFAILED
from moorage.wire.app import Operation, Reason
from tests.small_daemon import Start, gives, path, refuses, start

__all__ = ["path", "start"]
ADDRESS = IPv6Address("2001:db8::1")


def run(*argv: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "moorage", "run", *argv],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def lasting(*argv: str) -> tuple[int, str, str]:
    return run("--service", "session-lasting", *argv)


@pytest.mark.usefixtures("path")
def test_without_a_daemon_nothing_is_run() -> None:
    status, out, err = lasting("echo", "ahoy")
    assert (status, out) == (125, "")
    assert "no host daemon at" in err
    assert err.count("\n") == 1


def test_who_is_refused_is_not_run(start: Start) -> None:
    start(refuses(EAI_REQUIREDIPFAILED, Reason.HOST_NOT_AUTHORISED))
    status, out, err = lasting("echo", "ahoy")
    assert (status, out) == (125, "")
    assert "this host does not allow it to this application" in err
    assert err.count("\n") == 1


def test_it_becomes_the_command(start: Start) -> None:
    daemon = start(gives(ADDRESS))
    assert lasting("--", "sh", "-c", "echo $1; exit 7", "-", "--service") == (7, "--service\n", "")
    assert [request.operation for request in daemon.requests] == [Operation.RUN]


def test_options_behind_the_command_are_its_own(start: Start) -> None:
    start(gives(ADDRESS))
    assert lasting("echo", "--timeout", "-x") == (0, "--timeout -x\n", "")


def test_a_command_that_is_not_there(start: Start, tmp_path: Path) -> None:
    start(gives(ADDRESS))
    status, _, err = lasting(str(tmp_path / "nothing"))
    assert status == 127
    assert err.endswith("nothing: No such file or directory\n")


@pytest.mark.parametrize("argv", [(), ("--service", "fixed"), ("echo", "ahoy"), ("--service", "x")])
def test_a_wrong_command_line(argv: tuple[str, ...]) -> None:
    assert run(*argv)[0] == 2
