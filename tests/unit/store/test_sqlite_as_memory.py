"""Whatever one does with a SQLite store, it answers as a memory store does."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from ipaddress import IPv6Address, IPv6Network
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from moorage.service import ServiceType
from moorage.store.memory import MemoryStore
from moorage.store.model import Anchor, Binding, BindingState, Router
from moorage.store.protocol import (
    BindingStore,
    Change,
    Compacted,
    Conflict,
    Create,
    Delete,
    Event,
    Hold,
    Update,
)
from moorage.store.sqlite import SqliteStore

KEEP = 4
T = TypeVar("T")

# Few values, so that changes meet each other.
prefixes = st.sampled_from(
    [IPv6Network(f"2001:db8:0:{n}::/64") for n in range(3)] + [IPv6Network("2001:db8::1")]
)
clients = st.sampled_from([b"a", b"b"])
anchors = st.sampled_from(["ar1", "ar2"])
seqs = st.integers(1, 3)
times = st.floats(0, 2e9)
addresses = st.integers(0, 2**128 - 1).map(IPv6Address)
bindings = st.builds(
    Binding,
    prefix=prefixes,
    client=clients,
    iaid=st.sampled_from([0, 2**32 - 1]),
    type=st.sampled_from(ServiceType),
    anchor=anchors,
    serving=st.none() | anchors,
    link=st.none() | st.text(max_size=15),
    next_hop=st.none() | addresses,
    seq=seqs,
    key=st.none() | st.binary(min_size=32, max_size=32),
    last_time=st.integers(0, 2**63 - 1),
    state=st.sampled_from(BindingState),
    preferred_until=times,
    valid_until=times,
    reconfigurable=st.booleans(),
    mac=st.none() | st.binary(min_size=6, max_size=6),
    excluded=st.none() | st.integers(65, 128),
)
changes = st.one_of(
    st.builds(Create, bindings, st.none() | st.integers(0, 2)),
    bindings.map(lambda binding: Update(binding, binding.seq - 1)),
    st.builds(Delete, prefixes, seqs),
)
commits = st.lists(changes, max_size=3, unique_by=lambda change: change.prefix)
routers = st.builds(
    Router,
    id=anchors,
    address=addresses,
    down_sid=addresses,
    up_sid=addresses,
    lease=st.floats(60, 3600),  # does not end while this runs
)
anchor_records = st.builds(
    Anchor, id=anchors, pool=prefixes, holder=anchors, epoch=st.integers(1, 3)
)
holds = st.builds(
    lambda anchor, gone: Hold(anchor, anchor.epoch - 1, gone),
    anchor_records,
    st.none() | anchors,
)


async def outcome(done: Awaitable[T]) -> T | str:
    """What something returns, or what it conflicts about."""
    try:
        return await done
    except Conflict as conflict:
        return str(conflict)


async def events(store: BindingStore, after: int, last: int) -> list[Event] | None:
    """The events after a revision up to ``last``, which has one; None: no longer known."""
    found = []
    try:
        async with aclosing(store.watch(after)) as watch:
            async for event in watch:
                found.append(event)
                if event.revision == last:
                    break
    except Compacted:
        return None
    return found


class SqliteAsMemory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.memory = MemoryStore(KEEP)
        self.sqlite = SqliteStore.open(f"{self.directory.name}/bindings.db", KEEP)

    def teardown(self) -> None:
        self.runner.run(self.sqlite.close())
        self.runner.close()
        self.directory.cleanup()

    def same(self, ask: Callable[[BindingStore], Coroutine[Any, Any, T]]) -> T:
        """Ask both stores; they must say the same."""
        by_memory = self.runner.run(ask(self.memory))
        assert self.runner.run(ask(self.sqlite)) == by_memory
        return by_memory

    @rule(commit=commits)
    def commit(self, commit: list[Change]) -> None:
        self.same(lambda store: outcome(store.commit(commit)))

    @rule(router=routers, behind=st.integers(1, 2 * KEEP))
    def register_and_watch(self, router: Router, behind: int) -> None:
        last = self.same(lambda store: store.register(router))
        self.same(lambda store: events(store, last - behind, last))

    @rule(router=anchors)
    def keep_alive(self, router: str) -> None:
        self.same(lambda store: outcome(store.keep_alive(router)))

    @rule(hold=holds)
    def hold(self, hold: Hold) -> None:
        self.same(lambda store: outcome(store.hold(hold)))

    @rule(prefix=prefixes, client=clients)
    def read(self, prefix: IPv6Network, client: bytes) -> None:
        self.same(lambda store: store.get(prefix))
        self.same(lambda store: store.of_client(client))

    @invariant()
    def holds_the_same(self) -> None:
        self.same(lambda store: store.snapshot())


SqliteAsMemory.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestSqliteAsMemory = SqliteAsMemory.TestCase
