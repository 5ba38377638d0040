"""The packet filter of an access router: real packets from the access link and from the core.

The test runs in the router's namespace. Two more hold a host behind ``access``, and behind ``core``
all that there is: other routers, a stranger, a correspondent.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt

from moorage.kernel import sysctl
from moorage.kernel.monitor import Group, LinkChanged
from moorage.kernel.netlink import NetlinkError
from moorage.kernel.nftables import (
    NO_MEMBERS,
    Attachment,
    DropReason,
    FilterState,
    Members,
    Served,
    SidFilter,
)
from moorage.lab.enter import setns
from moorage.lab.namespaces import NEW_NETWORK, current, inside, unshare

if TYPE_CHECKING:
    from tests.kernel.conftest import Ip, KernelWorld

pytestmark = pytest.mark.netns

PORT = 5000

BLOCK = IPv6Network("2001:db8:5::/48")
UP_SID = "2001:db8:5:1::e"
DOWN_SID = "2001:db8:5:1::d"
DOWN_TABLE = "10901"
ROUTER = "2001:db8:c::1"
OTHER_ROUTER = "2001:db8:c::2"
THIRD_ROUTER = "2001:db8:c::3"
STRANGER = "2001:db8:c::66"
CORRESPONDENT = "2001:db8:c0::2"

ACCESS_MAC = "02:00:00:00:00:01"
HOST_MAC = "02:00:00:00:00:02"
CORE_MAC = "02:00:00:00:00:03"
FAR_MAC = "02:00:00:00:00:04"
HOST_LINK_LOCAL = "fe80::2"
HOST_ORDINARY = "2001:db8:1001::2"

POOL = IPv6Network("2001:db8:a100::/40")
AT_HOME = IPv6Network("2001:db8:a100:1::/64")
"""Anchored and served here."""
AWAY = IPv6Network("2001:db8:a100:2::/64")
"""Anchored here, served by the other router."""
NOBODYS = IPv6Network("2001:db8:a100:3::/64")

MEMBERS = Members(
    served=((IPv6Address(OTHER_ROUTER), AWAY),),
    attached=(Attachment("access", bytes.fromhex(HOST_MAC.replace(":", "")), AT_HOME),),
)


def of_the_link(*networks: str, interface: str = "access") -> frozenset[tuple[str, IPv6Network]]:
    """Sources that are right there; among them those that a kernel uses by itself."""
    always = {("access", IPv6Network("fe80::/10")), ("access", IPv6Network("::/128"))}
    return frozenset(always | {(interface, IPv6Network(network)) for network in networks})


STATE = FilterState(
    access=frozenset({"access"}),
    core="core",
    block=BLOCK,
    up_sid=IPv6Address(UP_SID),
    routers=frozenset(map(IPv6Address, (ROUTER, OTHER_ROUTER, THIRD_ROUTER))),
    lengths=frozenset({64}),
    pools=frozenset({POOL}),
    local=of_the_link("2001:db8:1001::/64"),
    members=MEMBERS,
)


def in_prefix(prefix: IPv6Network) -> str:
    """An address with bits below the prefix, which the filter has to mask off."""
    return str(prefix[0xABCD_0000_0000_0001])


def packet(source: str, destination: str, text: bytes) -> bytes:
    return bytes(IPv6(src=source, dst=destination) / UDP(sport=PORT, dport=PORT) / text)


def encapsulated(outer_source: str, sid: str, inner: bytes) -> bytes:
    return bytes(IPv6(src=outer_source, dst=sid, nh=socket.IPPROTO_IPV6) / inner)


class Node:
    """A network namespace, in which the test can be for a while."""

    def __init__(self, namespace: int, home: int) -> None:
        self.namespace = namespace
        self._home = home

    def inside(self) -> AbstractContextManager[None]:
        return inside(self.namespace, self._home)

    def send(self, datagram: bytes) -> None:
        """Send a packet as it is, whatever its source."""
        with (
            self.inside(),
            socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as s,
        ):
            s.sendto(datagram, (str(IPv6(datagram).dst), 0))

    def receiver(self, address: str) -> socket.socket:
        with self.inside():
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.settimeout(10)
        sock.bind((address, PORT))
        return sock


@dataclass(frozen=True)
class Net:
    host: Node
    core: Node
    at_host: socket.socket
    at_correspondent: socket.socket


@pytest.fixture
def net(kernel: KernelWorld, ip: Ip) -> Iterator[Net]:
    with ExitStack() as stack:
        home = current("net")
        stack.callback(os.close, home)

        def node(near: str, near_mac: str, far: str, far_mac: str) -> Node:
            """A new namespace on the other end of a link."""
            unshare(NEW_NETWORK)
            try:
                namespace = current("net")
            finally:
                setns(home)
            stack.callback(os.close, namespace)
            made = Node(namespace, home)
            with made.inside():
                sysctl.write("net/ipv6/conf/default/addr_gen_mode", "1")
                ip("link", "set", "lo", "up")
            peer = (
                "peer",
                "name",
                far,
                "address",
                far_mac,
                "netns",
                f"/proc/{os.getpid()}/fd/{namespace}",
            )
            ip("link", "add", near, "address", near_mac, "type", "veth", *peer)
            monitor = kernel.monitor([Group.LINK])
            ip("link", "set", near, "up")
            with made.inside():
                ip("link", "set", far, "up")
            kernel.wait(
                monitor,
                lambda event: (
                    isinstance(event, LinkChanged)
                    and event.link.name == near
                    and event.link.carrier
                ),
            )
            return made

        host = node("access", ACCESS_MAC, "uplink", HOST_MAC)
        core = node("core", CORE_MAC, "far", FAR_MAC)

        def static(device: str, neighbours: dict[str, str], routes: list[str]) -> None:
            for address, mac in neighbours.items():
                ip("neigh", "add", address, "lladdr", mac, "dev", device, "nud", "permanent")
            for route in routes:
                ip("-6", "route", "add", *route.split(), "dev", device)

        sysctl.write("net/ipv6/conf/all/forwarding", "1")
        kernel.add_address("fe80::1", 64, "access")
        kernel.add_address(ROUTER, 64, "core")
        static("access", {HOST_LINK_LOCAL: HOST_MAC}, [f"{AT_HOME} via {HOST_LINK_LOCAL}"])
        static("access", {}, [f"{AT_HOME} via {HOST_LINK_LOCAL} table {DOWN_TABLE}"])
        static("core", {OTHER_ROUTER: FAR_MAC}, [f"{CORRESPONDENT} via {OTHER_ROUTER}"])
        for sid, table in ((UP_SID, "254"), (DOWN_SID, DOWN_TABLE)):
            static("core", {}, [f"{sid} encap seg6local action End.DT6 table {table}"])
        with host.inside():
            kernel.add_address(HOST_LINK_LOCAL, 64, "uplink")
            kernel.add_address(in_prefix(AT_HOME), 128)
            static("uplink", {"fe80::1": ACCESS_MAC}, ["default via fe80::1"])
        with core.inside():
            kernel.add_address(OTHER_ROUTER, 64, "far")
            kernel.add_address(CORRESPONDENT, 128)
            static("far", {ROUTER: CORE_MAC}, [f"default via {ROUTER}"])
        yield Net(
            host,
            core,
            stack.enter_context(host.receiver(in_prefix(AT_HOME))),
            stack.enter_context(core.receiver(CORRESPONDENT)),
        )


@pytest.fixture
def sid_filter(net: Net) -> Iterator[SidFilter]:
    with closing(SidFilter()) as opened:
        yield opened


def away(router: str, text: bytes) -> bytes:
    """From a host with a prefix anchored here, by way of ``router``."""
    return encapsulated(router, UP_SID, packet(in_prefix(AWAY), CORRESPONDENT, text))


def wait_for_drops(sid_filter: SidFilter, expected: Mapping[str, int]) -> None:
    """Until the counters are as expected, and the others are 0."""
    wanted: dict[str, int] = dict.fromkeys(map(str, DropReason), 0)
    wanted.update(expected)
    deadline = time.monotonic() + 10
    while (found := sid_filter.dropped()) != wanted:
        assert time.monotonic() < deadline, found


FORGED: list[tuple[str, str, bytes, DropReason]] = [
    (
        "host into the path of another",
        "host",
        encapsulated(HOST_ORDINARY, UP_SID, packet(in_prefix(AWAY), CORRESPONDENT, b"forged")),
        DropReason.FROM_ACCESS_LINK,
    ),
    ("host as a router", "host", away(OTHER_ROUTER, b"forged"), DropReason.FORGED_SOURCE),
    ("stranger to the up SID", "core", away(STRANGER, b"forged"), DropReason.UNKNOWN_ROUTER),
    (
        "router with a prefix that nobody serves",
        "core",
        encapsulated(OTHER_ROUTER, UP_SID, packet(in_prefix(NOBODYS), CORRESPONDENT, b"forged")),
        DropReason.NOT_SERVED,
    ),
    (
        "router with a source that is not delegated",
        "core",
        encapsulated(OTHER_ROUTER, UP_SID, packet(HOST_ORDINARY, CORRESPONDENT, b"forged")),
        DropReason.NOT_SERVED,
    ),
    ("router that does not serve it", "core", away(THIRD_ROUTER, b"forged"), DropReason.NOT_SERVED),
    (
        "extension header before the inner packet",
        "core",
        bytes(
            IPv6(src=OTHER_ROUTER, dst=UP_SID)
            / IPv6ExtHdrDestOpt(nh=socket.IPPROTO_IPV6)
            / packet(in_prefix(AWAY), CORRESPONDENT, b"forged")
        ),
        DropReason.NOT_ENCAPSULATED,
    ),
    (
        "host with the source of another",
        "host",
        packet(in_prefix(AWAY), CORRESPONDENT, b"forged"),
        DropReason.FORGED_SOURCE,
    ),
    (
        "host with a source that nobody has",
        "host",
        packet(in_prefix(NOBODYS), CORRESPONDENT, b"forged"),
        DropReason.FORGED_SOURCE,
    ),
    (
        "host with a source of another link",
        "host",
        packet("2001:db8:1002::2", CORRESPONDENT, b"forged"),
        DropReason.FORGED_SOURCE,
    ),
    (
        "host with the source of its correspondent",
        "host",
        packet("2001:db8:c0::3", CORRESPONDENT, b"forged"),
        DropReason.FORGED_SOURCE,
    ),
]


@pytest.mark.parametrize(
    ("sender", "datagram", "reason"),
    [case[1:] for case in FORGED],
    ids=[case[0] for case in FORGED],
)
def test_forged_packet_is_dropped(
    net: Net, sid_filter: SidFilter, sender: str, datagram: bytes, reason: DropReason
) -> None:
    node: Node = getattr(net, sender)
    node.send(datagram)
    assert net.at_correspondent.recv(64) == b"forged"  # there is something to protect
    sid_filter.resync(STATE)
    node.send(datagram)
    wait_for_drops(sid_filter, {reason: 1})
    net.core.send(away(OTHER_ROUTER, b"right"))
    assert net.at_correspondent.recv(64) == b"right"


def test_stranger_cannot_send_down(net: Net, sid_filter: SidFilter) -> None:
    def down(router: str, text: bytes) -> bytes:
        inner = packet(CORRESPONDENT, in_prefix(AT_HOME), text)
        return encapsulated(router, DOWN_SID, inner)

    net.core.send(down(STRANGER, b"forged"))
    assert net.at_host.recv(64) == b"forged"
    sid_filter.resync(STATE)
    net.core.send(down(STRANGER, b"forged"))
    wait_for_drops(sid_filter, {DropReason.UNKNOWN_ROUTER: 1})
    net.core.send(down(OTHER_ROUTER, b"right"))
    assert net.at_host.recv(64) == b"right"


def test_what_is_not_encapsulated_does_not_reach_a_sid(net: Net, sid_filter: SidFilter) -> None:
    sid_filter.resync(STATE)
    net.core.send(packet(OTHER_ROUTER, UP_SID, b"plain"))
    wait_for_drops(sid_filter, {DropReason.NOT_ENCAPSULATED: 1})


def test_ordinary_packets_pass(net: Net, sid_filter: SidFilter) -> None:
    sid_filter.resync(STATE)
    for source in (in_prefix(AT_HOME), HOST_ORDINARY):
        net.host.send(packet(source, CORRESPONDENT, source.encode()))
        assert net.at_correspondent.recv(64) == source.encode()
    net.core.send(packet(CORRESPONDENT, in_prefix(AT_HOME), b"to the host"))
    assert net.at_host.recv(64) == b"to the host"
    wait_for_drops(sid_filter, {})


def test_source_of_a_neighbour_on_the_same_link(net: Net, sid_filter: SidFilter) -> None:
    neighbours = Attachment("access", bytes.fromhex("020000000005"), AT_HOME)
    sid_filter.resync(replace(STATE, members=replace(MEMBERS, attached=(neighbours,))))
    net.host.send(packet(in_prefix(AT_HOME), CORRESPONDENT, b"forged"))
    wait_for_drops(sid_filter, {DropReason.FORGED_SOURCE: 1})


def served_by(*pairs: Served) -> Members:
    return replace(MEMBERS, served=pairs)


def test_binding_moves_in_one_step(net: Net, sid_filter: SidFilter) -> None:
    sid_filter.resync(STATE)
    other, third = Members(MEMBERS.served), Members(((IPv6Address(THIRD_ROUTER), AWAY),))
    for count, (add, remove, router, former) in enumerate(
        ((third, other, THIRD_ROUTER, OTHER_ROUTER), (other, third, OTHER_ROUTER, THIRD_ROUTER)), 1
    ):
        sid_filter.change(add, remove)
        net.core.send(away(former, b"late"))
        wait_for_drops(sid_filter, {DropReason.NOT_SERVED: count})  # no counter began anew
        net.core.send(away(router, b"right"))
        assert net.at_correspondent.recv(64) == b"right"


def test_what_is_there_may_be_added_again(net: Net, sid_filter: SidFilter) -> None:
    sid_filter.resync(STATE)
    sid_filter.change(MEMBERS, NO_MEMBERS)
    net.core.send(away(OTHER_ROUTER, b"right"))
    assert net.at_correspondent.recv(64) == b"right"


def test_every_set_follows_the_state(net: Net, sid_filter: SidFilter) -> None:
    bare = replace(
        STATE, access=frozenset(), routers=frozenset(), pools=frozenset(), members=NO_MEMBERS
    )
    for state, expected in (
        (bare, DropReason.UNKNOWN_ROUTER),
        (replace(bare, access=STATE.access), DropReason.UNKNOWN_ROUTER),
        (replace(bare, routers=STATE.routers), DropReason.NOT_SERVED),
        (replace(bare, members=MEMBERS), DropReason.UNKNOWN_ROUTER),
    ):
        sid_filter.resync(state)
        net.core.send(away(OTHER_ROUTER, b"dropped"))
        wait_for_drops(sid_filter, {expected: 1})
    sid_filter.resync(STATE)
    net.core.send(away(OTHER_ROUTER, b"right"))
    assert net.at_correspondent.recv(64) == b"right"


@pytest.mark.parametrize(
    "pools",
    [
        {POOL.supernet()},
        {POOL, POOL.supernet()},
        set(POOL.supernet().subnets()),
        set(POOL.subnets()),
    ],
    ids=["wider", "nested", "adjacent", "halves"],
)
def test_pools_may_change_in_any_way(
    net: Net, sid_filter: SidFilter, pools: set[IPv6Network]
) -> None:
    sid_filter.resync(STATE)
    sid_filter.resync(replace(STATE, pools=frozenset(pools)))
    net.host.send(packet(in_prefix(AWAY), CORRESPONDENT, b"forged"))
    wait_for_drops(sid_filter, {DropReason.FORGED_SOURCE: 1})
    sid_filter.resync(replace(STATE, pools=frozenset(), local=of_the_link("::/0")))
    net.host.send(packet(in_prefix(AWAY), CORRESPONDENT, b"nobody's business"))
    assert net.at_correspondent.recv(64) == b"nobody's business"


@pytest.mark.parametrize(
    "local",
    [
        of_the_link("2001:db8:1000::/36"),
        of_the_link("2001:db8:1001::/64", "2001:db8:1001::/120", "2001:db8:1000::/36"),
        of_the_link("2001:db8:1000::/64", "2001:db8:1001::/64", "2001:db8:1003::/64"),
        of_the_link(f"{HOST_ORDINARY}/128"),
        of_the_link("2001:db8:1001::/64") | of_the_link("2001:db8:1001::/64", interface="other"),
    ],
    ids=["wide", "nested", "several", "one address", "of two links"],
)
def test_sources_of_the_link_pass(
    net: Net, sid_filter: SidFilter, local: frozenset[tuple[str, IPv6Network]]
) -> None:
    sid_filter.resync(replace(STATE, local=local))
    net.host.send(packet(HOST_ORDINARY, CORRESPONDENT, b"right"))
    assert net.at_correspondent.recv(64) == b"right"
    for outside in ("2001:db8:1::2", "2001:db8:2001::2"):
        net.host.send(packet(outside, CORRESPONDENT, b"forged"))
    wait_for_drops(sid_filter, {DropReason.FORGED_SOURCE: 2})


def test_sources_of_another_link_do_not_pass(net: Net, sid_filter: SidFilter) -> None:
    sid_filter.resync(replace(STATE, local=of_the_link("2001:db8:1001::/64", interface="other")))
    net.host.send(packet(HOST_ORDINARY, CORRESPONDENT, b"forged"))
    wait_for_drops(sid_filter, {DropReason.FORGED_SOURCE: 1})
    net.core.send(away(OTHER_ROUTER, b"from the core"))
    assert net.at_correspondent.recv(64) == b"from the core"


@pytest.mark.parametrize("length", [60, 61, 128])
def test_delegated_prefixes_of_any_length(net: Net, sid_filter: SidFilter, length: int) -> None:
    sid_filter.resync(STATE)
    prefix = IPv6Network((in_prefix(AWAY), length), strict=False)
    members = served_by((IPv6Address(OTHER_ROUTER), prefix))
    sid_filter.resync(replace(STATE, lengths=frozenset({64, length}), members=members))
    net.core.send(away(OTHER_ROUTER, b"right"))
    assert net.at_correspondent.recv(64) == b"right"
    outside = str(prefix.broadcast_address + 1)
    net.core.send(encapsulated(OTHER_ROUTER, UP_SID, packet(outside, CORRESPONDENT, b"forged")))
    wait_for_drops(sid_filter, {DropReason.NOT_SERVED: 1})


def test_prefixes_of_several_lengths_at_once(net: Net, sid_filter: SidFilter) -> None:
    """Whoever has the first part of a bigger prefix has no more than that."""
    mac = bytes.fromhex(HOST_MAC.replace(":", ""))
    big = IPv6Network("2001:db8:a1ff:1100::/56")
    first = IPv6Network("2001:db8:a1ff:2200::/64")
    sid_filter.resync(replace(STATE, lengths=frozenset({56, 64})))
    sid_filter.change(Members(attached=[Attachment("access", mac, big)]), NO_MEMBERS)
    sid_filter.change(Members(attached=[Attachment("access", mac, first)]), NO_MEMBERS)
    for right in (big[1], big[-1], first[1], AT_HOME[1]):
        net.host.send(packet(str(right), CORRESPONDENT, b"right"))
        assert net.at_correspondent.recv(64) == b"right"
    for forged in (first.broadcast_address + 1, big.broadcast_address + 1):
        net.host.send(packet(str(forged), CORRESPONDENT, b"forged"))
    wait_for_drops(sid_filter, {DropReason.FORGED_SOURCE: 2})
    sid_filter.change(NO_MEMBERS, Members(attached=[Attachment("access", mac, big)]))
    net.host.send(packet(str(big[1]), CORRESPONDENT, b"forged"))
    wait_for_drops(sid_filter, {DropReason.FORGED_SOURCE: 3})


def test_a_length_that_the_filter_does_not_know(net: Net, sid_filter: SidFilter) -> None:
    sid_filter.resync(STATE)
    short = Members(served=[(IPv6Address(OTHER_ROUTER), AWAY.supernet(new_prefix=48))])
    with pytest.raises(OSError, match="No such file"):
        sid_filter.change(short, NO_MEMBERS)


@pytest.mark.parametrize("block", ["2001:db8:5::/47", "2001:db8:5:1::e/128"])
def test_block_of_any_length(net: Net, sid_filter: SidFilter, block: str) -> None:
    sid_filter.resync(replace(STATE, block=IPv6Network(block, strict=False)))
    net.core.send(away(STRANGER, b"forged"))
    wait_for_drops(sid_filter, {DropReason.UNKNOWN_ROUTER: 1})


def test_filter_stays_and_resync_replaces_what_is_there(net: Net, sid_filter: SidFilter) -> None:
    sid_filter.resync(STATE)
    sid_filter.close()
    with closing(SidFilter()) as restarted:
        net.core.send(away(STRANGER, b"forged"))
        wait_for_drops(restarted, {DropReason.UNKNOWN_ROUTER: 1})
        restarted.resync(replace(STATE, members=served_by()))
        wait_for_drops(restarted, {})
        net.core.send(away(OTHER_ROUTER, b"no longer served"))
        wait_for_drops(restarted, {DropReason.NOT_SERVED: 1})


def test_a_table_that_somebody_took_away_is_not_changed(net: Net, sid_filter: SidFilter) -> None:
    sid_filter.resync(STATE)
    with closing(SidFilter()) as somebody:
        somebody.remove()
    with pytest.raises(NetlinkError):
        sid_filter.change(NO_MEMBERS, MEMBERS)
    assert sid_filter.dropped() == {}


def test_refused_change_leaves_all_as_it_was(net: Net, sid_filter: SidFilter) -> None:
    sid_filter.resync(STATE)
    net.core.send(away(STRANGER, b"forged"))
    wait_for_drops(sid_filter, {DropReason.UNKNOWN_ROUTER: 1})
    name = "a-name-of-more-than-sixteen-bytes"
    [mine] = MEMBERS.attached
    with pytest.raises(NetlinkError):
        sid_filter.change(Members(attached=(replace(mine, interface=name),)), MEMBERS)
    with pytest.raises(NetlinkError):
        sid_filter.change(NO_MEMBERS, served_by((IPv6Address(STRANGER), AWAY)))
    with pytest.raises(NetlinkError):
        sid_filter.resync(replace(STATE, access=frozenset({name}), members=NO_MEMBERS))
    wait_for_drops(sid_filter, {DropReason.UNKNOWN_ROUTER: 1})
    net.core.send(away(OTHER_ROUTER, b"still served"))
    assert net.at_correspondent.recv(64) == b"still served"


def test_a_hundred_thousand_bindings(net: Net, sid_filter: SidFilter) -> None:
    router = IPv6Address(OTHER_ROUTER)
    first = int(AWAY.network_address)
    many = tuple((router, IPv6Network((first + (n << 64), 64))) for n in range(100_000))
    try:
        sid_filter.resync(replace(STATE, members=served_by(*many)))
    except OSError as error:
        if error.errno != errno.EMSGSIZE:
            raise
        pytest.skip("only root outside of user namespaces may send so much at once")
    for _, prefix in (many[0], many[-1]):
        inner = packet(in_prefix(prefix), CORRESPONDENT, b"right")
        net.core.send(encapsulated(OTHER_ROUTER, UP_SID, inner))
        assert net.at_correspondent.recv(64) == b"right"
    sid_filter.change(NO_MEMBERS, Members(many[:1]))
    net.core.send(away(OTHER_ROUTER, b"gone"))
    # The host's own kernel may by now have probed its neighbours, from a prefix not attached here.
    probes = sid_filter.dropped()[DropReason.FORGED_SOURCE]
    wait_for_drops(sid_filter, {DropReason.NOT_SERVED: 1, DropReason.FORGED_SOURCE: probes})


def test_what_comes_from_the_core_for_a_pool_does_not_go_back(
    net: Net, sid_filter: SidFilter, ip: Ip, kernel: KernelWorld
) -> None:
    """Or it would go to and fro while the core and this router do not agree on its anchor."""
    sid_filter.resync(STATE)
    ip("-6", "route", "add", str(POOL), "via", OTHER_ROUTER, "dev", "core")
    net.core.send(packet(STRANGER, in_prefix(NOBODYS), b"to and fro"))
    wait_for_drops(sid_filter, {DropReason.RETURNED: 1})
    # From host to host, each anchored by another router, the way leads over this one.
    with net.core.inside():
        kernel.add_address(in_prefix(NOBODYS), 128)
    with net.core.receiver(in_prefix(NOBODYS)) as at_host_of_another:
        inner = packet(in_prefix(AWAY), in_prefix(NOBODYS), b"host to host")
        net.core.send(encapsulated(OTHER_ROUTER, UP_SID, inner))
        assert at_host_of_another.recv(64) == b"host to host"
    # What is not of a pool may pass through, and what is on a link gets there.
    net.core.send(packet(STRANGER, CORRESPONDENT, b"through"))
    assert net.at_correspondent.recv(64) == b"through"
    net.core.send(packet(STRANGER, in_prefix(AT_HOME), b"home"))
    assert net.at_host.recv(64) == b"home"


def test_removed_filter_lets_all_pass(net: Net, sid_filter: SidFilter) -> None:
    sid_filter.remove()
    sid_filter.resync(STATE)
    sid_filter.remove()
    assert sid_filter.dropped() == {}
    net.core.send(away(STRANGER, b"unfiltered"))
    assert net.at_correspondent.recv(64) == b"unfiltered"


def nft(*arguments: str) -> str:
    """The ``nft`` program, for a second opinion."""
    if shutil.which("nft") is None:
        pytest.skip("needs the nft program of Debian's package nftables")
    command = ["nft", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_nft_reads_the_table_as_we_mean_it(net: Net, sid_filter: SidFilter) -> None:
    sid_filter.resync(replace(STATE, routers=frozenset({IPv6Address(OTHER_ROUTER)})))
    listed = " ".join(nft("list", "ruleset").split())
    for part in (
        'set access { type ifname elements = { "access" } }',
        f"set routers {{ type ipv6_addr elements = {{ {OTHER_ROUTER} }} }}",
        f"elements = {{ {OTHER_ROUTER} . {AWAY.network_address} }}",
        f"set pools {{ type ipv6_addr flags interval elements = {{ {POOL} }} }}",
        f'elements = {{ "access" . {HOST_MAC} . {AT_HOME.network_address} }}',
        "set local { type ifname . ipv6_addr flags interval"
        ' elements = { "access" . ::, "access" . 2001:db8:1001::/64, "access" . fe80::/10 }',
        "type filter hook prerouting priority raw; policy accept;",
        "type filter hook forward priority filter; policy accept;"
        ' iifname "core" oifname "core" ip6 saddr != @pools ip6 daddr @pools'
        ' counter name "returned" drop',
        "iifname @access ip6 saddr @pools iifname . ",
        ' != @attached64 counter name "forged-source" drop',
        "iifname @access ip6 saddr != @pools iifname . ip6 saddr != @local"
        ' counter name "forged-source" drop',
        f"ip6 daddr != {BLOCK} accept",
        'iifname @access counter name "from-access-link" drop',
        'ip6 saddr != @routers counter name "unknown-router" drop',
        'ip6 nexthdr != ipv6 counter name "not-encapsulated" drop',
        f"ip6 daddr {UP_SID} ip6 saddr . @nh,384,128 & 0xffffffffffffffff0000000000000000"
        ' != @served64 counter name "not-served" drop',
    ):
        assert part in listed


def test_nothing_of_others_is_touched(net: Net, sid_filter: SidFilter) -> None:
    for family in ("ip6", "inet"):
        nft("add", "table", family, "others")
        nft("add", "set", family, "others", "routers", "{ type ipv6_addr; elements = { ::1 }; }")
        nft("add", "counter", family, "others", "unknown-router")
    nft("add", "table", "inet", "moorage")
    before = nft("list", "ruleset")
    sid_filter.resync(STATE)
    sid_filter.change(NO_MEMBERS, MEMBERS)
    assert set(sid_filter.dropped()) == set(DropReason)
    sid_filter.remove()
    assert nft("list", "ruleset") == before
