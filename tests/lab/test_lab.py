"""A lab: what is in it, how hosts move, and that nothing of it is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from ipaddress import IPv6Address
from pathlib import Path

import msgspec
import pytest

from moorage.kernel.links import NetlinkLinkTable
from moorage.lab import control, static, topology
from moorage.lab.errors import LabError
from moorage.lab.lab import Lab
from moorage.lab.namespaces import real_user
from moorage.lab.ping import ping
from tests.leaks import await_end, marked_processes

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("mark")]

STARTER = """
import subprocess
import sys
from moorage.lab.lab import Lab
lab = Lab.start(sys.argv[1])
inside = lab.node("mn").popen(["sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE)
inside.stdout.readline()
print(lab.name, flush=True)
sys.stdin.read()
"""


def correspondent(lab: Lab) -> IPv6Address:
    return lab.topology().correspondents["cn"].core.address


def settle(lab: Lab, interface: str, router: str) -> IPv6Address:
    access = lab.topology().routers[router].access
    return lab.node("mn").call(static.settle, interface, access)


def carrier(lab: Lab, interface: str) -> bool:
    links = lab.node("mn").call(lambda: NetlinkLinkTable().links())
    [found] = [link.carrier for link in links if link.name == interface]
    return found


def supervisor_of(name: str) -> int:
    with control.connect(name) as connection:
        pid, _ = control.peer(connection)
        return pid


def test_nodes_reach_each_other(lab: Lab) -> None:
    for router in lab.topology().routers.values():
        assert ping(lab.node("cn"), router.core.address) is not None
        assert ping(lab.node("cn"), router.access.router_address) is not None
    assert ping(lab.node("ar1"), correspondent(lab)) is not None


def test_the_core_routes_a_routers_prefixes_to_it(lab: Lab) -> None:
    router = lab.topology().routers["ar2"]
    for prefix in router.prefixes():
        found = lab.node("core").run(["ip", "-6", "route", "get", str(prefix[0])]).stdout
        assert f"via {router.core.address} dev ar2" in found


def test_a_host_starts_where_the_topology_says(lab: Lab) -> None:
    assert lab.status().nodes["mn"].attached == {"wl0": "ar1", "wl1": None}
    assert (carrier(lab, "wl0"), carrier(lab, "wl1")) == (True, False)
    settle(lab, "wl0", "ar1")
    assert ping(lab.node("mn"), correspondent(lab)) is not None


def test_a_hard_move_takes_the_same_interface_to_the_other_router(lab: Lab) -> None:
    settle(lab, "wl0", "ar1")
    moved = lab.move("mn", "ar2")
    assert moved.interface == "wl0"
    assert 0 < moved.down < moved.up
    assert lab.status().nodes["mn"].attached == {"wl0": "ar2", "wl1": None}
    assert carrier(lab, "wl0")
    # The core sends what is for this address to the new router alone.
    settle(lab, "wl0", "ar2")
    assert ping(lab.node("mn"), correspondent(lab)) is not None


def test_a_soft_move_brings_the_other_interface_up_first(lab: Lab) -> None:
    moved = lab.move("mn", "ar2", soft=True, overlap=0.01)
    assert moved.interface == "wl1"
    assert 0 < moved.up < moved.down
    assert lab.status().nodes["mn"].attached == {"wl0": None, "wl1": "ar2"}
    assert (carrier(lab, "wl0"), carrier(lab, "wl1")) == (False, True)
    settle(lab, "wl1", "ar2")
    assert ping(lab.node("mn"), correspondent(lab)) is not None


def test_a_host_can_be_at_two_routers_and_at_none(lab: Lab) -> None:
    lab.attach("mn", "wl1", "ar2")
    assert (carrier(lab, "wl0"), carrier(lab, "wl1")) == (True, True)
    for router, interface in (("ar1", "wl0"), ("ar2", "wl1")):
        settle(lab, interface, router)
        assert ping(lab.node("mn"), correspondent(lab)) is not None
    lab.detach("mn", "wl0")
    lab.detach("mn", "wl1")
    assert (carrier(lab, "wl0"), carrier(lab, "wl1")) == (False, False)
    moved = lab.move("mn", "ar1")
    assert (moved.interface, moved.down) == ("wl0", 0)


def test_routers_of_one_cell_share_the_link() -> None:
    plain = topology.load("two-routers")
    access = msgspec.structs.replace(plain.routers["ar2"].access, cell="ar1")
    routers = plain.routers | {"ar2": msgspec.structs.replace(plain.routers["ar2"], access=access)}
    with Lab.start(msgspec.structs.replace(plain, routers=routers)) as lab:
        for router in routers:
            settle(lab, "wl0", router)
            assert ping(lab.node("mn"), correspondent(lab)) is not None


def test_mistakes_are_explained(lab: Lab) -> None:
    for action, what in (
        (lambda: lab.move("mn", "ar9"), "no router 'ar9'; routers: ar1, ar2"),
        (lambda: lab.move("ar1", "ar2"), "no host 'ar1'; hosts: mn"),
        (lambda: lab.attach("mn", "wl0", "ar2"), "wl0 of mn is attached already"),
        (lambda: lab.attach("mn", "wl9", "ar2"), "no interface 'wl9'; interfaces: wl0, wl1"),
        (lambda: lab.detach("mn", "wl1"), "wl1 of mn is not attached"),
        (lambda: lab.node("xx").run(["true"]), "no node 'xx'; nodes: core, ar1, ar2, cn, mn"),
        (lambda: lab.daemon("cn").start(), "cn has no daemon; with one: ar1, ar2, mn"),
        (lambda: lab.daemon("mn").kill(), "the daemon of mn is not running"),
        (lambda: lab.node("mn").run(["sh", "-c", "echo no >&2; exit 3"]), "status 3: no"),
    ):
        with pytest.raises(LabError) as caught:
            action()
        assert what in str(caught.value)


def test_a_daemon_that_cannot_start_says_why(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"the daemon of mn ended:\n.*/host.toml: "):
        lab.daemon("mn").start(nonsense=1)
    assert lab.status().nodes["mn"].daemon == 0


def test_a_daemon_can_be_ended_and_started_again(lab: Lab) -> None:
    daemon = lab.daemon("mn")
    daemon.start(at_boot=[])
    assert lab.status().nodes["mn"].daemon > 0
    with pytest.raises(LabError, match="the daemon of mn is running"):
        daemon.start(at_boot=[])
    assert daemon.kill() == -signal.SIGKILL
    assert lab.status().nodes["mn"].daemon == 0
    daemon.start(at_boot=[])
    assert daemon.stop() == 0


def test_a_name_belongs_to_one_lab(lab: Lab) -> None:
    with pytest.raises(LabError, match="is up already"):
        Lab.start("two-routers", name=lab.name)


def test_every_node_has_its_own_files_and_all_share_one_folder(lab: Lab) -> None:
    for node in ("ar1", "ar2"):
        lab.node(node).run(["sh", "-c", f"echo {node} > /run/moorage/own"])
        assert (lab.node(node).folder / "own").read_text() == f"{node}\n"
    assert lab.node("ar1").run(["cat", "/run/moorage/own"]).stdout == "ar1\n"
    lab.node("ar1").run(["sh", "-c", "echo all > /run/moorage/shared/file"])
    assert lab.node("ar2").run(["cat", "/run/moorage/shared/file"]).stdout == "all\n"


def test_what_routers_share_can_be_on_disk(tmp_path: Path) -> None:
    with Lab.start("two-routers", state=tmp_path) as lab:
        lab.node("ar1").run(["sh", "-c", "echo all > /run/moorage/shared/file"])
        assert (tmp_path / "file").read_text() == "all\n"


def test_sockets_of_a_node_work_in_any_process(lab: Lab) -> None:
    address = str(correspondent(lab))
    with (
        lab.node("cn").socket(socket.AF_INET6, socket.SOCK_DGRAM) as far,
        lab.node("ar1").socket(socket.AF_INET6, socket.SOCK_DGRAM) as near,
    ):
        far.bind((address, 7))
        near.sendto(b"hello", (address, 7))
        assert far.recv(100) == b"hello"


def parent_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().split()
    return int(status[status.index("PPid:") + 1])


@pytest.mark.parametrize("kind", ["supervisor", "parent of the supervisor", "relay", "starter"])
def test_nothing_outlives_a_killed_lab(kind: str, mark: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, "two-routers-delay"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        name = starter.stdout.readline().strip()
        before = marked_processes(mark)
        assert len(before) == 7
        supervisor = supervisor_of(name)
        victims = {
            "supervisor": supervisor,
            "parent of the supervisor": parent_of(supervisor),
            "relay": next(pid for pid in before if parent_of(pid) == supervisor),
            "starter": starter.pid,
        }
        os.kill(victims[kind], signal.SIGKILL)
        for pid in before:
            assert pid == starter.pid or await_end(pid)
        assert name not in control.running()
        starter.kill()


def test_a_lab_ends_with_all_that_runs_in_it(lab: Lab, mark: str) -> None:
    # A process that ignores polite signals, and has left its session.
    stubborn = "trap '' TERM HUP INT; echo ready; exec setsid sleep 1000"
    with lab.node("mn").popen(["sh", "-c", stubborn], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        lab.down()
        assert process.wait() == -signal.SIGKILL
    assert set(marked_processes(mark)) <= {os.getpid()}
    lab.down()


def test_an_ordinary_user_can_have_a_lab() -> None:
    if real_user() != 0:
        pytest.skip("these tests run as an ordinary user anyway")
    # The environment's own interpreter may be out of reach for others.
    python = ["/usr/bin/python3", "-m", "moorage"]
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = dict(os.environ, PYTHONPATH=paths, PYTHONDONTWRITEBYTECODE="1")
    try:
        able = subprocess.run(
            [*become, *python, "--help"], env=environment, capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no setpriv")
    if able.returncode:
        pytest.skip("an ordinary user cannot read this interpreter or project")
    done = subprocess.run(
        [*become, *python, "lab", "run", "ping"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if "unprivileged user namespaces" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    assert "mn at ar2: answer from" in done.stdout
