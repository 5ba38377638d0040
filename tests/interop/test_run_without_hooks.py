"""`moorage run` where the daemon may not write to control groups: programs ask by a library."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.kernel.bpf import cgroup
from moorage.lab.namespaces import become_root
from moorage.service import ServiceType
from tests.conformance.scene import PATIENCE, Scene, eventually, open_scene
from tests.interop import running
from tests.interop.running import RESPONSE, accepted, listening, popen, port_of, received
from tests.interop.test_run_programs import CALLER, LEFT_ALONE, SOCKETS
from tests.leaks import nothing_left_behind

pytestmark = [pytest.mark.netns, pytest.mark.interop]

LASTING = ServiceType.SESSION_LASTING
NOTICE = b"asks by a library"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    become_root()
    with (
        nothing_left_behind(),
        open_scene(tmp_path_factory.mktemp("store"), host={"at_boot": []}, daemons=False) as scene,
    ):
        groups = str(cgroup.root())
        scene.host.run(["mount", "--bind", groups, groups])
        scene.host.run(["mount", "-o", "remount,bind,ro", groups])
        scene.lab.start_daemons()
        eventually(scene.settled)
        yield scene


def told(scene: Scene, service: ServiceType, *argv: str) -> tuple[int, str, bytes]:
    """Exit status, output and complaints of a command with addresses of a type."""
    with popen(scene, service, *argv, stderr=running.PIPE) as process:
        out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out.decode(), err


def test_every_kind_of_socket(scene: Scene) -> None:
    with listening(scene.peer) as tcp, listening(scene.peer, socket.SOCK_DGRAM) as udp:
        arguments = [str(scene.destination), str(port_of(tcp)), str(port_of(udp))]
        status, out, err = told(scene, LASTING, sys.executable, "-c", SOCKETS, *arguments)
        connection, source = accepted(tcp)
        connection.close()
        assert {received(udp) for _ in range(3)} == {source}
    assert scene.binding(source).type is LASTING
    assert (status, out) == (0, f"{source}\n")
    assert NOTICE in err
    assert err.count(b"\n") == 1


def test_curl(scene: Scene) -> None:
    with listening(scene.peer) as server:
        url = f"http://[{scene.destination}]:{port_of(server)}/"
        with popen(scene, LASTING, "curl", "--silent", url, stderr=running.PIPE) as process:
            connection, source = accepted(server)
            assert source == running.typed(scene, LASTING)
            scene.move()
            connection.sendall(RESPONSE)
            connection.close()
            assert process.communicate()[0] == running.BODY


def test_what_programs_choose_is_left_alone(scene: Scene) -> None:
    [ordinary, *_] = scene.ordinary()
    with listening(scene.peer, socket.SOCK_DGRAM) as udp:
        arguments = [str(scene.destination), str(port_of(udp)), str(ordinary)]
        status, out, _ = told(scene, LASTING, sys.executable, "-c", LEFT_ALONE, *arguments)
        assert received(udp) == ordinary
    assert status == 0
    assert out.split() == [str(ordinary), "::1", "::ffff:127.0.0.1", "fe80::", "fe80::"]


def test_other_libraries_stay_before_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    before = "libpthread.so.0"
    monkeypatch.setenv("LD_PRELOAD", before)
    _, out, _ = told(scene, LASTING, "sh", "-c", "echo $LD_PRELOAD")
    first, _, second = out.strip().partition(":")
    assert first == before
    assert Path(second).name == "preload.so"


def test_a_static_program_is_refused(scene: Scene, tmp_path: Path) -> None:
    program = running.build(tmp_path, "caller", CALLER, "-static")
    status, _, err = told(scene, LASTING, program)
    assert status == 125
    assert b"is a static program: it loads no libraries" in err


def test_a_program_of_go_is_refused(scene: Scene) -> None:
    status, _, err = told(scene, LASTING, "hey", "http://[::1]/")
    assert status == 125
    assert b"is a Go program" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="files of other users take root")
def test_a_set_uid_program_is_refused(scene: Scene, tmp_path: Path) -> None:
    program = tmp_path / "true"
    subprocess.run(["cp", "/bin/true", program], check=True)
    os.chown(program, 65534, -1)
    program.chmod(0o4755)
    status, _, err = told(scene, LASTING, str(program))
    assert status == 125
    assert f"{program} is set-uid: it loads no library".encode() in err
    assert err.count(b"\n") == 1
