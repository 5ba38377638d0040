"""The units for systemd: as systemd-analyze of Debian sees them, and beside what daemons do."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from moorage.lab.lab import Lab, Node
from tests.conformance.scene import PATIENCE, eventually
from tests.lab.inside import curl, moorage

pytestmark = pytest.mark.interop

PACKAGING = Path(__file__).parents[2] / "packaging"
LOWEST_EXPOSURE = {"host": 3.4, "router": 2.4}
"""What systemd-analyze says at best: 0 is locked up, 10 is open."""
CALL = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?(\w+)\(")
FAMILY = re.compile(r"\bsocket\((AF_\w+)")


def unit(daemon: str) -> Path:
    return PACKAGING / f"moorage-{daemon}.service"


def analyze(*arguments: str | Path) -> str:
    command = ["systemd-analyze", "--no-pager", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("daemon", ["host", "router"])
def test_a_unit_is_understood(tmp_path: Path, daemon: str) -> None:
    # It names the command where a package puts it.
    text = unit(daemon).read_text()
    assert f"ExecStart=/usr/bin/moorage {daemon} --config /etc/moorage/{daemon}.toml" in text
    copy = tmp_path / unit(daemon).name
    copy.write_text(text.replace("/usr/bin/moorage", sys.executable))
    assert analyze("verify", "--man=no", copy) == ""


@pytest.mark.parametrize("daemon", ["host", "router"])
def test_a_unit_is_locked_up(daemon: str) -> None:
    threshold = f"--threshold={round(LOWEST_EXPOSURE[daemon] * 10)}"
    assert "Overall exposure level" in analyze("security", "--offline=yes", threshold, unit(daemon))


def settings(daemon: str, key: str) -> list[str]:
    """The values of a key, in order."""
    lines = unit(daemon).read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def members(name: str) -> set[str]:
    """The system calls of a set of systemd's, and of the sets in it."""
    found: set[str] = set()
    for line in analyze("syscall-filter", name).splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            found |= members(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


def allowed_calls(daemon: str) -> set[str]:
    """What the unit's filter lets pass; @default always is."""
    calls = members("@default")
    for value in settings(daemon, "SystemCallFilter"):
        for name in value.removeprefix("~").split():
            calls = calls - members(name) if value.startswith("~") else calls | members(name)
    return calls


@contextmanager
def traced(node: Node, daemon: str, log: Path) -> Iterator[None]:
    """A daemon in a node, with all that it asks of the kernel written to ``log``."""
    tracer = ["strace", "--daemonize", "--follow-forks", f"--output={log}"]
    command = [sys.executable, "-m", "moorage", daemon, "--config", f"/run/moorage/{daemon}.toml"]
    process = node.popen([*tracer, *command])
    try:
        eventually((node.folder / f"{daemon}-management.sock").exists)
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        eventually(lambda: log.read_text().endswith("+++ exited with 0 +++\n"))
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab.start("two-routers", state=tmp_path) as lab:
        yield lab


@pytest.mark.netns
@pytest.mark.parametrize(("daemon", "name"), [("host", "mn"), ("router", "ar1")])
def test_a_unit_lets_its_daemon_do_what_it_does(
    lab: Lab, tmp_path: Path, daemon: str, name: str
) -> None:
    lab.start_daemons()
    lab.daemon(name).stop()
    node, log = lab.node(name), tmp_path / "calls"
    with traced(node, daemon, log):
        lab.move("mn", "ar2")
        lab.move("mn", "ar1")
        eventually(lambda: "session-lasting" in moorage(lab.node("mn"), "addresses"))
        moorage(lab.node("mn"), "address", "fixed")
        moorage(lab.node("mn"), "sockets")
        curl(node, daemon, "/metrics")
    text = log.read_text()
    calls = {match[1] for line in text.splitlines() if (match := CALL.match(line))}
    assert calls & {"sendmsg", "sendto"}
    assert calls - {"execve"} <= allowed_calls(daemon)
    [families] = settings(daemon, "RestrictAddressFamilies")
    assert set(FAMILY.findall(text)) <= set(families.split())
