"""Draft section 3.4: what policy decides, the host's or the network operator's."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

import moorage
from moorage.offered import offered
from moorage.service import ServiceType
from moorage.wire.dhcp6 import IaPd, MessageType, OnDemand
from tests.conformance.callers import ROOT, SOMEBODY, asking, control_group, got
from tests.conformance.conftest import LINGER, Stage
from tests.conformance.scene import DELEGATED, PATIENCE, Scene, eventually
from tests.lab.inside import moorage_json

pytestmark = pytest.mark.netns

LASTING, FIXED = ServiceType.SESSION_LASTING, ServiceType.FIXED
GRACEFUL = ServiceType.GRACEFUL_REPLACEMENT


@contextmanager
def staged(stage: Stage, *, routers: dict[str, Any] | None = None, **host: Any) -> Iterator[Scene]:
    """A lab whose host has these settings, and nothing at boot unless they say so."""
    settings = {"linger": LINGER, "at_boot": [], **host}
    with stage(host=settings, routers=routers or {}) as scene:
        eventually(scene.settled)
        yield scene


# ---- 3.4-e: released or kept, 3.4-f: fresh or not ----------------------------------------------


def test_unused_addresses_are_released_or_kept(stage: Stage) -> None:
    """3.4-e: when the last socket closes, policy says of which types the address stays."""
    with staged(stage, keep=["session-lasting"]) as scene:
        addresses: dict[ServiceType, IPv6Address] = {kind: scene.setsc(kind) for kind in DELEGATED}
        eventually(lambda: scene.typed() == {addresses[LASTING]})
        eventually(lambda: [binding.type for binding in scene.bindings()] == [LASTING])
        assert scene.setsc(LASTING) == addresses[LASTING]


def test_an_address_stays_for_those_who_have_it_from_the_kernel(stage: Stage) -> None:
    """3.4-e: nobody but the kernel knows of the socket, until its address is to be released."""
    with staged(stage, linger=dict.fromkeys(LINGER, 0.5)) as scene, scene.connect(LASTING) as first:
        setsc = from_hooks if scene.hooked else moorage.setsc
        with scene.connect(LASTING, setsc=setsc) as second:
            assert second.source == first.source
            first.near.close()
            eventually(lambda: _users(scene, second.source) == 1)
            assert second.works()
        eventually(lambda: not scene.bindings())


def from_hooks(sock: socket.socket, service: ServiceType) -> IPv6Address:
    """What the hooks give, which offer nothing while sockets are counted."""
    address = eventually(lambda: offered(sock, service))
    assert address is not None
    return address


def _users(scene: Scene, address: IPv6Address) -> int:
    found = moorage_json(scene.host, "addresses")
    [sockets] = [each["sockets"] for each in found if each["address"] == str(address)]
    assert isinstance(sockets, int)
    return sockets


def test_sockets_share_an_address_or_have_their_own(stage: Stage) -> None:
    """3.4-f: by policy a new socket gets a fresh Session-lasting address, or the one there is."""
    rules = [{"users": ["root"]}, {"fresh": []}]
    with staged(stage, fresh=["session-lasting"], rule=rules) as scene:
        kinds = ["session-lasting"] * 3
        with asking(scene.host, *kinds, uid=ROOT) as own:
            assert len(set(own)) == 3
            assert len(scene.of_type(LASTING)) == 3
            with asking(scene.host, *kinds, uid=SOMEBODY) as shared:
                assert len(set(shared)) == 1
                assert shared[0] in own
            with asking(scene.host, *["graceful-replacement"] * 2, uid=ROOT) as graceful:
                assert len(set(graceful)) == 1


# ---- 3.4-g: addresses at boot ------------------------------------------------------------------


def test_the_host_says_what_is_there_at_boot(stage: Stage) -> None:
    """3.4-g: addresses of the types that the host's policy names are there without any request."""
    with staged(stage, at_boot=["fixed", "graceful-replacement"]) as scene:
        eventually(lambda: len(scene.typed()) == 2)
        assert {binding.type for binding in scene.bindings()} == {FIXED, GRACEFUL}


@pytest.mark.parametrize("obedience", ["follow", "limit", "ignore"])
def test_the_network_says_what_is_there_at_boot(stage: Stage, obedience: str) -> None:
    """3.4-g: the types that the operator names are there, too, if the host follows him."""
    operator = {"policy": {"boot": ["session-lasting", "graceful-replacement"]}}
    with staged(stage, routers=operator, network_policy=obedience, at_boot=["fixed"]) as scene:
        wanted = {FIXED, LASTING, GRACEFUL} if obedience == "follow" else {FIXED}
        eventually(lambda: len(scene.typed()) == len(wanted))
        assert {binding.type for binding in scene.bindings()} == wanted
        scene.move()
        assert {binding.type for binding in scene.bindings()} == wanted


def test_a_host_without_wishes_learns_what_the_network_wants(stage: Stage) -> None:
    """3.4-g: a host that follows asks what the operator wants at boot, though it wants nothing."""
    operator = {"policy": {"boot": ["session-lasting"]}}
    with staged(stage, routers=operator, network_policy="follow") as scene:
        eventually(scene.typed)
        [binding] = scene.bindings()
        assert binding.type is LASTING


# ---- 3.4-h: who may have what ------------------------------------------------------------------


def test_the_host_says_who_may_have_what(stage: Stage) -> None:
    """3.4-h: an application gets the types that the host's first fitting rule gives it."""
    rules = [{"users": [str(SOMEBODY)], "types": ["session-lasting"]}, {"users": ["root"]}]
    with staged(stage, rule=rules) as scene:
        kinds = [kind.slug for kind in ServiceType]
        with asking(scene.host, *kinds, uid=ROOT) as answers:
            assert all(isinstance(answer, IPv6Address) for answer in answers)
        with asking(scene.host, *kinds, uid=SOMEBODY) as [fixed, lasting, *others]:
            assert isinstance(lasting, IPv6Address)
            assert {fixed, *others} == {"HOST_NOT_AUTHORISED"}
        with asking(scene.host, *kinds, uid=SOMEBODY + 1) as [fixed, lasting, ordinary, graceful]:
            assert ordinary in scene.ordinary()
            assert {fixed, lasting, graceful} == {"HOST_NOT_AUTHORISED"}


def test_the_network_says_what_may_be_had(stage: Stage) -> None:
    """3.4-h: a type that the operator does not permit is refused, as his refusal, unasked."""
    operator = {"policy": {"permitted": ["session-lasting"]}}
    with staged(stage, routers=operator) as scene:
        assert scene.setsc(LASTING) in scene.typed()
        tap = scene.tap()
        for kind in (FIXED, GRACEFUL):
            with pytest.raises(moorage.RequiredIPFailed) as caught:
                scene.setsc(kind)
            assert caught.value.reason is moorage.Reason.NOT_AUTHORISED
        assert tap.messages(MessageType.SOLICIT) == []
        assert scene.setsc(ServiceType.NON_PERSISTENT) in scene.ordinary()


# ---- 3.4-i: who says nothing -------------------------------------------------------------------


SOURCE = """
import socket, sys
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
    sock.connect((sys.argv[1], 9))
    print(sock.getsockname()[0])
"""


def chosen_within(scene: Scene, group: Path) -> IPv6Address:
    """The source of an application in a control group that knows nothing."""
    enter = 'echo 0 >"$1/cgroup.procs" && exec "$2" -c "$3" "$4"'
    destination = str(scene.destination)
    script = ["sh", "-c", enter, "sh", str(group), sys.executable, SOURCE, destination]
    return IPv6Address(scene.host.run(script).stdout.strip())


def chosen(scene: Scene, kind: socket.SocketKind = socket.SOCK_DGRAM) -> IPv6Address:
    """The source that the kernel chooses for a socket of an application that knows nothing."""
    with scene.new_socket(kind) as sock:
        sock.connect((str(scene.destination), 9))
        return IPv6Address(sock.getsockname()[0])


@pytest.mark.parametrize("kind", DELEGATED)
def test_everybody_gets_an_address_of_the_default_type(stage: Stage, kind: ServiceType) -> None:
    """3.4-i: sockets of legacy applications, and those that name no type, have the default type."""
    with staged(stage, default_type=kind.slug) as scene:
        eventually(scene.typed)
        [address] = scene.typed()
        [binding] = scene.bindings()
        assert binding.type is kind
        assert not scene.addresses()[address].deprecated
        eventually(lambda: chosen(scene) == address)
        with scene.connect_plainly() as connection, scene.new_socket() as sock:
            assert connection.source == address
            assert connection.works()
            assert moorage.setsc(sock) == address
            if kind is not GRACEFUL:
                scene.move()
                assert connection.works()
                eventually(lambda: chosen(scene) == address)


def test_the_ordinary_address_is_there_for_who_asks_for_it(stage: Stage) -> None:
    """3.4-i: with another default type, Non-persistent still is the ordinary address."""
    with staged(stage, default_type="session-lasting") as scene:
        eventually(scene.typed)
        with scene.connect(ServiceType.NON_PERSISTENT) as connection:
            assert connection.source in scene.ordinary()
            assert connection.works()


def test_the_network_says_the_default_type(stage: Stage) -> None:
    """3.4-i: the operator's default type is everybody's, if the host follows him."""
    operator = {"policy": {"default": "graceful-replacement"}}
    with staged(stage, routers=operator, network_policy="follow") as scene:
        eventually(scene.typed)
        [address] = scene.typed()
        eventually(lambda: chosen(scene) == address)
        with scene.new_socket() as sock:
            assert moorage.setsc(sock) == address
        assert [binding.type for binding in scene.bindings()] == [GRACEFUL]


def test_an_application_has_a_default_type_of_its_own(stage: Stage) -> None:
    """3.4-i: a rule gives an application that names no type another one than the others."""
    rules = [{"users": [str(SOMEBODY)], "default": "graceful-replacement"}, {}]
    with staged(stage, rule=rules, default_type="session-lasting") as scene:
        with asking(scene.host, "default", uid=SOMEBODY) as [graceful]:
            assert isinstance(graceful, IPv6Address)
            assert scene.binding(graceful).type is GRACEFUL
        lasting = got(scene.host, "default", uid=ROOT)
        assert isinstance(lasting, IPv6Address)
        assert scene.binding(lasting).type is LASTING


def test_a_legacy_application_has_the_default_of_its_control_group(stage: Stage) -> None:
    """3.4-i: a rule gives a type to programs of a unit that know nothing of types."""
    name = f"legacy-{os.getpid()}.service"
    rule = f'{{ units = ["{name}"], default = "graceful-replacement" }}'
    with staged(stage) as scene, control_group(name) as group:
        if group is None:
            pytest.skip("only root of the whole machine makes control groups")
        reloading = Reloading(scene)
        enter = ["sh", "-c", f'echo 0 >"{group}/cgroup.procs" && exec cat']
        with scene.host.popen(enter, stdin=subprocess.PIPE):
            assert chosen_within(scene, group) in scene.ordinary()
            reloading.with_lines(f"rule = [{rule}, {{}}]")
            eventually(lambda: chosen_within(scene, group) in scene.typed())
            assert [binding.type for binding in scene.bindings()] == [GRACEFUL]
            assert chosen(scene) in scene.ordinary()
            reloading.with_lines("rule = [{}]")
            assert chosen_within(scene, group) in scene.ordinary()
            eventually(lambda: not scene.bindings())


@pytest.mark.parametrize("kind", [LASTING, GRACEFUL])
def test_without_a_default_the_network_chooses(stage: Stage, kind: ServiceType) -> None:
    """5.2-d: for an application that leaves the type open, none is asked for."""
    with staged(stage, routers={"default_type": kind.slug}) as scene, ExitStack() as sockets:
        first, second = (sockets.enter_context(scene.new_socket()) for _ in range(2))
        tap = scene.tap()
        address = moorage.setsc(first)
        assert scene.binding(address).type is kind
        [solicit] = tap.messages(MessageType.SOLICIT)
        found = OnDemand.of(solicit)
        assert found is not None
        assert [found.service_type(ia.iaid) for ia in solicit.every(IaPd)] == [None]
        assert moorage.setsc(second) == address
        assert tap.messages() == []


def test_what_the_network_chooses_must_be_permitted_here(stage: Stage) -> None:
    """5.2-d: an application does not come to a type by not asking for it."""
    with staged(stage, routers={"default_type": "fixed"}, keep=[]) as scene:
        assert got(scene.host, "default", uid=SOMEBODY) == "HOST_NOT_AUTHORISED"
        assert isinstance(got(scene.host, "default", uid=ROOT), IPv6Address)


# ---- another policy file -----------------------------------------------------------------------


class Reloading:
    """A host daemon whose configuration file changes."""

    def __init__(self, scene: Scene) -> None:
        self._file = scene.host.folder / "host.toml"
        self._text = self._file.read_text()
        self._scene = scene
        self._socket = scene.host.folder / "notify"

    def with_lines(self, *lines: str) -> list[str]:
        """Put these lines into the file in the place of all with their keys; what is notified."""
        keys = {line.partition(" = ")[0] for line in lines}
        kept = [x for x in self._text.splitlines() if x.partition(" = ")[0].strip('"') not in keys]
        self._file.write_text("\n".join([*kept, *lines]))
        self._socket.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.settimeout(PATIENCE)
            notified.bind(str(self._socket))
            pid = self._scene.lab.status().nodes["mn"].daemon
            self._scene.host.run(["sh", "-c", f"kill -HUP {pid}"])
            said: list[str] = []
            while "READY=1" not in said:
                said += notified.recv(4096).decode().splitlines()
        self._socket.unlink()
        return said


def test_another_policy_file_is_taken_over_whole_or_not_at_all(stage: Stage) -> None:
    """3.4-h: on SIGHUP a changed policy file holds, or with a mistake in it changes nothing."""
    with staged(stage) as scene:
        reloading = Reloading(scene)
        with scene.connect(FIXED) as connection:
            said = reloading.with_lines('rule = [{ types = ["session-lasting"] }]')
            assert [line.partition("=")[0] for line in said] == [
                "RELOADING",
                "MONOTONIC_USEC",
                "READY",
            ]
            for refused in ("fixed", "graceful-replacement"):
                assert got(scene.host, refused, uid=ROOT) == "HOST_NOT_AUTHORISED"
            reloading.with_lines("rule = []", 'default_type = "best"')
            assert isinstance(got(scene.host, "session-lasting", uid=ROOT), IPv6Address)
            assert got(scene.host, "fixed", uid=ROOT) == "HOST_NOT_AUTHORISED"
            reloading.with_lines('socket = "/run/moorage/other.sock"', 'default_type = "fixed"')
            assert chosen(scene) in scene.ordinary()
            assert connection.works()
        reloading.with_lines('default_type = "session-lasting"')
        eventually(lambda: chosen(scene) in scene.typed())
        reloading.with_lines('default_type = ""')
        eventually(lambda: chosen(scene) in scene.ordinary())
        eventually(lambda: [binding.type for binding in scene.bindings()] == [FIXED])
