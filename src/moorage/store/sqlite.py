"""A binding store in one SQLite file, shared by the processes of one machine."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from ipaddress import IPv6Network
from math import inf
from time import monotonic
from typing import Any, Final, Self, TypeVar

from moorage.store.model import Binding, Router
from moorage.store.notify import Doorbell
from moorage.store.protocol import (
    BindingChanged,
    BindingGone,
    Change,
    Compacted,
    Conflict,
    Delete,
    Event,
    Hold,
    Snapshot,
    StoreError,
    distinct,
)
from moorage.store.rows import Row, anchor_of, binding_of, event_of, prefix_row, router_of
from moorage.store.schema import connect, store_errors, version_of
from moorage.store.transaction import Extension, Lapse, Registration, Write
from moorage.store.writer import Writer

_WINDOW: Final = 256
"""Rows that are read at once: bounds how long that holds the event loop."""

_LAST_REVISION: Final = "SELECT max(revision) FROM change"

T = TypeVar("T")

_Place = tuple[int, int]
"""Revision and part: where an event stands in the log."""


class SqliteStore:
    """A `BindingStore` in a file: write-ahead log, a commit is on the disk when it returns.

    Reads happen at once on the event loop's own connection (tens of microseconds); writes are
    grouped in a thread. Any number of processes may open the file; each hears of the others'
    changes by inotify, so the file system must be local.
    """

    def __init__(self, path: str, keep: int, reader: sqlite3.Connection) -> None:
        """Use the connection that `open` has opened, and open another one for writing."""
        self._path = path
        self._keep = keep
        self._writer = Writer(path, keep, self._ring)
        self._reader = reader
        self._doorbells: set[Doorbell] = set()
        self._own: dict[int, Sequence[Change]] = {}
        self._closed = False

    @classmethod
    def open(cls, path: str, keep: int = 10_000, *, create: bool = True) -> Self:
        """Open the file; its log keeps the last ``keep`` revisions.

        A file that is not there is made, unless ``create`` is unset.

        Raises:
            StoreError: it cannot be opened, or is not a binding store of this version.
        """
        path = os.path.realpath(path)
        if not create and not os.path.exists(path):
            raise StoreError(f"{path}: no such file")
        reader = connect(path)
        try:
            return cls(path, keep, reader)
        except StoreError:
            reader.close()
            raise

    async def get(self, prefix: IPv6Network) -> Binding | None:
        """Return the binding of exactly this prefix, released or not."""
        found = self._read(
            binding_of,
            "SELECT * FROM binding WHERE prefix = ? AND length = ?",
            prefix_row(prefix),
        )
        return found[0] if found else None

    async def of_client(self, client: bytes) -> list[Binding]:
        """Return the bindings of a DUID by prefix, released ones among them."""
        return self._read(
            binding_of, "SELECT * FROM binding WHERE client = ? ORDER BY prefix, length", (client,)
        )

    async def commit(self, changes: Sequence[Change]) -> int:
        """Do all of ``changes`` in their order, or none, and return the revision."""
        if not changes:
            (revision,) = self._read(_value, _LAST_REVISION)
            return int(revision)
        [outcome] = await self.commit_each([changes])
        return _revision(outcome)

    async def commit_each(self, commits: Sequence[Sequence[Change]]) -> list[int | Conflict]:
        """Do each of the commits, or not; return revisions and conflicts."""
        self._check_open()
        wanted = [distinct(changes) for changes in commits]
        outcomes = await self._writer.submit(wanted)
        if self._doorbells:
            # To read them again costs as much as to make them; but no watch sees more than the log.
            if len(self._own) >= self._keep:
                self._own.clear()
            for changes, outcome in zip(wanted, outcomes, strict=True):
                if not isinstance(outcome, Conflict):
                    self._own[outcome] = changes
        return outcomes

    async def register(self, router: Router) -> int:
        """Add a router or replace what is known of it, and return the revision."""
        return await self._write((Registration(router, monotonic() + router.lease),))

    async def keep_alive(self, router: str) -> None:
        """Let the lease of a router begin anew."""
        await self._write((Extension(router, monotonic()),))

    async def hold(self, hold: Hold) -> int:
        """Say who holds a pool from now on, and return the revision."""
        return await self._write((hold,))

    async def snapshot(self) -> Snapshot:
        """Return everything, as of one revision."""
        self._check_open()
        with store_errors(self._path), closing(connect(self._path)) as reader:
            reader.execute("BEGIN")
            (revision,) = reader.execute(_LAST_REVISION).fetchone()
            routers = reader.execute("SELECT * FROM router ORDER BY id").fetchall()
            anchors = reader.execute("SELECT * FROM anchor ORDER BY id")
            snapshot = Snapshot(
                revision,
                routers=tuple([router_of(columns) for *columns, _ in routers]),
                present=frozenset([name for name, *_, end in routers if end is not None]),
                anchors=tuple(map(anchor_of, anchors)),
            )
            bindings: list[Binding] = []
            cursor = reader.execute("SELECT * FROM binding ORDER BY prefix, length")
            while rows := cursor.fetchmany(_WINDOW):
                bindings.extend(map(binding_of, rows))
                await asyncio.sleep(0)
                self._check_open()
        return replace(snapshot, bindings=tuple(bindings))

    async def watch(self, after: int) -> AsyncGenerator[Event, None]:
        """Yield every event with a revision above ``after``, in order, as it happens."""
        (part,) = self._read(_value, "SELECT max(part) FROM change WHERE revision = ?", (after,))
        if part is None:
            raise Compacted(after)
        seen, whole = (after, part), True
        with store_errors(self._path):
            doorbell = Doorbell(self._path, f"{self._path}-wal")
        self._doorbells.add(doorbell)
        try:
            while not self._closed:
                logged = self._echoed(seen[0]) if whole else []
                if not logged:
                    logged = self._logged(seen)
                    whole = len(logged) < _WINDOW
                for place, event in logged:
                    yield event
                    seen = place
                if logged:
                    await asyncio.sleep(0)
                elif soonest := await self._end_leases():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(soonest):
                            await doorbell.wait()
        finally:
            self._doorbells.discard(doorbell)
            doorbell.close()

    async def describe(self) -> dict[str, str | int]:
        """Return what an operator may want to know of the file, after a check of its content."""
        self._check_open()
        return await asyncio.to_thread(self._describe)

    def _describe(self) -> dict[str, str | int]:
        with store_errors(self._path), closing(connect(self._path)) as reader:
            ((verdict, *_), *_) = reader.execute("PRAGMA integrity_check(1)")
            if verdict != "ok":
                raise StoreError(f"{self._path}: damaged: {verdict}")
            return {
                "file": self._path,
                "schema version": version_of(reader, self._path),
                "file size": os.path.getsize(self._path),
                "journal size": os.path.getsize(f"{self._path}-wal"),
            }

    async def close(self) -> None:
        """Finish the commits under way, end the watches, close the file."""
        self._closed = True
        self._ring()
        self._reader.close()
        await asyncio.to_thread(self._writer.close)

    def _ring(self) -> None:
        """Wake the watches."""
        for doorbell in self._doorbells:
            doorbell.ring()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self._path}: the store is closed")

    def _read(self, decode: Callable[[Row], T], statement: str, parameters: Row = ()) -> list[T]:
        """Return what the rows that a statement finds stand for."""
        self._check_open()
        with store_errors(self._path):
            return [decode(row) for row in self._reader.execute(statement, parameters)]

    def _echoed(self, revision: int) -> list[tuple[_Place, Event]]:
        """Return the events after a revision, as long as they are of our own commits."""
        found: list[tuple[_Place, Event]] = []
        while self._own and next(iter(self._own)) <= revision:
            del self._own[next(iter(self._own))]
        for following in range(revision + 1, revision + 1 + len(self._own)):
            if following not in self._own:
                break
            for part, change in enumerate(self._own[following]):
                found.append(((following, part), _event(following, change)))
        return found

    def _logged(self, seen: _Place) -> list[tuple[_Place, Event]]:
        """Return the next events after one of the log, each with its place.

        Those of our own commits come after their submitters were told, who know what to make of
        many at once.
        """
        logged = self._read(
            _event_at,
            "SELECT * FROM change WHERE (revision, part) > (?, ?) AND revision < ?"
            " ORDER BY revision, part LIMIT ?",
            (*seen, self._writer.first_untold, _WINDOW),
        )
        # The log has no gaps and loses its oldest rows first: what is seen went before what is not.
        if not self._read(_value, "SELECT 1 FROM change WHERE (revision, part) = (?, ?)", seen):
            raise Compacted(seen[0])
        return logged

    async def _end_leases(self) -> float | None:
        """End the leases that are over; if there are none, return the seconds until one may be."""
        leases = self._read(
            tuple, "SELECT id, lease_end, lease FROM router WHERE lease_end IS NOT NULL"
        )
        now = monotonic()
        # The clock began anew with the machine: what ends too late is of before that.
        over = [(Lapse(name, end),) for name, end, lease in leases if not now < end <= now + lease]
        if not over:
            return min((end for _, end, _ in leases), default=inf) - now
        await self._writer.submit(tuple(over))
        return None

    async def _write(self, writes: tuple[Write, ...]) -> int:
        self._check_open()
        [outcome] = await self._writer.submit((writes,))
        return _revision(outcome)


def _revision(outcome: int | Conflict) -> int:
    if isinstance(outcome, Conflict):
        raise outcome
    return outcome


def _event(revision: int, change: Change) -> Event:
    """Return the event that a change becomes."""
    if isinstance(change, Delete):
        return BindingGone(revision, change.prefix)
    return BindingChanged(revision, change.binding)


def _value(row: Row) -> Any:
    """Return the only column of a row."""
    return row[0]


def _event_at(row: Row) -> tuple[_Place, Event]:
    return row[:2], event_of(row)
