"""Other people's programs see what we do to the kernel, and we see what they do."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest
from pyroute2 import IPRoute

from moorage.kernel.addresses import Address, AddressFlags
from moorage.kernel.reconcile import Reconciler
from moorage.kernel.routes import Add, Route, RouteKind, Rule, Seg6Encap, Seg6EndDT6
from moorage.numbers import ROUTE_PROTOCOL

if TYPE_CHECKING:
    from tests.kernel.conftest import Ip, KernelWorld

pytestmark = pytest.mark.netns

OWNER = str(ROUTE_PROTOCOL)
PREFIX = IPv6Network("2001:db8:1::/64")
DEFAULT = IPv6Network("::/0")
NEXT = IPv6Address("fe80::1")
SEGMENT = IPv6Address("2001:db8:5:2::d")

ROUTES = (
    ("2001:db8:1::/64 via fe80::1 dev access table 10901", {"gateway": NEXT}),
    ("2001:db8:1::/64 dev access table 10901 metric 77", {"metric": 77}),
    (
        "2001:db8:1::/64 via fe80::1 dev access table 10901 mtu 1436 advmss 1376",
        {"gateway": NEXT, "mtu": 1436, "advmss": 1376},
    ),
    (
        "2001:db8:1::/64 from 2001:db8:1::/64 dev access table 10901",
        {"source": PREFIX},
    ),
    (
        "2001:db8:1::/64 from :: via fe80::1 dev access src 2001:db8::7 table 10901",
        {
            "source": IPv6Network("::/128"),
            "gateway": NEXT,
            "preferred_source": IPv6Address("2001:db8::7"),
        },
    ),
    (
        "2001:db8:1::/64 encap seg6 mode encap.red segs 2001:db8:5:2::d dev access table 10901",
        {"encap": Seg6Encap(SEGMENT)},
    ),
    (
        "2001:db8:1::/64 encap seg6local action End.DT6 table 10902 dev access table 10901",
        {"encap": Seg6EndDT6(10_902)},
    ),
    (
        "blackhole 2001:db8:1::/64 table 10901",
        {"kind": RouteKind.BLACKHOLE, "interface": 0},
    ),
    (
        "unreachable 2001:db8:1::/64 table 10901 metric 3",
        {"kind": RouteKind.UNREACHABLE, "interface": 0, "metric": 3},
    ),
)


@pytest.mark.parametrize(("command", "fields"), ROUTES, ids=[command for command, _ in ROUTES])
def test_ip_and_we_make_the_same_route(
    kernel: KernelWorld, ip: Ip, command: str, fields: dict[str, object]
) -> None:
    table = kernel.route_table()
    link = kernel.add_link("access")
    kernel.add_address("2001:db8::7", 128)
    route = Route(PREFIX, 10_901, **{"interface": link, **fields})  # type: ignore[arg-type]
    shown = ("-6", "route", "show", "table", "all", "proto", OWNER)

    ip("-6", "route", "add", *command.split(), "proto", OWNER)
    assert table.routes(ROUTE_PROTOCOL) == {route}
    theirs = ip(*shown)

    ip("-6", "route", "flush", "table", "10901")
    assert table.apply([Add(route)]) == [None]
    assert ip(*shown) == theirs != ""


def test_pyroute2_sees_our_routes(kernel: KernelWorld) -> None:
    table = kernel.route_table()
    link = kernel.add_link("access")
    route = Route(
        DEFAULT, 11_000, source=PREFIX, interface=link, metric=9, encap=Seg6Encap(SEGMENT)
    )
    assert table.apply([Add(route)]) == [None]
    with IPRoute() as oracle:
        [seen] = list(oracle.route("dump", family=socket.AF_INET6, table=11_000))
    assert (seen["proto"], seen["dst_len"], seen["src_len"]) == (ROUTE_PROTOCOL, 0, 64)
    assert seen.get("RTA_SRC") == str(PREFIX.network_address)
    assert (seen.get("RTA_OIF"), seen.get("RTA_PRIORITY")) == (link, 9)
    # Not the mode: pyroute2 0.9 takes encap.red for encap.
    assert seen.get("RTA_ENCAP").get("SEG6_IPTUNNEL_SRH")["segs"] == [str(SEGMENT)]


def test_next_hops_that_others_appended_go(kernel: KernelWorld, ip: Ip) -> None:
    table = kernel.route_table()
    link = kernel.add_link("access")
    reconciler = Reconciler(table)
    desired = {
        Route(PREFIX, 300, gateway=NEXT, interface=link),
        Route(PREFIX, 301, interface=link),
        Route(PREFIX, 302, gateway=NEXT, interface=link),
    }
    assert reconciler.apply(desired) == []
    kernel.add_link("core")
    append = ("-6", "route", "append", str(PREFIX), "proto", OWNER)
    ip(*append, "table", "300", "via", "fe80::2", "dev", "access")
    ip(*append, "table", "300", "via", "fe80::3", "dev", "core")
    ip(*append, "table", "301", "dev", "core")
    ip(*append, "table", "302", "dev", "core")
    assert len(table.routes(ROUTE_PROTOCOL)) == 7
    assert reconciler.resync(desired) == []
    assert table.routes(ROUTE_PROTOCOL) == desired


def test_learnt_path_mtu_is_no_route(kernel: KernelWorld, ip: Ip) -> None:
    table = kernel.route_table()
    link = kernel.add_link("access")
    route = Route(PREFIX, 254, interface=link)
    assert table.apply([Add(route)]) == [None]
    ip("-6", "route", "get", "2001:db8:1::7")  # makes a clone
    assert table.routes(ROUTE_PROTOCOL) == {route}


def test_ip_sees_our_rules(kernel: KernelWorld, ip: Ip) -> None:
    table = kernel.route_table()
    table.add_rule(Rule(11_000, 11_001, iif="access", source=PREFIX))
    [seen] = [rule for rule in ip.json("-6", "rule", "list") if rule["priority"] == 11_000]
    assert (seen["src"], seen["srclen"]) == ("2001:db8:1::", 64)
    assert (seen["iif"], seen["table"], seen["protocol"]) == ("access", "11001", OWNER)


def test_we_see_the_rules_of_ip(kernel: KernelWorld, ip: Ip) -> None:
    selector = ("from", "2001:db8:1::/64", "iif", "access")
    ip("-6", "rule", "add", "pref", "5", *selector, "table", "300", "protocol", OWNER)
    ip("-6", "rule", "add", "pref", "6", "prohibit", "protocol", OWNER)
    assert kernel.route_table().rules(ROUTE_PROTOCOL) == {Rule(5, 300, iif="access", source=PREFIX)}


def test_ip_sees_our_addresses(kernel: KernelWorld, ip: Ip) -> None:
    table = kernel.address_table()
    table.add(Address(IPv6Address("2001:db8:1::5"), 1, 128, 0, 3600, ROUTE_PROTOCOL))
    [link] = ip.json("-6", "address", "show", "dev", "lo")
    [seen] = [shown for shown in link["addr_info"] if shown.get("scope") == "global"]
    assert (seen["local"], seen["prefixlen"]) == ("2001:db8:1::5", 128)
    assert seen["deprecated"]
    assert seen["preferred_life_time"] == 0
    assert 3590 < seen["valid_life_time"] <= 3600


def test_we_see_the_addresses_of_ip(kernel: KernelWorld, ip: Ip) -> None:
    link = kernel.add_link("access")
    ip("address", "add", "192.0.2.1/24", "dev", "access")
    ip("address", "add", "2001:db8::1", "peer", "2001:db8::2/64", "dev", "access", "nodad")
    [seen] = [a for a in kernel.address_table().addresses() if a.interface == link]
    flags = AddressFlags.PERMANENT | AddressFlags.NO_DAD
    assert seen == Address(IPv6Address("2001:db8::1"), link, 64, None, None, 0, flags)


def test_ip_sees_the_tunnel_source(kernel: KernelWorld, ip: Ip) -> None:
    kernel.set_tunnel_source(IPv6Address("2001:db8:c:1::1"))
    assert ip("sr", "tunsrc", "show").split() == ["tunsrc", "addr", "2001:db8:c:1::1"]
    ip("sr", "tunsrc", "set", "2001:db8:c:1::2")
    assert kernel.tunnel_source() == IPv6Address("2001:db8:c:1::2")


def test_ip_sees_the_same_links(kernel: KernelWorld, ip: Ip) -> None:
    kernel.add_link("access")
    kernel.set_down(kernel.add_link("core"))
    kernel.link_table()
    seen = {
        (link["ifindex"], link["ifname"], link["address"], link["mtu"], "UP" in link["flags"])
        for link in ip.json("link", "show")
    }
    assert {
        (link.index, link.name, link.mac.hex(":"), link.mtu, link.up)
        for link in kernel.link_table().links()
    } == seen


def test_packets_leave_encapsulated(kernel: KernelWorld, ip: Ip) -> None:
    """RFC 8986 section 5.2: one segment and no routing header is plain IPv6-in-IPv6."""
    link = kernel.add_link("core")
    outer, inner = IPv6Address("2001:db8:c:1::1"), IPv6Address("2001:db8:c0::1")
    kernel.set_tunnel_source(outer)
    kernel.address_table().add(Address(inner, link, 128, flags=AddressFlags.NO_DAD))
    ip("-6", "neighbour", "add", "fe80::1", "lladdr", "02:00:00:00:00:01", "dev", "core")
    encapsulated = Route(PREFIX, 254, gateway=NEXT, interface=link, encap=Seg6Encap(SEGMENT))
    to_segment = Route(IPv6Network(SEGMENT), 254, gateway=NEXT, interface=link)
    assert kernel.route_table().apply([Add(encapsulated), Add(to_segment)]) == [None, None]
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86DD)) as wire,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender,
    ):
        wire.bind(("core-far", 0x86DD))
        wire.settimeout(10)
        sender.bind((str(inner), 0))
        sender.sendto(b"hello", ("2001:db8:1::7", 9))
        packet = wire.recv(2000)
        while not packet.endswith(b"hello"):
            packet = wire.recv(2000)
    assert len(packet) == 40 + 40 + 8 + 5
    assert packet[6] == socket.IPPROTO_IPV6
    assert (packet[8:24], packet[24:40]) == (outer.packed, SEGMENT.packed)
    assert packet[40 + 8 : 40 + 24] == inner.packed
