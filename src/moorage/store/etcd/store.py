"""A binding store on an etcd cluster."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import aclosing, contextmanager, suppress
from ipaddress import IPv6Network
from math import ceil
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from aetcd import rpc

from moorage import config as configuration
from moorage.config import ConfigError
from moorage.store.etcd.config import EtcdConfig
from moorage.store.etcd.connection import Connection, RevisionGone
from moorage.store.etcd.layout import Layout, pack_anchor, pack_prefix
from moorage.store.etcd.methods import grant, keep, read, transact
from moorage.store.etcd.plan import Commit, KeyValue, holding, registration
from moorage.store.etcd.strides import Strides
from moorage.store.etcd.survey import survey
from moorage.store.etcd.watch import follow
from moorage.store.model import Anchor, Binding, Router
from moorage.store.protocol import (
    BindingChanged,
    Change,
    Conflict,
    Delete,
    Event,
    Fenced,
    Hold,
    LeaseEnded,
    Snapshot,
    StoreError,
    distinct,
)
from moorage.store.rows import RowError

_PAGE: Final = 500
"""Keys that are read at once: bounds how long that holds the event loop, and etcd's memory."""

_MOST_READS: Final = 100
"""Reads in one transaction; etcd takes 128 unless it is told otherwise."""

_DOUBT: Final = "a commit was cut off, and what is stored does not say whether it was carried out"

T = TypeVar("T")


class EtcdStore:
    """A `BindingStore` on an etcd cluster, shared by any number of machines.

    A commit is one transaction of etcd, and durable on a majority of the members when it returns.
    """

    def __init__(self, name: str, config: EtcdConfig) -> None:
        """Connect to nobody yet; ``name`` stands for the store in errors."""
        self._connection = Connection(name, config)
        self._layout = Layout(config.prefix.encode())

    @classmethod
    def open(cls, path: str) -> Self:
        """Use the cluster that the file at ``path`` describes; the first call will connect.

        Raises:
            StoreError: the file cannot be used.
        """
        try:
            return cls(f"etcd:{path}", configuration.load(Path(path), EtcdConfig))
        except ConfigError as error:
            raise StoreError(str(error)) from None

    async def get(self, prefix: IPv6Network) -> Binding | None:
        """Return the binding of exactly this prefix, released or not."""
        found = self._bindings((await self._range(self._layout.binding(prefix))).kvs)
        return found[0] if found else None

    async def of_client(self, client: bytes) -> list[Binding]:
        """Return the bindings of a DUID by prefix, released ones among them."""
        return await self._of_one_revision(lambda: self._of_client(client))

    async def _of_client(self, client: bytes) -> list[Binding]:
        revision = await self._revision()
        places: list[bytes] = []
        async for entries in self._pages(self._layout.client(client), revision):
            places += [entry.value for entry in entries]
        keys = sorted(self._layout.bindings + place for place in places)
        found: list[Binding] = []
        for start in range(0, len(keys), _MOST_READS):
            reads = [
                rpc.RequestOp(request_range=rpc.RangeRequest(key=key, revision=revision))
                for key in keys[start : start + _MOST_READS]
            ]
            answer = await self._connection.call(transact, rpc.TxnRequest(success=reads))
            found += self._bindings(
                kv for read in answer.message.responses for kv in read.response_range.kvs
            )
        return found

    async def commit(self, changes: Sequence[Change]) -> int:
        """Do all of ``changes`` in their order, or none, and return the revision."""
        if not distinct(changes):
            return await self._revision()
        commit = Commit(self._layout, distinct(changes))
        transaction, doubtful = commit.likely(), False
        while True:
            answer = await self._connection.call(transact, transaction)
            if answer.message.succeeded:
                return int(answer.message.header.revision)
            doubtful |= answer.doubtful
            with self._damage():
                if doubtful and (done := commit.revision_if_done(answer.message)):
                    return done
                try:
                    transaction = commit.exact(answer.message)
                except Conflict as conflict:
                    if doubtful:
                        raise StoreError(f"{self._connection.name}: {_DOUBT}") from conflict
                    raise

    async def commit_each(self, commits: Sequence[Sequence[Change]]) -> list[int | Conflict]:
        """Do each of the commits, or not; return revisions and conflicts.

        All are under way at once, but for those that are about the same prefix or client.
        """
        checked = [distinct(changes) for changes in commits]
        last: dict[IPv6Network | bytes, asyncio.Task[int]] = {}
        tasks: list[asyncio.Task[int]] = []
        for changes in checked:
            subjects = {subject for change in changes for subject in _subjects(change)}
            before = {last[subject] for subject in subjects if subject in last}
            tasks.append(asyncio.ensure_future(self._commit_after(before, changes)))
            last |= dict.fromkeys(subjects, tasks[-1])
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        done: list[int | Conflict] = []
        for outcome in outcomes:
            if not isinstance(outcome, int | Conflict):
                raise outcome
            done.append(outcome)
        return done

    async def _commit_after(
        self, before: Collection[asyncio.Task[int]], changes: Sequence[Change]
    ) -> int:
        if before:
            await asyncio.wait(before)
        return await self.commit(changes)

    async def register(self, router: Router) -> int:
        """Add a router or replace what is known of it, and return the revision."""
        wanted = rpc.LeaseGrantRequest(TTL=ceil(router.lease))
        lease = (await self._connection.call(grant, wanted)).message.ID
        request = registration(self._layout, router, lease)
        return int((await self._connection.call(transact, request)).message.header.revision)

    async def keep_alive(self, router: str) -> None:
        """Let the lease of a router begin anew."""
        for kv in (await self._range(self._layout.presence(router))).kvs:
            answer = await self._connection.call(keep, rpc.LeaseKeepAliveRequest(ID=kv.lease))
            if answer.message.TTL > 0:
                return
        raise LeaseEnded(router)

    async def hold(self, hold: Hold) -> int:
        """Say who holds a pool from now on, and return the revision."""
        answer = await self._connection.call(transact, holding(self._layout, hold))
        if answer.message.succeeded:
            return int(answer.message.header.revision)
        for kv in answer.message.responses[0].response_range.kvs:
            if answer.doubtful and kv.value == pack_anchor(hold.anchor):
                return int(kv.mod_revision)
        raise Fenced(hold.anchor.id)

    async def snapshot(self) -> Snapshot:
        """Return everything, as of one revision."""
        return await self._of_one_revision(self._snapshot)

    async def _snapshot(self) -> Snapshot:
        revision = await self._revision()
        bindings: list[Binding] = []
        async for kvs in self._pages(self._layout.bindings, revision):
            bindings += self._bindings(kvs)
        routers: list[Router] = []
        async for kvs in self._pages(self._layout.routers, revision):
            with self._damage():
                routers += [self._layout.router_of(kv.key, kv.value) for kv in kvs]
        present: list[str] = []
        async for kvs in self._pages(self._layout.present, revision):
            present += [self._layout.present_of(kv.key) for kv in kvs]
        anchors: list[Anchor] = []
        async for kvs in self._pages(self._layout.anchors, revision):
            with self._damage():
                anchors += [self._layout.anchor_of(kv.key, kv.value) for kv in kvs]
        return Snapshot(
            revision, tuple(bindings), tuple(routers), frozenset(present), tuple(anchors)
        )

    async def watch(self, after: int) -> AsyncGenerator[Event, None]:
        """Yield every event with a revision above ``after``, in order, as it happens."""
        self._connection.check_open()
        async with aclosing(follow(self._connection, self._layout.state, after)) as changes:
            async for revision, key, value in changes:
                with self._damage():
                    event = self._layout.event_of(revision, key, value)
                if event is not None:
                    yield event

    async def describe(self) -> dict[str, str | int]:
        """Return what an operator may want to know of the cluster, after a check of its content."""
        keys = await self._of_one_revision(self._check)
        return {"keys": keys, **await survey(self._connection)}

    async def _check(self) -> int:
        """Check that what is stored can be read and fits together; return how many keys that is."""
        revision = await self._revision()
        expected: dict[bytes, bytes] = {}
        keys = 0
        async for kvs in self._pages(self._layout.state, revision):
            keys += len(kvs)
            with self._damage():
                for kv in kvs:
                    match self._layout.event_of(revision, kv.key, kv.value):
                        case BindingChanged(_, binding):
                            expected[self._layout.entry(binding)] = pack_prefix(binding.prefix)
        keys += len(expected)
        async for kvs in self._pages(self._layout.index, revision):
            for kv in kvs:
                if expected.pop(kv.key, None) != kv.value:
                    raise StoreError(f"{self._connection.name}: damaged: {kv.key!r} is wrong")
        for key in expected:
            raise StoreError(f"{self._connection.name}: damaged: {key!r} is missing")
        return keys

    async def close(self) -> None:
        """Wait for the calls under way, end the watches, let go of the cluster."""
        await self._connection.close()

    async def _range(self, key: bytes, **how: Any) -> Any:
        return (await self._connection.call(read, rpc.RangeRequest(key=key, **how))).message

    async def _revision(self) -> int:
        """Return the newest revision."""
        return int((await self._range(self._layout.root, count_only=True)).header.revision)

    async def _pages(self, start: bytes, revision: int) -> AsyncIterator[Sequence[KeyValue]]:
        """Yield what was at the keys that begin with ``start``, as of a revision.

        Raises:
            RevisionGone: the revision was compacted.
        """
        strides = Strides(start, _PAGE)
        while (bounds := strides.page()) is not None:
            first, end = bounds
            page = await self._range(first, range_end=end, limit=_PAGE, revision=revision)
            strides.took([kv.key for kv in page.kvs], page.more)
            yield page.kvs

    async def _of_one_revision(self, reading: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what is read in several calls; again, if its revision is compacted meanwhile."""
        while True:
            with suppress(RevisionGone):
                return await reading()

    def _bindings(self, kvs: Iterable[KeyValue]) -> list[Binding]:
        with self._damage():
            return [self._layout.binding_of(kv.key, kv.value) for kv in kvs]

    @contextmanager
    def _damage(self) -> Iterator[None]:
        """Turn what no store writes into a `StoreError` that names the cluster."""
        try:
            yield
        except RowError as error:
            raise StoreError(f"{self._connection.name}: {error}") from error


def _subjects(change: Change) -> tuple[IPv6Network | bytes, ...]:
    """Return what must not be changed by two commits at a time, if their order is to hold."""
    if isinstance(change, Delete):
        return (change.prefix,)
    return change.prefix, change.binding.client
