"""A binding store in one SQLite file, shared by the processes of one machine."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from ipaddress import IPv6Network
from typing import Final, Self

from moorage.store.model import Binding, Router
from moorage.store.notify import Doorbell
from moorage.store.protocol import Change, Compacted, Event, Snapshot, StoreError, distinct
from moorage.store.schema import (
    Row,
    binding_of,
    connect,
    event_of,
    prefix_row,
    router_of,
    store_errors,
)
from moorage.store.writer import Write, Writer

_WATCH_WINDOW: Final = 256
"""Revisions that a watcher reads at once: bounds how long it holds the event loop."""


class SqliteStore:
    """A `BindingStore` in a file: write-ahead log, a commit is on the disk when it returns.

    Reads happen at once on the event loop's own connection (tens of microseconds); writes are
    grouped in a thread. Any number of processes may open the file; each hears of the others'
    changes by inotify, so the file system must be local.
    """

    def __init__(self, path: str, writer: Writer, reader: sqlite3.Connection) -> None:
        """Use what `open` has opened."""
        self._path = path
        self._writer = writer
        self._reader = reader
        self._doorbells: set[Doorbell] = set()
        self._closed = False

    @classmethod
    def open(cls, path: str, keep: int = 10_000) -> Self:
        """Open the file, made if it is not there; its log keeps the last ``keep`` revisions.

        Raises:
            StoreError: it cannot be opened, or is not a binding store of this version.
        """
        path = os.path.realpath(path)
        reader = connect(path)
        try:
            return cls(path, Writer(path, keep), reader)
        except StoreError:
            reader.close()
            raise

    async def get(self, prefix: IPv6Network) -> Binding | None:
        """Return the binding of exactly this prefix, released or not."""
        rows = self._read(
            "SELECT * FROM binding WHERE prefix = ? AND length = ?", prefix_row(prefix)
        )
        return binding_of(rows[0]) if rows else None

    async def of_client(self, client: bytes) -> list[Binding]:
        """Return the bindings of a DUID by prefix, released ones among them."""
        rows = self._read(
            "SELECT * FROM binding WHERE client = ? ORDER BY prefix, length", (client,)
        )
        return [binding_of(row) for row in rows]

    async def count(self, anchor: str) -> int:
        """Return how many prefixes of a router's pool are taken, released ones among them."""
        ((count,),) = self._read("SELECT count(*) FROM binding WHERE anchor = ?", (anchor,))
        return int(count)

    async def commit(self, changes: Sequence[Change]) -> int:
        """Do all of ``changes`` in their order, or none, and return the revision."""
        if not distinct(changes):
            return self._revision()
        return await self._write(tuple(changes))

    async def register(self, router: Router) -> int:
        """Add a router or replace what is known of it, and return the revision."""
        return await self._write((router,))

    async def snapshot(self) -> Snapshot:
        """Return everything, as of one revision."""
        self._read("BEGIN")
        try:
            return Snapshot(
                revision=self._revision(),
                bindings=tuple(
                    binding_of(row)
                    for row in self._read("SELECT * FROM binding ORDER BY prefix, length")
                ),
                routers=tuple(
                    router_of(row) for row in self._read("SELECT * FROM router ORDER BY id")
                ),
            )
        finally:
            self._read("ROLLBACK")

    async def watch(self, after: int) -> AsyncGenerator[Event, None]:
        """Yield every event with a revision above ``after``, in order, as it happens."""
        self._check_open()
        with store_errors(self._path):
            doorbell = Doorbell(self._path, f"{self._path}-wal")
        self._doorbells.add(doorbell)
        try:
            while not self._closed:
                events = self._events(after)
                for event in events:
                    yield event
                if events:
                    after = events[-1].revision
                else:
                    await doorbell.wait()
        finally:
            self._doorbells.discard(doorbell)
            doorbell.close()

    async def close(self) -> None:
        """Finish the commits under way, end the watches, close the file."""
        self._closed = True
        for doorbell in self._doorbells:
            doorbell.ring()
        self._reader.close()
        await asyncio.to_thread(self._writer.close)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self._path}: the store is closed")

    def _read(self, statement: str, parameters: Row = ()) -> list[Row]:
        self._check_open()
        with store_errors(self._path):
            return self._reader.execute(statement, parameters).fetchall()

    def _revision(self) -> int:
        ((revision,),) = self._read("SELECT max(revision) FROM change")
        return int(revision)

    def _events(self, after: int) -> list[Event]:
        """Return the next events after a revision, those of whole commits."""
        rows = self._read(
            "SELECT revision, kind, row FROM change WHERE revision BETWEEN ? AND ?"
            " ORDER BY revision, part",
            (after, after + _WATCH_WINDOW),
        )
        # The log has no gaps: if the revision itself is gone, so may be some that followed it.
        if not rows or rows[0][0] != after:
            raise Compacted(after)
        return [event_of(row) for row in rows if row[0] > after]

    async def _write(self, writes: tuple[Write, ...]) -> int:
        self._check_open()
        return await asyncio.wrap_future(self._writer.submit(writes))
