"""Unmodified programs by `moorage run`, beside programs that call ``setsc()`` themselves."""

from __future__ import annotations

import sys
from ipaddress import IPv6Address
from subprocess import DEVNULL, PIPE

import pytest

import moorage
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType
from tests.conformance.conftest import Stage
from tests.conformance.scene import DELEGATED, Scene, eventually
from tests.interop.running import accepted, inside, listening, popen, port_of
from tests.native.workshop import NATIVE, Library, build_program

pytestmark = [pytest.mark.netns, pytest.mark.interop]

LASTING = ServiceType.SESSION_LASTING
PLAIN = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))):
    sys.stdin.read()
"""


def source_of_run(scene: Scene, service: ServiceType) -> IPv6Address:
    """Where a program calls from that knows nothing of types."""
    with listening(scene.peer) as server:
        arguments = [str(scene.destination), str(port_of(server))]
        with popen(scene, service, sys.executable, "-c", PLAIN, *arguments) as process:
            connection, source = accepted(server)
            connection.close()
            assert process.wait() == 0
    return source


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The draft's example."""
    folder = tmp_path_factory.mktemp("example")
    return str(build_program(NATIVE / "examples" / "client.c", folder))


@pytest.mark.parametrize("service", ServiceType)
def test_all_ways_lead_to_one_address(scene: Scene, library: Library, service: ServiceType) -> None:
    """4.2-b, 3.4-d: a program of C, one of Python and an unmodified one have the same address."""
    with scene.new_socket() as first, scene.new_socket() as second:
        address = library.setsc(first, service)
        assert moorage.setsc(second, service) == address
        assert source_of_run(scene, service) == address


def test_the_drafts_example_agrees(scene: Scene, example: str) -> None:
    """4.2-b: the draft's example calls from the same address as an unmodified program."""
    with listening(scene.peer) as server:
        arguments = [str(scene.destination), str(port_of(server))]
        with scene.host.popen([example, *arguments], stdin=DEVNULL, env=inside()) as process:
            connection, source = accepted(server)
            connection.close()
            process.wait()
    assert source_of_run(scene, LASTING) == source


@pytest.mark.parametrize("service", DELEGATED)
def test_a_missing_prefix_is_requested(bare: Scene, service: ServiceType) -> None:
    """3.4-b, 5.2-c: a program is run with a type of which there is no prefix: it is requested."""
    tap = bare.tap()
    source = source_of_run(bare, service)
    assert len(tap.messages(MessageType.SOLICIT)) == 1
    assert bare.binding(source).type is service
    eventually(lambda: service is ServiceType.FIXED or not bare.of_type(service))


def test_without_an_address_a_program_is_not_run(stage: Stage) -> None:
    """3.4-c: the network does not offer the type: an error, and the program is not run."""
    offered = {"offered": ["fixed"], "default_type": "fixed"}
    with stage(host={"at_boot": []}, routers=offered) as scene:
        eventually(scene.settled)
        with popen(scene, LASTING, "echo", "ahoy", stderr=PIPE) as process:
            out, err = process.communicate()
        assert (process.returncode, out) == (125, b"")
        why = b"the network does not offer this type" if scene.served else b"no host daemon"
        assert why in err


def test_programs_work_unchanged(scene: Scene) -> None:
    """5.1-a: a program of other people calls from a typed address, and goes on after a move.

    Where there are none, it runs by itself as ever.
    """
    with listening(scene.peer) as server:
        argv = ["curl", "--silent", f"http://[{scene.destination}]:{port_of(server)}/"]
        run = popen(scene, LASTING, *argv) if scene.served else scene.host.popen(argv, stdout=PIPE)
        with run as process:
            connection, source = accepted(server)
            if scene.served:
                scene.move()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nahoy")
            connection.close()
            assert process.communicate()[0] == b"ahoy"
    assert scene.type_of(source) is scene.granted(LASTING)


def test_two_hosts_of_one_machine_are_apart(scene: Scene, stage: Stage) -> None:
    """5.2-a: what is chosen for the programs of one host is nothing to those of another."""
    with stage(host={"at_boot": []}) as other:
        eventually(other.settled)
        here, there = source_of_run(scene, LASTING), source_of_run(other, LASTING)
        assert here in scene.typed()
        assert there in other.typed()
        with other.connect_plainly() as connection:
            assert connection.source in other.ordinary()
