"""Other people's DHCPv6 clients, as they are, at access routers of the service."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, Final

import pytest

from moorage.kernel import sysctl
from moorage.lab.programs import path_of
from moorage.store.model import BindingState
from moorage.wire.dhcp6 import MessageType
from tests.conformance.scene import PATIENCE, Connection, Scene, Tap, eventually, open_scene
from tests.interop.clients import Client, dhclient, dhcpcd, networkd

pytestmark = [pytest.mark.netns, pytest.mark.interop]

CLIENTS: Final[list[Client]] = [dhcpcd, dhclient, networkd]
QUICK: Final = {"probe_interval": 0.1, "hold": 3.0}
"""How soon a departure is noticed, or taken for granted."""
AT_ONCE: Final = {"keyless": "always", **QUICK}
"""Prefixes of clients without a key move with whoever asks."""
SHORT: Final = {"session-lasting": {"t1": 2, "t2": 1000}}
"""Lifetimes that let a client renew while one looks."""


class Plain:
    """A host that knows nothing of the service, and the program that is its DHCPv6 client."""

    def __init__(self, scene: Scene, stack: ExitStack) -> None:
        self.scene = scene
        self.tap: Tap = scene.tap()
        self._stack = stack

    def run(self, client: Client) -> None:
        """Run its program, which goes on with what it had before."""
        self._stack.close()
        self.process = self._stack.enter_context(client(self.scene.host))

    def give_back(self, client: Client) -> None:
        """Have the program release what it holds, and end."""
        if client is dhclient:
            self.run(partial(dhclient, options=["-P", "-r"]))
        else:
            self.process.send_signal(signal.SIGALRM)
        self.process.wait(PATIENCE)

    def delegated(self) -> set[IPv6Address]:
        """The host's addresses from delegated prefixes."""
        pools = [router.pool for router in self.scene.topology.routers.values()]
        return {found for found in self.scene.addresses() if any(found in pool for pool in pools)}

    def connect(self) -> Connection:
        """A connection from an address of the prefix, once there is one."""
        [source] = eventually(self.delegated)
        return self.connect_from(source)

    def connect_from(self, source: IPv6Address) -> Connection:
        """A connection from an address, once there is a router."""
        eventually(lambda: self.scene.host.run(["ip", "-6", "route", "show", "default"]).stdout)
        return self.scene.connect_plainly(lambda near: near.bind((str(source), 0)))

    def move(self, client: Client) -> None:
        """Go to the other router; dhclient does not see that, so its user begins anew."""
        self.scene.lab.move("mn", self.scene.elsewhere)
        if client is dhclient:
            for state in ("down", "up"):
                self.scene.host.run(["ip", "link", "set", "wl0", state])
            eventually(self.scene.ordinary)
            self.run(client)

    def is_served_again(self, connection: Connection) -> bool:
        """Whether the prefix of a connection is where the host is, and the host has it."""
        serving = self.scene.binding(connection.source).serving
        return serving == self.scene.here and self.delegated() == {connection.source}

    def passes(self, *kinds: MessageType) -> None:
        """Wait until messages of these types have passed, in this order."""
        left = list(kinds)

        def passed() -> bool:
            for message in self.tap.messages():
                if left and message.type is left[0]:
                    del left[0]
            return not left

        eventually(passed)


@contextmanager
def plain(folder: Path, **settings: Any) -> Iterator[Plain]:
    """A host on the first router's link; its other interface gets the prefix, and no router."""
    with (
        open_scene(folder, routers=settings, daemons=False) as scene,
        ExitStack() as stack,
    ):
        scene.host.call(sysctl.write, "net/ipv6/conf/wl1/accept_ra", "0")
        scene.lab.attach("mn", "wl1", "ar2")
        for router in scene.topology.routers:
            scene.lab.daemon(router).start()
        eventually(scene.ordinary)
        yield Plain(scene, stack)


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.param
    return found


def test_it_gets_a_prefix_and_renews_it(mark: str, tmp_path: Path, client: Client) -> None:
    with plain(tmp_path, lifetimes=SHORT) as host:
        host.run(client)
        with host.connect() as connection:
            host.passes(MessageType.RENEW, MessageType.REPLY)
            assert connection.works()
            binding = host.scene.binding(connection.source)
            assert (binding.serving, binding.key) == ("ar1", None)
            assert binding.seq > 1


# This version of systemd-networkd keeps what it has when it ends, and nothing tells it to release.
@pytest.mark.parametrize("client", [dhcpcd, dhclient])
def test_it_gives_its_prefix_back(mark: str, tmp_path: Path, client: Client) -> None:
    with plain(tmp_path) as host:
        host.run(client)
        [address] = eventually(host.delegated)
        host.give_back(client)
        host.passes(MessageType.RELEASE, MessageType.REPLY)
        assert host.scene.binding(address).state is BindingState.RELEASED
        assert not host.delegated()


@pytest.mark.parametrize("policy", ["after-departure", "always"])
def test_its_prefix_and_its_connections_survive_a_move(
    mark: str, tmp_path: Path, client: Client, policy: str
) -> None:
    """There and back: over a detour, and over none."""
    with plain(tmp_path, keyless=policy, **QUICK) as host:
        host.run(client)
        with host.connect() as connection:
            for _ in range(2):
                host.move(client)
                eventually(partial(host.is_served_again, connection))
                assert connection.works()


def test_a_bigger_prefix_moves_as_well(mark: str, tmp_path: Path) -> None:
    """A /56, of which the client has an address in another part than the first."""
    bigger = partial(dhcpcd, delegation="ia_pd 1/::/56 wl1/7/64")
    with plain(tmp_path, prefix_lengths=[64, 56], **AT_ONCE) as host:
        host.run(bigger)
        with host.connect() as connection:
            prefix = host.scene.binding(connection.source).prefix
            assert prefix.prefixlen == 56
            assert connection.source in IPv6Network((prefix[7 << 64], 64))
            for _ in range(2):
                host.move(bigger)
                eventually(partial(host.is_served_again, connection))
                assert connection.works()


def test_its_prefix_waits_where_it_was_if_none_ever_moves(mark: str, tmp_path: Path) -> None:
    with plain(tmp_path, keyless="never", **QUICK) as host:
        host.run(dhcpcd)
        with host.connect() as connection:
            host.move(dhcpcd)
            host.passes(MessageType.REBIND, MessageType.REPLY)
            eventually(lambda: not host.delegated())
            eventually(lambda: host.scene.binding(connection.source).serving is None)
            host.move(dhcpcd)
            eventually(lambda: host.delegated() == {connection.source})
            assert connection.works()


def test_it_comes_when_it_is_called(mark: str, tmp_path: Path) -> None:
    """Reconfigure: of the clients here dhcpcd takes it, if it is told to ask for that."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(32)))
    with plain(tmp_path, dhcp={"secret": str(secret)}) as host:
        host.run(partial(dhcpcd, options=["option dhcp6_reconfigure_accept, dhcp6_auth"]))
        [address] = eventually(host.delegated)
        router = host.scene.lab.node("ar1")
        settings = router.folder / "router.toml"
        settings.write_text(settings.read_text() + "lifetimes = { session-lasting = { t1 = 9 } }\n")
        daemon = host.scene.lab.status().nodes["ar1"].daemon
        router.run(["sh", "-c", f"kill -HUP {daemon}"])
        host.passes(MessageType.RECONFIGURE, MessageType.RENEW, MessageType.REPLY)
        assert host.scene.binding(address).seq > 1


def test_one_address_and_no_prefix(mark: str, tmp_path: Path) -> None:
    with plain(tmp_path) as host:
        before = set(host.scene.addresses())
        host.run(partial(dhclient, options=["-N"]))
        [address] = eventually(lambda: set(host.scene.addresses()) - before)
        assert address in host.scene.slaac_prefix("ar1")
        with host.scene.connect_plainly(lambda near: near.bind((str(address), 0))) as connection:
            assert connection.works()
        [binding] = host.scene.bindings()
        assert binding.is_address


def test_a_host_without_dhcpv6_has_an_ordinary_address(mark: str, tmp_path: Path) -> None:
    with plain(tmp_path) as host, host.scene.connect_plainly() as connection:
        assert connection.source in host.scene.slaac_prefix("ar1")
        assert connection.works()
        assert not host.tap.messages()


STATISTICS: Final = re.compile(
    r"\*\*\*Statistics for: (\S+)\*\*\*\s+sent packets: (\d+)\s+received packets: (\d+)"
)


def test_many_at_once(mark: str, tmp_path: Path) -> None:
    """Hosts of perfdhcp get prefixes, renew and release them: nothing is lost, none is shared."""
    with plain(tmp_path) as host:
        # With an address of a router advertisement perfdhcp would send from that one.
        host.scene.host.call(sysctl.write, "net/ipv6/conf/wl0/disable_ipv6", "1")
        host.scene.host.call(sysctl.write, "net/ipv6/conf/wl0/accept_ra", "0")
        host.scene.host.call(sysctl.write, "net/ipv6/conf/wl0/disable_ipv6", "0")
        eventually(lambda: "fe80" in host.scene.host.run(["ip", "addr", "show", "wl0"]).stdout)
        argv = [path_of("perfdhcp"), "-6", "-e", "prefix-only", "-l", "wl0", "-u"]
        argv += ["-r", "60", "-f", "15", "-F", "15", "-R", "1000000", "-p", "2", "-W", "1000000"]
        said = host.scene.host.run(argv, check=False).stdout
        found = {name: (int(sent), int(got)) for name, sent, got in STATISTICS.findall(said)}
        assert set(found) == {"SOLICIT-ADVERTISE", "REQUEST-REPLY", "RENEW-REPLY", "RELEASE-REPLY"}
        for sent, got in found.values():
            assert sent == got > 0
        given, back = found["REQUEST-REPLY"][0], found["RELEASE-REPLY"][0]
        assert len(host.scene.bindings()) == given - back
