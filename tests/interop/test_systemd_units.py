"""The units for systemd: as systemd-analyze of Debian sees them, and beside what daemons do."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from moorage.lab import topology
from moorage.lab.lab import Lab, Node
from tests.conformance.scene import PATIENCE, eventually
from tests.interop import running
from tests.interop.frr import ANNOUNCE, NUMBERS, VTYSH, bgp
from tests.lab.inside import curl, moorage

pytestmark = pytest.mark.interop

PACKAGING = Path(__file__).parents[2] / "packaging"
LOWEST_EXPOSURE = {"host": 3.6, "router": 2.4}
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
    """The values of a key in a unit and what is dropped in there, in order."""
    files = [unit(daemon), *sorted(PACKAGING.glob(f"{unit(daemon).name}.d/*.conf"))]
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def words(daemon: str, key: str) -> list[str]:
    """What is listed in the values of a key."""
    return [word for value in settings(daemon, key) for word in value.split()]


def confined(daemon: str) -> list[str]:
    """The command that takes from root, for the command behind it, what the unit takes."""
    kept = [name.removeprefix("CAP_").lower() for name in words(daemon, "CapabilityBoundingSet")]
    groups = ",".join(words(daemon, "SupplementaryGroups"))
    return [
        *("setpriv", "--no-new-privs"),
        f"--bounding-set={','.join(['-all', *(f'+{name}' for name in kept)])}",
        f"--groups={groups}" if groups else "--clear-groups",
    ]


def members(name: str) -> set[str]:
    """The system calls of a set of systemd's, and of the sets in it; of a call, itself."""
    if not name.startswith("@"):
        return {name}
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
    """A daemon in a node, with its unit's rights; what it asks of the kernel is in ``log``."""
    tracer = ["strace", "--daemonize", "--follow-forks", f"--output={log}"]
    command = [sys.executable, "-m", "moorage", daemon, "--config", f"/run/moorage/{daemon}.toml"]
    process = node.popen([*confined(daemon), *tracer, *command])
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
        run = [sys.executable, "-m", "moorage", "run", "--service", "session-lasting", "true"]
        assert lab.node("mn").run(run).stderr == ""  # there are hooks
        running.await_no_groups(lab.node("mn"))
        curl(node, daemon, "/metrics")
    assert_let(daemon, log)


def assert_let(daemon: str, log: Path) -> None:
    """The unit lets its daemon, and what that runs, do what it has done."""
    text = log.read_text()
    calls = {match[1] for line in text.splitlines() if (match := CALL.match(line))}
    assert calls & {"sendmsg", "sendto"}
    assert calls - {"execve"} <= allowed_calls(daemon)
    [families] = settings(daemon, "RestrictAddressFamilies")
    assert set(FAMILY.findall(text)) <= set(families.split())


@pytest.fixture
def cluster() -> Iterator[Lab]:
    """A lab whose first router has its bindings in an etcd cluster, and announces its pool."""
    plain = topology.load(Path("examples/cluster.toml"))
    command = ["/usr/bin/env", f"VTYSH={VTYSH}", str(ANNOUNCE), str(NUMBERS["ar1"])]
    router = plain.routers["ar1"]
    settings = {**router.settings, "announce": {"command": command, "retry": 0.2}}
    routers = {**plain.routers, "ar1": msgspec.structs.replace(router, settings=settings)}
    with Lab.start(msgspec.structs.replace(plain, routers=routers)) as lab, bgp(lab, "ar1", {}):
        lab.start_daemons()
        yield lab


@pytest.mark.netns
def test_the_routers_unit_lets_it_use_a_cluster_and_tell_frr(cluster: Lab, tmp_path: Path) -> None:
    cluster.daemon("ar1").stop()
    node, log = cluster.node("ar1"), tmp_path / "calls"
    with traced(node, "router", log):
        eventually(lambda: "announced" in moorage(node, "router", "status"))
        cluster.move("mn", "ar2")
        cluster.move("mn", "ar1")
        eventually(lambda: "session-lasting" in moorage(cluster.node("mn"), "addresses"))
    assert_let("router", log)
