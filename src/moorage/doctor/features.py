"""The features of the kernel, tried with the very code that needs them."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from moorage.doctor.check import Check, Missing, NotTried, User
from moorage.host.sockets import DhcpSocket, RouterSocket
from moorage.kernel import seg6, sysctl
from moorage.kernel.addresses import Address, AddressFlags, NetlinkAddressTable
from moorage.kernel.bpf import Unavailable, cgroup
from moorage.kernel.hooks import load_hooks
from moorage.kernel.monitor import Group, NetlinkMonitor
from moorage.kernel.netlink import NETLINK_ROUTE, NetlinkSocket
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.nftables import FilterState, SidFilter
from moorage.kernel.routes import Add, Route, RouteKind, Rule, Seg6Encap, Seg6EndDT6
from moorage.kernel.send_quotas import NetlinkSendQuotas, Quota
from moorage.kernel.sock_diag import DestroyMonitor, SockDiag, SocketInfo, socket_cookie
from moorage.lab import links, namespaces
from moorage.numbers import ROUTE_PROTOCOL

_HOST: Final = frozenset({User.HOST})
_ROUTER: Final = frozenset({User.ROUTER})
_LAB: Final = frozenset({User.LAB})
_BOTH: Final = _HOST | _ROUTER

_LOOPBACK: Final = 1
_TABLE: Final = 10_999
_MAIN_TABLE: Final = 254
_PREFIX: Final = IPv6Network("2001:db8:d0c::/64")
_ADDRESS: Final = _PREFIX[1]
_BLOCK: Final = IPv6Network("2001:db8:5::/48")
_SID: Final = IPv6Address("2001:db8:5:1::d")
_ANYWHERE: Final = IPv6Network("::/0")
_PATIENCE: Final = 5.0
_SO_PEERPIDFD: Final = 77
_AGAINST_USER_NAMESPACES: Final = {
    "user/max_user_namespaces": "0",
    "kernel/unprivileged_userns_clone": "0",
    "kernel/apparmor_restrict_unprivileged_userns": "1",
}
"""Parameters and the values by which they forbid ordinary users to have such namespaces."""


def _new_address() -> None:
    """Configure an address of ours and wait until it works."""
    with closing(NetlinkAddressTable()) as table, closing(NetlinkMonitor([Group.ADDRESS])) as told:
        table.add(
            Address(_ADDRESS, _LOOPBACK, 128, protocol=ROUTE_PROTOCOL, flags=AddressFlags.NO_DAD)
        )
        select.select([told], [], [], _PATIENCE)


def _own_addresses() -> str:
    _new_address()
    with closing(NetlinkAddressTable()) as table:
        if not table.addresses(ROUTE_PROTOCOL):
            raise Missing("the kernel forgets who added an address")
    return ""


def _source_routes() -> str:
    route = Route(_ANYWHERE, _TABLE, RouteKind.UNREACHABLE, source=_PREFIX)
    with closing(NetlinkRouteTable()) as table:
        _add(table, route)
        table.add_rule(Rule(_TABLE, _TABLE))
    return ""


def _add(table: NetlinkRouteTable, route: Route) -> None:
    """Add a route and see that it is as we want it: old kernels ignore what they do not know."""
    [error] = table.apply([Add(route)])
    if error is not None:
        raise error
    if route not in table.routes(ROUTE_PROTOCOL):
        raise Missing("the kernel takes the route for another one")


def _listed(kind: socket.SocketKind, *, listening: bool) -> str:
    _new_address()
    with (
        socket.socket(socket.AF_INET6, kind) as sock,
        closing(SockDiag()) as table,
    ):
        sock.bind((str(_ADDRESS), 0))
        if listening:
            sock.listen()
        _find(table, sock)
    return ""


def _find(table: SockDiag, sock: socket.socket) -> SocketInfo:
    for info in table.sockets_from(_PREFIX):
        if info.cookie == socket_cookie(sock):
            return info
    raise Missing("the kernel does not list the socket")


def _listed_sockets() -> str:
    return _listed(socket.SOCK_STREAM, listening=True)


def _bound_sockets() -> str:
    return _listed(socket.SOCK_STREAM, listening=False)


def _told_of_end() -> str:
    _new_address()
    with closing(DestroyMonitor()) as told:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind((str(_ADDRESS), 0))
            cookie = socket_cookie(sock)
        select.select([told], [], [], _PATIENCE)
        if cookie not in told.read():
            raise Missing("the kernel does not tell of it")
    return ""


def _end_sockets() -> str:
    _new_address()
    with (
        socket.create_server((str(_ADDRESS), 0), family=socket.AF_INET6) as sock,
        closing(SockDiag()) as table,
    ):
        if not table.destroy(_find(table, sock)):
            raise Missing("the socket lives on")
    return ""


def _optimistic() -> str:
    sysctl.write("net/ipv6/conf/lo/optimistic_dad", "1")
    return ""


def _send_quotas() -> str:
    quotas = NetlinkSendQuotas()
    quotas.apply({_ADDRESS: Quota(1)})
    quotas.remove()
    quotas.close()
    return ""


def _peer_pidfd() -> str:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client,
    ):
        server.bind("")  # the kernel makes up an abstract name
        server.listen()
        client.connect(server.getsockname())
        connection, _ = server.accept()
        with connection:
            os.close(connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD))
    return ""


def _network_sockets() -> str:
    DhcpSocket()
    RouterSocket()
    return ""


def _encapsulation() -> str:
    with closing(NetlinkRouteTable()) as table:
        source_route = Route(
            _ANYWHERE, _TABLE, source=_PREFIX, interface=_LOOPBACK, encap=Seg6Encap(_SID)
        )
        _add(table, source_route)
    return ""


def _decapsulation() -> str:
    with closing(NetlinkRouteTable()) as table:
        sid = IPv6Network(_SID)
        _add(table, Route(sid, _MAIN_TABLE, interface=_LOOPBACK, encap=Seg6EndDT6(_MAIN_TABLE)))
    return ""


def _tunnel_source() -> str:
    seg6.set_tunnel_source(_ADDRESS)
    if seg6.tunnel_source() != _ADDRESS:
        raise Missing("the kernel has another one")
    return ""


def _packet_filter() -> str:
    packet_filter = SidFilter()
    packet_filter.resync(
        FilterState(
            access=frozenset({"lo"}),
            core="lo",
            block=_BLOCK,
            up_sid=_SID,
            routers=frozenset({_ADDRESS}),
            lengths=frozenset({64}),
            local=frozenset({("lo", _BLOCK)}),
        )
    )
    packet_filter.remove()
    return ""


def _forwarding() -> str:
    sysctl.write("net/ipv6/conf/all/forwarding", "1")
    return ""


def _user_namespaces() -> str:
    if os.geteuid() == 0:
        # Root may always; what the lab needs them for is everybody else.
        for path, forbids in _AGAINST_USER_NAMESPACES.items():
            with suppress(FileNotFoundError):
                if sysctl.read(path) == forbids:
                    raise Missing(f"{path.replace('/', '.')} is {forbids}")
    namespaces.unshare(namespaces.NEW_USER)
    return ""


def _links() -> str:
    here = namespaces.current("net")
    with NetlinkSocket(NETLINK_ROUTE) as netlink:
        links.carry_out(
            netlink,
            [
                links.new_pair(links.End(here, "near", 1001), links.End(here, "far", 1002), 1500),
                links.new_bridge("bridge", 1003),
                links.set_master(1001, 1003),
            ],
        )
    return ""


def _cgroup_hooks() -> str:
    try:
        place = cgroup.root()
        load_hooks().close()
    except Unavailable as error:
        kind = NotTried if error.errno == errno.EPERM else Missing
        raise kind(error.strerror) from None
    return f"cgroup v2 at {place}"


def _check(
    name: str, users: frozenset[User], attempt: Callable[[], str], lost: str, *, needed: bool
) -> Check:
    return Check(name, users, lost, needed, attempt)


CHECKS: Final = (
    _check(
        "addresses with a protocol number (Linux 5.18)",
        _HOST,
        _own_addresses,
        "typed addresses cannot be told from others",
        needed=True,
    ),
    _check(
        "source routes (CONFIG_IPV6_SUBTREES) and rules",
        _BOTH,
        _source_routes,
        "packets of typed addresses do not go where they are served",
        needed=True,
    ),
    _check(
        "DHCPv6 and router discovery beside other programs",
        _HOST,
        _network_sockets,
        "no network can be asked for an address",
        needed=True,
    ),
    _check(
        "sockets listed by address (CONFIG_INET_DIAG)",
        _HOST,
        _listed_sockets,
        "nobody knows who uses an address",
        needed=True,
    ),
    _check(
        "word of sockets that end",
        _HOST,
        _told_of_end,
        "nobody knows when an address is no longer used",
        needed=True,
    ),
    _check(
        "bound TCP sockets listed (Linux 6.8)",
        _HOST,
        _bound_sockets,
        "an address is released although a program has bound a TCP socket to it, if it waits"
        " longer than the linger time before it connects",
        needed=False,
    ),
    _check(
        "sockets ended from outside (CONFIG_INET_DIAG_DESTROY)",
        _HOST,
        _end_sockets,
        "applications hear only after minutes that their address is gone",
        needed=False,
    ),
    _check(
        "optimistic addresses (CONFIG_IPV6_OPTIMISTIC_DAD)",
        _HOST,
        _optimistic,
        "every move takes a second longer",
        needed=False,
    ),
    _check(
        "bytes counted by source address (CONFIG_NFT_QUOTA, CONFIG_NFT_OBJREF)",
        _HOST,
        _send_quotas,
        "lifetimes in bytes are not kept",
        needed=False,
    ),
    _check(
        "callers known by pidfd (Linux 6.5)",
        _HOST,
        _peer_pidfd,
        "policy knows a caller by process id and start time only",
        needed=False,
    ),
    _check(
        "SRv6 encapsulation (CONFIG_IPV6_SEG6_LWTUNNEL)",
        _ROUTER,
        _encapsulation,
        "no prefix can be used away from its anchor",
        needed=True,
    ),
    _check(
        "SRv6 decapsulation (End.DT6)",
        _ROUTER,
        _decapsulation,
        "no prefix can be used away from its anchor",
        needed=True,
    ),
    _check(
        "outer source of SRv6 packets",
        _ROUTER,
        _tunnel_source,
        "the core address must be the only one of the core interface",
        needed=False,
    ),
    _check(
        "packet filter (CONFIG_NF_TABLES_IPV6)",
        _ROUTER,
        _packet_filter,
        "hosts could send as others, and into anchored paths",
        needed=True,
    ),
    _check("IPv6 forwarding", _ROUTER, _forwarding, "nothing is forwarded", needed=True),
    _check("veth and bridge", _LAB, _links, "there is no lab", needed=True),
    Check(
        "unprivileged user namespaces",
        _LAB,
        "only root can have a lab",
        needed=False,
        attempt=_user_namespaces,
        apart=False,
    ),
    Check(
        "BPF hooks on control groups",
        _HOST,
        "setsc() always asks the daemon, the kernel drops IPV6_REQUIRE_SRC_ON_NET, and every"
        " program may use every typed address; rules give no types to programs that do not ask",
        needed=False,
        attempt=_cgroup_hooks,
        apart=False,
    ),
)
