"""Routes and rules as rtnetlink has them (``<linux/rtnetlink.h>``, ``<linux/fib_rules.h>``)."""

from __future__ import annotations

import errno
import socket
import struct
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from moorage.kernel import netlink
from moorage.kernel.netlink import Message, NetlinkSocket, attribute, attribute_u32, nested
from moorage.kernel.routes import (
    Add,
    Route,
    RouteChange,
    RouteKind,
    Rule,
    Seg6Encap,
    Seg6EndDT6,
)
from moorage.numbers import ROUTE_PROTOCOL

RTM_NEWROUTE: Final = 24
RTM_DELROUTE: Final = 25
_RTM_GETROUTE: Final = 26
RTM_NEWRULE: Final = 32
RTM_DELRULE: Final = 33
_RTM_GETRULE: Final = 34

_RTA_DST: Final = 1
_RTA_SRC: Final = 2
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_PRIORITY: Final = 6
_RTA_PREFSRC: Final = 7
_RTA_METRICS: Final = 8
_RTA_MULTIPATH: Final = 9
_RTA_TABLE: Final = 15
_RTA_ENCAP_TYPE: Final = 21
_RTA_ENCAP: Final = 22
_RTAX_MTU: Final = 2
_RTAX_ADVMSS: Final = 8
_RTM_F_CLONED: Final = 0x200

_LWTUNNEL_ENCAP_SEG6: Final = 5
_LWTUNNEL_ENCAP_SEG6_LOCAL: Final = 7
_SEG6_IPTUNNEL_SRH: Final = 1
_SEG6_IPTUN_MODE_ENCAP_RED: Final = 3
_SEG6_LOCAL_ACTION: Final = 1
_SEG6_LOCAL_TABLE: Final = 3
_SEG6_LOCAL_ACTION_END_DT6: Final = 7

_FRA_SRC: Final = 2
_FRA_IIFNAME: Final = 3
_FRA_PRIORITY: Final = 6
_FRA_TABLE: Final = 15
_FRA_PROTOCOL: Final = 21
_FR_ACT_TO_TBL: Final = 1

_ROUTE: Final = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type,
flags; struct fib_rule_hdr has the same shape with the action in the place of the type."""
_NEXT_HOP: Final = struct.Struct("=HBBi")
_U32: Final = struct.Struct("=I")

_IPTUNNEL: Final = struct.Struct("=iBBBBBBH")
"""struct seg6_iptunnel_encap (mode), then the fixed part of the routing header of RFC 8754:
next header, length in 8 octets without the first 8, type, segments left, last entry, flags, tag."""
_ONE_SEGMENT: Final = _IPTUNNEL.pack(_SEG6_IPTUN_MODE_ENCAP_RED, 0, 2, 4, 0, 0, 0, 0)

_MEMORY_ATTEMPTS: Final = 30
_MEMORY_PAUSE: Final = 0.001
"""A burst of routes uses the kernel's per-CPU memory up faster than a worker of it, which runs
within a millisecond, can add to it: ENOMEM now is no ENOMEM later."""

_NESTED: Final = frozenset((_RTA_METRICS, _RTA_ENCAP))
_SEG6_TYPE: Final = _LWTUNNEL_ENCAP_SEG6.to_bytes(2, sys.byteorder)
_SEG6_LOCAL_TYPE: Final = _LWTUNNEL_ENCAP_SEG6_LOCAL.to_bytes(2, sys.byteorder)
_KINDS: Final = frozenset(RouteKind)
_ANYWHERE: Final = IPv6Network("::/0")
_UNSPECIFIED: Final = bytes(16)
_NO_INTERFACE: Final = bytes(4)


class NetlinkRouteTable:
    """The kernel's `RouteTable`, of the network namespace of the thread that makes it."""

    def __init__(self, protocol: int = ROUTE_PROTOCOL) -> None:
        self.protocol: Final = protocol
        self._socket = NetlinkSocket(netlink.NETLINK_ROUTE)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    @property
    def port(self) -> int:
        """What a `Monitor` needs to know to leave our own changes out."""
        return self._socket.port

    def routes(self, protocol: int) -> set[Route]:
        """All routes with this protocol number. Raises OSError."""
        answers = self._socket.dump(_all_routes(protocol))
        return {route for answer in answers for _, route in parse_routes(answer.payload)}

    def listing(self) -> NetlinkRouteListing:
        """All routes of our protocol number, to be compared with others. Raises OSError."""
        return NetlinkRouteListing(self._socket, self.protocol)

    def apply(self, changes: Sequence[RouteChange]) -> list[OSError | None]:
        """Carry out the changes in order, each for itself; the error or None for each."""
        messages = [self._message(change) for change in changes]
        results: list[OSError | None] = [*self._socket.request(messages)]
        for _ in range(_MEMORY_ATTEMPTS):
            short = [n for n, error in enumerate(results) if error and error.errno == errno.ENOMEM]
            if not short:
                break
            time.sleep(_MEMORY_PAUSE)
            again = self._socket.request([messages[n] for n in short])
            for n, error in zip(short, again, strict=True):
                results[n] = error
        return results

    def _message(self, change: RouteChange) -> Message:
        body = encode_route(change.route, self.protocol)
        if isinstance(change, Add):
            return Message(RTM_NEWROUTE, body, netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE)
        return Message(RTM_DELROUTE, body)

    def rules(self, protocol: int) -> set[Rule]:
        """All rules with this protocol number. Raises OSError."""
        question = _ROUTE.pack(socket.AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0)
        answers = self._socket.dump(Message(_RTM_GETRULE, question))
        return {
            rule
            for answer in answers
            for owner, rule in parse_rules(answer.payload)
            if owner == protocol
        }

    def add_rule(self, rule: Rule) -> None:
        """Add a rule. Raises OSError, EEXIST if it is there."""
        self._change_rule(RTM_NEWRULE, rule, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL)

    def remove_rule(self, rule: Rule) -> None:
        """Remove a rule of our protocol number. Raises OSError, ENOENT if there is none."""
        self._change_rule(RTM_DELRULE, rule, 0)

    def _change_rule(self, kind: int, rule: Rule, flags: int) -> None:
        message = Message(kind, encode_rule(rule, self.protocol), flags)
        [error] = self._socket.request([message])
        if error is not None:
            raise error


class NetlinkRouteListing:
    """The kernel's `RouteListing`. Only what differs is taken apart: there may be very many."""

    def __init__(self, table: NetlinkSocket, protocol: int) -> None:
        self._socket = table
        self._question: Final = _all_routes(protocol)
        # Where others change routes all the time this is not exact. What is missing in the list by
        # mistake is added again, which does no harm.
        (self._forms, self._twins), _ = table.dump_into(_forms, self._question)

    def twins(self) -> set[Route]:
        """See `RouteListing.twins`."""
        found = self._routes(self._twins)
        for key in self._twins:
            del self._forms[key]
        self._twins = set()
        return found

    def missing(self, desired: Iterable[Route]) -> list[Route]:
        """See `RouteListing.missing`."""
        pop = self._forms.pop
        missing = []
        for route in desired:
            key, form = _form(
                route.destination.prefixlen,
                route.source.prefixlen if route.source else 0,
                route.kind,
                _attributes(route),
            )
            if pop(key, None) != form:
                missing.append(route)
        return missing

    def surplus(self) -> set[Route]:
        """See `RouteListing.surplus`."""
        return self._routes(self._forms)

    def _routes(self, keys: Collection[bytes]) -> set[Route]:
        """Return the routes that have one of these keys."""
        if not keys:
            return set()
        bodies = (answer.payload for answer in self._socket.dump(self._question))
        wanted = (body for body in bodies if _form_of_body(body)[0] in keys)
        return {route for body in wanted for _, route in parse_routes(body)}


def encode_route(route: Route, protocol: int) -> bytes:
    """The body of a message that adds or removes a route."""
    head = _ROUTE.pack(
        socket.AF_INET6,
        route.destination.prefixlen,
        route.source.prefixlen if route.source else 0,
        0,
        0,  # RTA_TABLE holds the table, since it may be above 255
        protocol,
        0,
        route.kind,
        0,
    )
    return head + b"".join(
        [
            nested(kind, value) if kind in _NESTED else attribute(kind, value)
            for kind, value in _attributes(route).items()
        ]
    )


def _attributes(route: Route) -> dict[int, bytes]:
    """The attributes of a route by type, as a message has them."""
    found = {
        _RTA_DST: route.destination.network_address.packed,
        _RTA_TABLE: _U32.pack(route.table),
        _RTA_PRIORITY: _U32.pack(route.metric),
    }
    if route.source:
        found[_RTA_SRC] = route.source.network_address.packed
    if route.gateway:
        found[_RTA_GATEWAY] = route.gateway.packed
    if route.interface:
        found[_RTA_OIF] = _U32.pack(route.interface)
    if route.preferred_source:
        found[_RTA_PREFSRC] = route.preferred_source.packed
    if route.mtu or route.advmss:
        metrics = ((_RTAX_MTU, route.mtu), (_RTAX_ADVMSS, route.advmss))
        found[_RTA_METRICS] = b"".join(attribute_u32(kind, size) for kind, size in metrics if size)
    match route.encap:
        case Seg6Encap(segment):
            found[_RTA_ENCAP_TYPE] = _SEG6_TYPE
            found[_RTA_ENCAP] = attribute(_SEG6_IPTUNNEL_SRH, _ONE_SEGMENT + segment.packed)
        case Seg6EndDT6(table):
            found[_RTA_ENCAP_TYPE] = _SEG6_LOCAL_TYPE
            found[_RTA_ENCAP] = attribute_u32(
                _SEG6_LOCAL_ACTION, _SEG6_LOCAL_ACTION_END_DT6
            ) + attribute_u32(_SEG6_LOCAL_TABLE, table)
    return found


def _form(
    length: int, source_length: int, kind: int, found: Mapping[int, bytes]
) -> tuple[bytes, bytes]:
    """Key and form of a route, by which routes are compared without taking them apart."""
    get = found.get
    key = b"".join(
        (
            bytes((length, source_length)),
            get(_RTA_DST, _UNSPECIFIED),
            get(_RTA_SRC, _UNSPECIFIED),
            get(_RTA_TABLE, b""),
            get(_RTA_PRIORITY, b""),
        )
    )
    if kind != RouteKind.UNICAST:
        # A route that drops its packets is listed with the loopback interface.
        return key, bytes((kind,))
    encap = get(_RTA_ENCAP, b"")
    form = (
        bytes((kind, len(encap))),
        get(_RTA_OIF, _NO_INTERFACE),
        get(_RTA_GATEWAY, _UNSPECIFIED),
        encap,
        get(_RTA_METRICS, b""),
        get(_RTA_MULTIPATH, b""),
    )
    return key, b"".join(form)


def _forms(messages: Iterable[Message]) -> tuple[dict[bytes, bytes], set[bytes]]:
    """The forms of routes by their keys, and the keys of more than one."""
    forms: dict[bytes, bytes] = {}
    twins: set[bytes] = set()
    for message in messages:
        key, form = _form_of_body(message.payload)
        if forms.setdefault(key, form) != form:
            twins.add(key)
    return forms, twins


def _form_of_body(body: bytes) -> tuple[bytes, bytes]:
    return _form(body[1], body[2], body[7], netlink.parse_attributes(body, _ROUTE.size))


def _all_routes(protocol: int) -> Message:
    """The question for all routes with this protocol number."""
    return Message(_RTM_GETROUTE, _ROUTE.pack(socket.AF_INET6, 0, 0, 0, 0, protocol, 0, 0, 0))


def parse_routes(body: bytes) -> Iterator[tuple[int, Route]]:
    """Protocol number and route of a message's next hops.

    One for each next hop of a multipath route (which nobody makes with an `Add`); none if we have
    no word for the route: another family or kind, a path MTU that the kernel learnt.
    """
    family, length, source_length, _, table, protocol, _, kind, flags = _ROUTE.unpack_from(body)
    if family != socket.AF_INET6 or flags & _RTM_F_CLONED or kind not in _KINDS:
        return
    found = netlink.parse_attributes(body, _ROUTE.size)
    metrics = netlink.parse_attributes(found.get(_RTA_METRICS, b""))
    for hop in _next_hops(found):
        unicast = kind == RouteKind.UNICAST
        gateway = hop.get(_RTA_GATEWAY)
        preferred = found.get(_RTA_PREFSRC)
        yield (
            protocol,
            Route(
                destination=_prefix(found.get(_RTA_DST), length),
                table=_number(found, _RTA_TABLE, table),
                kind=RouteKind(kind),
                source=_prefix(found[_RTA_SRC], source_length) if source_length else None,
                gateway=IPv6Address(gateway) if unicast and gateway else None,
                interface=_number(hop, _RTA_OIF) if unicast else 0,
                metric=_number(found, _RTA_PRIORITY),
                mtu=_number(metrics, _RTAX_MTU),
                advmss=_number(metrics, _RTAX_ADVMSS),
                preferred_source=IPv6Address(preferred) if preferred else None,
                encap=_encap(hop) if unicast else None,
            ),
        )


def _next_hops(found: dict[int, bytes]) -> Iterator[dict[int, bytes]]:
    hops = found.get(_RTA_MULTIPATH)
    if hops is None:
        yield found
        return
    offset = 0
    while offset + _NEXT_HOP.size <= len(hops):
        size, _, _, interface = _NEXT_HOP.unpack_from(hops, offset)
        hop = netlink.parse_attributes(hops[offset : offset + size], _NEXT_HOP.size)
        yield {_RTA_OIF: _U32.pack(interface), **hop}
        offset += (max(size, _NEXT_HOP.size) + 3) & ~3


def _encap(hop: dict[int, bytes]) -> Seg6Encap | Seg6EndDT6 | None:
    if _RTA_ENCAP not in hop:
        return None
    tunnel = netlink.parse_attributes(hop[_RTA_ENCAP])
    kind = int.from_bytes(hop[_RTA_ENCAP_TYPE], sys.byteorder)
    if kind == _LWTUNNEL_ENCAP_SEG6:
        return Seg6Encap(IPv6Address(tunnel[_SEG6_IPTUNNEL_SRH][-16:]))
    return Seg6EndDT6(_number(tunnel, _SEG6_LOCAL_TABLE))


def encode_rule(rule: Rule, protocol: int) -> bytes:
    """The body of a message that adds or removes a rule."""
    parts = [
        _ROUTE.pack(
            socket.AF_INET6,
            0,
            rule.source.prefixlen if rule.source else 0,
            0,
            0,
            0,
            0,
            _FR_ACT_TO_TBL,
            0,
        ),
        attribute_u32(_FRA_PRIORITY, rule.priority),
        attribute_u32(_FRA_TABLE, rule.table),
        attribute(_FRA_PROTOCOL, bytes((protocol,))),
    ]
    if rule.iif:
        parts.append(attribute(_FRA_IIFNAME, rule.iif.encode() + b"\0"))
    if rule.source:
        parts.append(attribute(_FRA_SRC, rule.source.network_address.packed))
    return b"".join(parts)


def parse_rules(body: bytes) -> Iterator[tuple[int, Rule]]:
    """Protocol number and rule of a message; none if it is of another family or kind."""
    family, _, source_length, _, table, _, _, action, _ = _ROUTE.unpack_from(body)
    if family != socket.AF_INET6 or action != _FR_ACT_TO_TBL:
        return
    found = netlink.parse_attributes(body, _ROUTE.size)
    yield (
        found.get(_FRA_PROTOCOL, b"\0")[0],
        Rule(
            priority=_number(found, _FRA_PRIORITY),
            table=_number(found, _FRA_TABLE, table),
            iif=found.get(_FRA_IIFNAME, b"").rstrip(b"\0").decode(),
            source=_prefix(found[_FRA_SRC], source_length) if source_length else None,
        ),
    )


def _number(found: dict[int, bytes], kind: int, otherwise: int = 0) -> int:
    value = found.get(kind)
    return otherwise if value is None else int(_U32.unpack(value)[0])


def _prefix(address: bytes | None, length: int) -> IPv6Network:
    return _ANYWHERE if address is None else IPv6Network((address, length))
