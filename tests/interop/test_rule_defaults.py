"""A rule gives a control group a type: programs there call from such addresses, unchanged."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from moorage.kernel.bpf import cgroup
from moorage.lab.namespaces import become_root
from moorage.service import ServiceType
from tests.conformance.callers import control_group
from tests.conformance.conftest import LINGER
from tests.conformance.scene import PATIENCE, Scene, eventually, open_scene
from tests.interop import running
from tests.interop.running import PIPE, RESPONSE, accepted, listening, port_of, received
from tests.lab.inside import moorage
from tests.leaks import nothing_left_behind

pytestmark = [pytest.mark.netns, pytest.mark.interop]

LASTING = ServiceType.SESSION_LASTING
GRACEFUL = ServiceType.GRACEFUL_REPLACEMENT

GROUP = f"lasting-{os.getpid()}"
UNIT = f"graceful-{os.getpid()}.service"
RULES = [
    {"cgroups": [f"/{GROUP}"], "default": "session-lasting"},
    {"units": [UNIT], "default": "graceful-replacement"},
    {},
]

ENTER = 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"'

SOCKETS = """
import socket, sys
to, tcp, udp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
socket.create_connection((to, tcp)).close()
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as connected:
    connected.connect((to, udp))
    connected.send(b"connected")
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as loose:
    loose.sendto(b"loose", (to, udp))
"""

BOUND = """
import socket, sys
to, tcp, own = sys.argv[1], int(sys.argv[2]), sys.argv[3]
socket.create_connection((to, tcp), source_address=(own, 0)).close()
"""

SOURCE = """
import socket, sys
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
    sock.connect((sys.argv[1], 9))
    print(sock.getsockname()[0])
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    become_root()
    settings = {"linger": LINGER, "at_boot": [], "rule": RULES}
    with (
        nothing_left_behind(),
        open_scene(tmp_path_factory.mktemp("store"), host=settings) as scene,
    ):
        eventually(scene.settled)
        yield scene
        running.await_no_groups(scene.host)


@contextmanager
def started(scene: Scene, group: Path, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command in a control group."""
    whole = ["sh", "-c", ENTER, "sh", str(group), *argv]
    with scene.host.popen(whole, stdin=PIPE, stdout=PIPE, env=running.inside()) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def printed(scene: Scene, group: Path, *argv: str) -> str:
    with started(scene, group, *argv) as process:
        out = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0
    return out.decode().strip()


def source(scene: Scene, group: Path) -> IPv6Address:
    """What a socket in a group calls from that names no address."""
    script = [sys.executable, "-c", SOURCE, str(scene.destination)]
    return IPv6Address(printed(scene, group, *script))


def has_typed(scene: Scene, group: Path) -> bool:
    return source(scene, group) in scene.typed()


@contextmanager
def populated(scene: Scene, *names: str) -> Iterator[Path]:
    """A control group that is made now, and in which a process goes on until the end."""
    with control_group(*names) as group:
        if group is None:
            pytest.skip("only root of the whole machine makes control groups")
        with started(scene, group, "cat"):
            yield group


@pytest.fixture
def group(scene: Scene) -> Iterator[Path]:
    """The group to which a rule gives Session-lasting, from when its programs have addresses."""
    with populated(scene, GROUP) as group:
        eventually(partial(has_typed, scene, group))
        yield group
    eventually(lambda: not scene.typed())


def test_every_kind_of_socket(scene: Scene, group: Path) -> None:
    address = running.typed(scene, LASTING)
    with listening(scene.peer) as tcp, listening(scene.peer, socket.SOCK_DGRAM) as udp:
        ports = [str(port_of(tcp)), str(port_of(udp))]
        printed(scene, group, sys.executable, "-c", SOCKETS, str(scene.destination), *ports)
        connection, sender = accepted(tcp)
        connection.close()
        assert {sender, received(udp), received(udp)} == {address}


def test_curl_goes_on_after_a_move(scene: Scene, group: Path) -> None:
    with listening(scene.peer) as server:
        url = f"http://[{scene.destination}]:{port_of(server)}/"
        with started(scene, group, "curl", "--silent", url) as process:
            connection, sender = accepted(server)
            assert sender == running.typed(scene, LASTING)
            with connection:
                connection.sendall(RESPONSE[:-2])
                scene.move()
                connection.sendall(RESPONSE[-2:])
            assert process.communicate()[0] == running.BODY


def test_what_a_program_binds_to_is_left_alone(scene: Scene, group: Path) -> None:
    [ordinary, *_] = scene.ordinary()
    with listening(scene.peer) as tcp:
        arguments = [str(scene.destination), str(port_of(tcp)), str(ordinary)]
        printed(scene, group, sys.executable, "-c", BOUND, *arguments)
        connection, sender = accepted(tcp)
        connection.close()
        assert sender == ordinary


def test_whoever_asks_why_is_told(scene: Scene, group: Path) -> None:
    with listening(scene.peer) as server:
        url = f"http://[{scene.destination}]:{port_of(server)}/"
        with started(scene, group, "curl", "--silent", url):
            connection, sender = accepted(server)
            text = moorage(scene.host, "why", str(sender))
            connection.close()
    assert f"a rule gave such addresses to /{GROUP}" in text


def test_other_programs_go_on_as_ever(scene: Scene, group: Path) -> None:
    with scene.connect_plainly() as connection:
        assert connection.source in scene.ordinary()


def test_a_group_within_it_has_the_same(scene: Scene, group: Path) -> None:
    with populated(scene, f"{GROUP}/below") as below:
        assert source(scene, below) == running.typed(scene, LASTING)


def test_a_program_that_is_run_with_another_type_has_that(scene: Scene, group: Path) -> None:
    script = [sys.executable, "-c", SOURCE, str(scene.destination)]
    command = running.command(GRACEFUL, *script)
    within = IPv6Address(printed(scene, group, *command))
    assert scene.binding(within).type is GRACEFUL
    assert source(scene, group) == running.typed(scene, LASTING)


def test_a_unit_wherever_its_groups_are(scene: Scene) -> None:
    with populated(scene, f"services-{os.getpid()}.slice", UNIT, "main") as group:
        eventually(partial(has_typed, scene, group))
        assert source(scene, group) == running.typed(scene, GRACEFUL)
        assert source(scene, group.parent) == running.typed(scene, GRACEFUL)
        assert source(scene, group.parent.parent) in scene.ordinary()


def test_a_group_that_is_made_again_begins_anew(scene: Scene) -> None:
    for _ in range(2):
        with populated(scene, GROUP) as group:
            eventually(partial(has_typed, scene, group))
        assert not (cgroup.root() / GROUP).exists()


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_daemon_that_is_started_anew_goes_on_with_it(scene: Scene, group: Path, way: str) -> None:
    address = running.typed(scene, LASTING)
    daemon = scene.lab.daemon("mn")
    getattr(daemon, way)()
    assert source(scene, group) in scene.ordinary()
    daemon.start()
    eventually(scene.settled)
    eventually(lambda: source(scene, group) == address)
