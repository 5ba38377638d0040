"""A domain in memory for tests: routers that share a store, and the clients that ask them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import msgspec

from moorage import config
from moorage.complaints import Complaints
from moorage.identity import NO_LINK, Identity
from moorage.router.account import Account
from moorage.router.config import AccessLink, RouterConfig
from moorage.router.events import RouterEvent
from moorage.router.inbox import Arrival
from moorage.router.mirror import Mirror
from moorage.router.reconfigure import ReconfigureKeys
from moorage.router.server import DelegationServer, Draft
from moorage.service import ServiceType
from moorage.store.memory import MemoryStore
from moorage.store.model import Binding
from moorage.store.protocol import BindingStore, Change
from moorage.wire.dhcp6 import (
    ClientId,
    IaPd,
    IaPrefix,
    Message,
    MessageType,
    OnDemand,
    Option,
    RapidCommit,
    ServerId,
    ServiceTypeOf,
    decode_message,
)

ANY = IPv6Network("::/64")
SOURCE = IPv6Address("fe80::1234")
START = 1_700_000_000.0
KEYS = ReconfigureKeys(bytes(16))


def router_config(number: int = 1, **changes: Any) -> RouterConfig:
    """Return the configuration of the router ``ar<number>``, with other values for some keys."""
    text = f"""
        id = "ar{number}"
        domain = "00112233445566ff"
        core_interface = "core0"
        core_address = "2001:db8:c:{number}::2"
        pool = "2001:db8:a{number}00::/40"
        store = "memory:"
        sids = {{ block = "2001:db8:5::/48", down = "2001:db8:5:{number}::d",
                  up = "2001:db8:5:{number}::e" }}
        access = [
            {{ interface = "acc0", slaac_prefix = "2001:db8:{1000 + number}::/64" }},
            {{ interface = "acc1" }},
        ]
    """.replace(",\n                  up", ", up")
    return msgspec.structs.replace(config.parse(text, RouterConfig, "test"), **changes)


@dataclass
class Clock:
    """Time that goes on when a test says so; seconds since 1970."""

    now: float = START

    def __call__(self) -> float:
        return self.now


async def answer(server: DelegationServer, link: AccessLink, arrival: Arrival) -> bytes | None:
    """Return the datagram that answers another one, which came by a link."""
    found = server.draft(link, arrival)
    if isinstance(found, Draft):
        [found] = await server.settle([found])
    return found


class Site:
    """One router of a domain: its server, with the store's present state as its mirror."""

    def __init__(self, config: RouterConfig, store: BindingStore, clock: Clock) -> None:
        self.config = config
        self.link: AccessLink = config.access[0]
        self.link_id = config.link_id(self.link)
        self.prepared: list[Change] = []
        self.changes: list[Change] = []
        self.complaints = Complaints(logging.getLogger("test"))
        self._store = store
        self._clock = clock
        self.mirror = Mirror(config.hold)
        self.events: list[RouterEvent] = []
        self.account = Account(config.id, self.mirror.holder, self.events.append, clock)
        self.server = DelegationServer(
            config, store, self.mirror, self, self.complaints, self.account, clock, KEYS
        )

    def prepare(self, changes: Sequence[Change]) -> None:
        self.prepared += changes

    def committed(self, commits: Sequence[tuple[int, Sequence[Change]]]) -> None:
        self.prepared = []
        for _, changes in commits:
            self.changes += changes

    def abandoned(self, changes: Sequence[Change]) -> None:
        self.prepared = []

    async def ask(self, datagram: bytes, source: IPv6Address) -> Message | None:
        """Return the answer to a datagram that was sent to the group of all servers."""
        reply = await self.send(Arrival(datagram, source))
        if reply is None:
            return None
        message = decode_message(reply)
        assert isinstance(message, Message)
        return message

    async def send(self, arrival: Arrival) -> bytes | None:
        """Return the datagram that answers another one."""
        await self.look()
        return await self.answer(arrival)

    async def answer(self, arrival: Arrival) -> bytes | None:
        """Return the same, upon what is known of the store."""
        return await answer(self.server, self.link, arrival)

    async def look(self) -> None:
        """Know what the store holds."""
        self.mirror.reset(await self._store.snapshot(), self._clock())


class Domain:
    """Routers that share one store."""

    def __init__(self, *configs: RouterConfig) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.sites = [Site(config, self.store, self.clock) for config in configs]

    async def bindings(self) -> list[Binding]:
        """Return everything that the store holds."""
        return list((await self.store.snapshot()).bindings)

    async def binding(self) -> Binding:
        """Return the only binding."""
        [binding] = await self.bindings()
        return binding


def two_routers(**changes: Any) -> Domain:
    """Return a domain of two routers with equal settings."""
    return Domain(router_config(1, **changes), router_config(2, **changes))


def one_link(**changes: Any) -> Domain:
    """Return a domain of two routers of the same link."""
    access = [AccessLink(interface="acc0", link_id="6f6e65206c696e6b")]
    return two_routers(access=access, **changes)


@dataclass
class Client:
    """A DHCPv6 client: with an identity it signs, without ``speaks`` it does not know us."""

    clock: Clock
    identity: Identity | None = field(default_factory=Identity.generate)
    speaks: bool = True
    source: IPv6Address = SOURCE
    plain_duid: bytes = b"\x00\x03\x00\x01\x02\x00\x00\x00\x00\x01"
    ticks: int = 0

    @property
    def duid(self) -> bytes:
        """Its DUID."""
        return self.plain_duid if self.identity is None else self.identity.duid

    def message(
        self,
        kind: MessageType,
        associations: Iterable[IaPd] = (),
        types: dict[int, ServiceType] | None = None,
        server: bytes | None = None,
        options: Iterable[Option] = (),
    ) -> Message:
        """Return a message that is not signed yet."""
        body: list[Option] = [ClientId(self.duid)]
        if server is not None:
            body.append(ServerId(server))
        body += [*options, *associations]
        if self.speaks:
            about = [ServiceTypeOf(iaid, kind) for iaid, kind in (types or {}).items()]
            body.append(OnDemand(tuple(about)).to_option())
        return Message(kind, 0x123456, tuple(body))

    def sign(self, message: Message, link_id: bytes = NO_LINK) -> bytes:
        """Return the datagram of a message, signed if there is a key; every one a bit later."""
        if self.identity is None:
            return message.encode()
        self.ticks += 1
        time = round(self.clock.now * 1_000_000) + self.ticks
        return self.identity.sign(message, self.source, time, link_id)

    async def ask(self, site: Site, message: Message, link_id: bytes | None = None) -> Message:
        """Return a router's answer; there must be one."""
        reply = await self.try_ask(site, message, link_id)
        assert reply is not None
        return reply

    async def try_ask(
        self, site: Site, message: Message, link_id: bytes | None = None
    ) -> Message | None:
        """Return a router's answer, if there is one."""
        signed = self.sign(message, site.link_id if link_id is None else link_id)
        return await site.ask(signed, self.source)

    async def solicit(
        self, site: Site, kind: ServiceType | None, iaid: int = 1, wish: IPv6Network = ANY
    ) -> Message:
        """Ask for a prefix with two messages."""
        types = {} if kind is None else {iaid: kind}
        return await self.ask(
            site,
            self.message(MessageType.SOLICIT, [ia(iaid, wish)], types, options=[RapidCommit()]),
        )

    async def acquire(self, site: Site, kind: ServiceType | None, iaid: int = 1) -> IPv6Network:
        """Return the prefix that a router gives."""
        return lease(await self.solicit(site, kind, iaid), iaid).prefix

    def rebind(
        self, prefix: IPv6Network, kind: ServiceType | None = None, iaid: int = 1
    ) -> Message:
        """Return the Rebind of a client that has moved."""
        types = {} if kind is None else {iaid: kind}
        return self.message(MessageType.REBIND, [ia(iaid, prefix)], types)

    def release(self, site: Site, prefix: IPv6Network, iaid: int = 1) -> Message:
        """Return the Release of a prefix."""
        return self.message(MessageType.RELEASE, [ia(iaid, prefix)], server=site.config.server_duid)


def ia(iaid: int, *prefixes: IPv6Network) -> IaPd:
    """Return the IA_PD of a request."""
    return IaPd(iaid, 0, 0, tuple(IaPrefix(0, 0, prefix) for prefix in prefixes))


def association(reply: Message, iaid: int = 1) -> IaPd:
    """Return the one IA_PD with this IAID."""
    [found] = [each for each in reply.every(IaPd) if each.iaid == iaid]
    return found


def lease(reply: Message, iaid: int = 1) -> IaPrefix:
    """Return the only prefix of an IA_PD, which has no status."""
    found = association(reply, iaid)
    assert found.status is None, found.status
    [prefix] = found.prefixes
    return prefix


def said(reply: Message) -> OnDemand:
    """Return our option of an answer."""
    found = OnDemand.of(reply)
    assert found is not None
    return found
