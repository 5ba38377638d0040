"""A fleet of hosts that hand off between routers' real cores, over any store, in one process.

Each router has a connection of its own to the store and follows it as the daemon does; there are no
links and no kernel. Hosts sign their messages and send them again while nobody answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from moorage.complaints import Complaints
from moorage.identity import Identity
from moorage.router.account import Account
from moorage.router.config import RouterConfig
from moorage.router.inbox import Arrival
from moorage.router.membership import Membership
from moorage.router.mirror import Mirror
from moorage.router.server import DelegationServer, Draft
from moorage.service import ServiceType
from moorage.store.model import Binding
from moorage.store.protocol import (
    BindingChanged,
    BindingGone,
    BindingStore,
    Change,
    Compacted,
    Delete,
    StoreError,
)
from moorage.wire.dhcp6 import (
    ClientId,
    IaPd,
    Message,
    MessageType,
    OnDemand,
    RapidCommit,
    Refusal,
    RefusalReason,
    ServiceTypeOf,
    Status,
    decode_message,
)
from tests.domain import ANY, ia

_FIRST_TIMEOUT = 1.0
_LAST_TIMEOUT = 4.0
"""Longer than a host's own: all of them share one processor, and would drown it in repetitions."""
_RETRY = 0.1


class Station:
    """A router without kernel and links: its server, and what it knows of the store."""

    def __init__(self, config: RouterConfig, store: BindingStore) -> None:
        self.config = config
        self.link = config.access[0]
        self.link_id = config.link_id(self.link)
        self.complaints = Complaints(logging.getLogger("fleet"))
        self.mirror = Mirror(config.hold)
        self.account = Account(config.id, self.mirror.holder, lambda _: None, time.time)
        self._store = store
        self._membership = Membership(config, store, self.mirror, self.complaints, lambda _: None)
        self.server = DelegationServer(
            config, store, self.mirror, self, self.complaints, self.account
        )
        self._tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve inside of the context."""
        await self._membership.join()
        revision = await self._list()
        self._tasks = [
            asyncio.ensure_future(self._follow(revision)),
            asyncio.ensure_future(self._membership.keep()),
        ]
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ask(self, arrival: Arrival) -> Message | None:
        """Return the answer to a datagram, if there is one."""
        found = self.server.draft(self.link, arrival)
        if isinstance(found, Draft):
            [found] = await self.server.settle([found])
        if found is None:
            return None
        message = decode_message(found)
        assert isinstance(message, Message)
        return message

    async def _list(self) -> int:
        snapshot = await self._store.snapshot()
        self.mirror.reset(snapshot, time.time())
        self.account.listed([known.binding for known in self.mirror.known()])
        return snapshot.revision

    async def _follow(self, revision: int) -> None:
        while True:
            with contextlib.suppress(StoreError, Compacted):
                async for event in self._store.watch(revision):
                    self.mirror.learn(event, time.time())
                return
            await asyncio.sleep(_RETRY)
            with contextlib.suppress(StoreError):
                revision = await self._list()

    def prepare(self, changes: Sequence[Change]) -> None:
        """There is no kernel to prepare."""

    def abandoned(self, changes: Sequence[Change]) -> None:
        """Nor is there to be repaired."""

    def committed(self, commits: Sequence[tuple[int, Sequence[Change]]]) -> None:
        """Know our own changes at once."""
        now = time.time()
        for revision, changes in commits:
            for change in changes:
                if isinstance(change, Delete):
                    self.mirror.learn(BindingGone(revision, change.prefix), now)
                else:
                    self.mirror.learn(BindingChanged(revision, change.binding), now)


@dataclass(frozen=True, slots=True)
class HandOff:
    """An acknowledged hand-off, or the first prefix: when it was asked for, and for how long."""

    started: float
    seconds: float
    attempts: int
    router: str


@dataclass
class Roamer:
    """A host with one Session-lasting prefix."""

    number: int
    stations: Sequence[Station]
    random: random.Random
    identity: Identity = field(default_factory=Identity.generate)
    prefix: IPv6Network | None = None
    done: list[HandOff] = field(default_factory=list)
    certain: bool = True
    """Whether the last hand-off that was asked for is acknowledged."""
    refused: int = 0
    """How often a router answered that it cannot do it now."""

    @property
    def source(self) -> IPv6Address:
        """Its link-local address."""
        return IPv6Address("fe80::1:0") + self.number

    async def roam(self, enough: Callable[[Roamer], bool], stay: float = 0.0) -> None:
        """Hand off from router to router until it is enough, and stay for some seconds at each."""
        await self._hand_off(self.random.choice(self.stations))
        while not enough(self):
            here = self.done[-1].router
            others = [station for station in self.stations if station.config.id != here]
            await asyncio.sleep(self.random.uniform(0, 2 * stay))
            await self._hand_off(self.random.choice(others))

    async def _hand_off(self, station: Station) -> None:
        """Have a router serve us; ask again until it does."""
        started = time.monotonic()
        timeout = _FIRST_TIMEOUT
        self.certain = False
        under_way: set[asyncio.Task[Message | None]] = set()
        for attempt in itertools.count(1):
            asked = asyncio.ensure_future(station.ask(self._arrival(station)))
            under_way.add(asked)
            until = time.monotonic() + timeout
            while under_way and (left := until - time.monotonic()) > 0:
                answered, under_way = await asyncio.wait(
                    under_way, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                if any(self._takes(task.result()) for task in answered):
                    now = time.monotonic()
                    hand_off = HandOff(started, now - started, attempt, station.config.id)
                    self.done.append(hand_off)
                    self.certain = True
                    return
            await asyncio.sleep(until - time.monotonic())
            timeout = min(2 * timeout, _LAST_TIMEOUT)

    def _arrival(self, station: Station) -> Arrival:
        kind = MessageType.SOLICIT if self.prefix is None else MessageType.REBIND
        types = OnDemand((ServiceTypeOf(1, ServiceType.SESSION_LASTING),)).to_option()
        rapid = [RapidCommit()] if self.prefix is None else []
        message = Message(
            kind,
            self.random.getrandbits(24),
            (ClientId(self.identity.duid), *rapid, ia(1, self.prefix or ANY), types),
        )
        now = time.time_ns() // 1000
        return Arrival(self.identity.sign(message, self.source, now, station.link_id), self.source)

    def _takes(self, reply: Message | None) -> bool:
        """Take what a router granted, if it did."""
        if reply is None:
            return False
        [found] = reply.every(IaPd)
        if found.status is not None and found.status.code is not Status.SUCCESS:
            on_demand = OnDemand.of(reply)
            assert on_demand is not None
            assert on_demand.for_iaid(Refusal, 1) == Refusal(1, RefusalReason.TRY_LATER)
            self.refused += 1
            return False
        [lease] = [prefix for prefix in found.prefixes if prefix.valid]
        if self.prefix not in (None, lease.prefix):
            raise AssertionError(f"host {self.number} had {self.prefix} and got {lease.prefix}")
        self.prefix = lease.prefix
        return True


def disagreements(roamers: Sequence[Roamer], bindings: Sequence[Binding]) -> list[str]:
    """Return what the hosts were told and the store does not say: nothing, if all is well."""
    by_prefix = {binding.prefix: binding for binding in bindings}
    found = []
    held = [roamer.prefix for roamer in roamers if roamer.prefix is not None]
    if len(set(held)) != len(held):
        found.append("two hosts have one prefix")
    for roamer in roamers:
        if roamer.prefix is None:
            continue
        binding = by_prefix.get(roamer.prefix)
        if binding is None or binding.client != roamer.identity.duid or not binding.held:
            found.append(f"host {roamer.number}: {roamer.prefix} is not bound to it")
        elif roamer.certain and binding.serving != roamer.done[-1].router:
            found.append(
                f"host {roamer.number}: served by {binding.serving},"
                f" but {roamer.done[-1].router} answered last"
            )
    owners = [(binding.client, binding.iaid) for binding in bindings if binding.held]
    if len(set(owners)) != len(owners):
        found.append("a host is bound twice")
    return found
