"""What happens on a link while the host stays: routers that go, prefixes that change, clashes."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyroute2 import IPRoute

import moorage
from moorage.kernel import sysctl
from moorage.kernel.addresses import Address, AddressFlags, NetlinkAddressTable
from moorage.lab import topology
from moorage.lab.lab import Node
from moorage.lab.network import ACCESS
from moorage.lab.topology import Topology
from moorage.service import ServiceType
from tests.conformance.conftest import LINGER
from tests.conformance.scene import Scene, eventually, open_scene
from tests.lab.flows import Flow

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("mark")]

HOST = {"linger": LINGER, "at_boot": [], "dwell": 0.0}
RENUMBERED = IPv6Network("2001:db8:1fff::/64")


@pytest.fixture
def scene(mark: str, tmp_path: Path) -> Iterator[Scene]:
    with open_scene(tmp_path, host=HOST) as scene:
        eventually(scene.settled)
        yield scene


def one_cell() -> Topology:
    """Two routers on one link."""
    plain = topology.load("two-routers")
    return msgspec.structs.replace(
        plain,
        routers={
            name: msgspec.structs.replace(
                router, access=msgspec.structs.replace(router.access, cell="both")
            )
            for name, router in plain.routers.items()
        },
    )


def set_link(node: Node, interface: str, **changes: Any) -> None:
    def changed() -> None:
        with IPRoute() as route:
            [index] = route.link_lookup(ifname=interface)
            route.link("set", index=index, **changes)

    node.call(changed)


def notice_silence_soon(node: Node, interface: str) -> None:
    """Let neighbours count as unreachable (RFC 4861 section 7.3) after tenths of a second."""
    for key, value in (
        ("base_reachable_time_ms", "100"),
        ("delay_first_probe_time", "0"),
        ("retrans_time_ms", "100"),
    ):
        node.call(sysctl.write, f"net/ipv6/neigh/{interface}/{key}", value)


# ---- routers -----------------------------------------------------------------------------------


def test_another_router_of_the_link_serves_when_one_falls_silent(mark: str, tmp_path: Path) -> None:
    with open_scene(tmp_path, plain=one_cell(), host=HOST) as scene:
        eventually(scene.ordinary)
        notice_silence_soon(scene.host, "wl0")
        with Flow(scene.connect(ServiceType.SESSION_LASTING)) as flow:
            [binding] = scene.bindings()
            assert binding.serving is not None
            [other] = set(scene.topology.routers) - {binding.serving}
            set_link(scene.lab.node(binding.serving), ACCESS, state="down")
            eventually(lambda: scene.bindings()[0].serving == other)
            assert flow.goes_on()


def test_the_other_interface_serves_when_a_router_falls_silent(scene: Scene) -> None:
    scene.lab.daemon("ar2").kill()
    notice_silence_soon(scene.host, "wl0")
    with Flow(scene.connect(ServiceType.SESSION_LASTING)) as flow:
        scene.lab.attach("mn", "wl1", "ar2")
        scene.lab.daemon("ar2").start()
        eventually(lambda: scene.bindings()[0].serving == "ar2")
        assert flow.goes_on()
        notice_silence_soon(scene.host, "wl1")
        set_link(scene.lab.node("ar2"), ACCESS, state="down")
        eventually(lambda: scene.bindings()[0].serving == "ar1")
        assert flow.goes_on()


def test_a_router_that_starts_anew_with_another_prefix(scene: Scene) -> None:
    """RFC 9096: the old one is retired although nobody ever says that it is gone."""
    access = {
        "interface": ACCESS,
        "slaac_prefix": str(RENUMBERED),
        "mtu": scene.topology.routers["ar1"].access.mtu,
    }
    with scene.connect(ServiceType.SESSION_LASTING) as connection, scene.new_socket() as sock:
        old = moorage.setsc(sock, ServiceType.NON_PERSISTENT)
        sock.bind((str(old), 0))
        scene.lab.daemon("ar1").kill()
        scene.lab.daemon("ar1").start(access=[access])
        eventually(lambda: old not in scene.ordinary())
        assert scene.setsc(ServiceType.NON_PERSISTENT) in RENUMBERED
        assert connection.works()


# ---- interfaces --------------------------------------------------------------------------------


def test_an_interface_that_is_gone_for_a_while(scene: Scene) -> None:
    with Flow(scene.connect(ServiceType.SESSION_LASTING)) as flow:
        for name, state in (("away", "down"), ("wl0", "up")):
            set_link(scene.host, "wl0" if name == "away" else "away", state="down")
            set_link(scene.host, "wl0" if name == "away" else "away", ifname=name)
            set_link(scene.host, name, state=state)
        assert flow.goes_on()
    eventually(lambda: scene.bindings() == [])


# ---- addresses ---------------------------------------------------------------------------------


def link_locals(node: Node, interface: str) -> dict[IPv6Address, Address]:
    def listed() -> dict[IPv6Address, Address]:
        index = socket.if_nametoindex(interface)
        with closing(NetlinkAddressTable()) as table:
            return {
                each.address: each
                for each in table.addresses()
                if each.interface == index and each.address.is_link_local
            }

    return node.call(listed)


def give(node: Node, interface: str, address: IPv6Address) -> None:
    def given() -> None:
        index = socket.if_nametoindex(interface)
        with closing(NetlinkAddressTable()) as table:
            table.add(Address(address, index, 64, flags=AddressFlags.NO_DAD))

    node.call(given)


def test_a_link_local_address_that_somebody_else_has(mark: str, tmp_path: Path) -> None:
    """RFC 4862 section 5.4: it is not used; another one, of the daemon's own, is."""
    with open_scene(tmp_path, plain=one_cell(), host=HOST, daemons=False) as scene:
        for name in ("ar1", "mn"):
            scene.lab.daemon(name).start()
        eventually(scene.ordinary)
        [taken] = link_locals(scene.host, "wl0")
        give(scene.lab.node("ar2"), ACCESS, taken)
        with Flow(scene.connect(ServiceType.SESSION_LASTING)) as flow:
            assert scene.bindings()[0].next_hop == taken
            for state in ("down", "up"):  # the kernel checks an address that is new
                set_link(scene.host, "wl0", state=state)
            eventually(lambda: scene.bindings()[0].next_hop != taken)
            assert flow.goes_on()
        assert not link_locals(scene.host, "wl0")[taken].usable


# ---- operators ---------------------------------------------------------------------------------


def two_operators() -> Topology:
    plain = topology.load("two-routers")
    return msgspec.structs.replace(
        plain,
        routers={
            name: msgspec.structs.replace(
                router,
                settings={
                    "domain": hashlib.sha256(name.encode()).hexdigest()[:16],
                    "store": "memory:",
                },
            )
            for name, router in plain.routers.items()
        },
    )


def heard(scene: Scene, router: str) -> bool:
    """Whether the host has an ordinary address of a router's link."""
    return any(address in scene.slaac_prefix(router) for address in scene.ordinary())


def test_two_operators_know_a_host_by_different_names(mark: str, tmp_path: Path) -> None:
    with open_scene(tmp_path, plain=two_operators(), host=HOST) as scene:
        eventually(scene.ordinary)
        tap = scene.tap()
        with scene.connect(ServiceType.SESSION_LASTING) as connection:
            here = {message.options[0] for message in tap.messages()}
            scene.lab.move("mn", "ar2")
            eventually(lambda: heard(scene, "ar2"))
            with scene.connect(ServiceType.SESSION_LASTING) as other:
                assert other.source in scene.pool("ar2")
                assert other.works()
            assert {connection.source} <= scene.typed()
            scene.lab.move("mn", "ar1")
            assert connection.works()
        there = {message.options[0] for message in tap.messages()} - here
        assert len(here) == 1
        assert len(there) >= 1
