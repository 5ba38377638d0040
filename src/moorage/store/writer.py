"""The one thread that writes to a SQLite file: many commits, one transaction, one fsync."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

import msgspec

from moorage.store.model import Router
from moorage.store.notify import ring
from moorage.store.protocol import Change, Conflict, Create, Delete, StoreError, Update
from moorage.store.rows import Row, binding_row, prefix_row, router_row
from moorage.store.schema import connect, version_of

Write = Change | Router
"""What one commit is made of: changes of bindings, or a router to register."""

_GROUP_SIZE: Final = 256

_INSERT_BINDING: Final = f"INSERT INTO binding VALUES ({', '.join(16 * '?')})"
_UPDATE_BINDING: Final = """
    UPDATE binding SET client = ?, iaid = ?, type = ?, anchor = ?, serving = ?, link = ?,
        next_hop = ?, seq = ?, key = ?, last_time = ?, state = ?, preferred_until = ?,
        valid_until = ?, reconfigurable = ?
    WHERE prefix = ? AND length = ? AND seq = ?"""
_DELETE_BINDING: Final = "DELETE FROM binding WHERE prefix = ? AND length = ? AND seq = ?"
_REPLACE_ROUTER: Final = f"INSERT OR REPLACE INTO router VALUES ({', '.join(7 * '?')})"
_INSERT_CHANGE: Final = "INSERT INTO change VALUES (?, ?, ?, ?)"
_NAME_TAKEN: Final = ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE")


@dataclass(frozen=True, slots=True)
class _Job:
    writes: tuple[Write, ...]
    revision: asyncio.Future[int]


class Writer:
    """Writes what is submitted, in order, and tells each submitter once it is on the disk.

    Whatever waits when a transaction begins shares it; a commit that conflicts leaves the others
    alone. All who submit share one event loop, which is woken once for all of them. A transaction
    that fails (disk full, file locked for too long) fails its commits, and the next one is tried
    afresh.
    """

    def __init__(self, path: str, keep: int) -> None:
        """Open the file and start the thread; the log keeps the last ``keep`` revisions.

        Raises:
            StoreError: see `moorage.store.schema.connect`.
        """
        self._path = path
        self._keep = keep
        self._connection = connect(path)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"writer of {path}", daemon=True)
        self._thread.start()

    def submit(self, writes: tuple[Write, ...]) -> asyncio.Future[int]:
        """Queue one commit; the result is its revision, or a `Conflict` or `StoreError`.

        Needs a running event loop.
        """
        job = _Job(writes, asyncio.get_running_loop().create_future())
        self._jobs.put(job)
        return job.revision

    def close(self) -> None:
        """Finish what was submitted and end the thread; blocks meanwhile."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            self._write(group)
        self._connection.close()

    def _next_group(self) -> list[_Job]:
        """Wait for a job and return it with all that wait behind it; empty: close."""
        group: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            group.append(job)
            if len(group) == _GROUP_SIZE or self._jobs.empty():
                return group
            job = self._jobs.get()
        if group:
            self._jobs.put(None)  # write these first
        return group

    def _write(self, group: list[_Job]) -> None:
        wanted = [job for job in group if not job.revision.cancelled()]
        outcomes: list[int | Conflict | StoreError]
        try:
            outcomes = [*self._transact(wanted)]
        except Exception as error:  # the thread must outlive whatever a commit meets
            with suppress(sqlite3.Error):
                self._connection.rollback()
            if not isinstance(error, StoreError):
                error = StoreError(f"{self._path}: {error}")
            outcomes = [error for _ in wanted]
        else:
            with suppress(OSError):  # without the bell others find the write a little later
                ring(self._path)
        loop = group[0].revision.get_loop()
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(_settle, wanted, outcomes)

    def _transact(self, group: list[_Job]) -> list[int | Conflict]:
        """Do all jobs in one transaction and return each one's revision or conflict."""
        execute = self._connection.execute
        outcomes: list[int | Conflict] = []
        execute("BEGIN IMMEDIATE")
        version_of(self._connection, self._path)  # a later program may have changed the tables
        (revision,) = execute("SELECT max(revision) FROM change").fetchone()
        for job in group:
            try:
                self._do(job.writes, revision + 1)
            except Conflict as conflict:
                outcomes.append(conflict)
            else:
                revision += 1
                outcomes.append(revision)
        execute("DELETE FROM change WHERE revision < ?", (revision - self._keep,))
        execute("COMMIT")
        return outcomes

    def _do(self, writes: tuple[Write, ...], revision: int) -> None:
        """Do all writes of a commit or, if there is a Conflict, none."""
        if len(writes) == 1:  # the usual case; a conflict has done nothing
            self._apply(writes[0], revision, 0)
            return
        execute = self._connection.execute
        execute("SAVEPOINT job")
        try:
            for part, write in enumerate(writes):
                self._apply(write, revision, part)
        except Conflict:
            execute("ROLLBACK TO job")
            execute("RELEASE job")
            raise
        execute("RELEASE job")

    def _apply(self, write: Write, revision: int, part: int) -> None:
        match write:
            case Create(binding):
                kind, row = "binding", binding_row(binding)
                self._swap(write, _INSERT_BINDING, row)
            case Update(binding, expected_seq):
                kind, row = "binding", binding_row(binding)
                self._swap(write, _UPDATE_BINDING, (*row[2:], *row[:2], expected_seq))
            case Delete(prefix, expected_seq):
                kind, row = "gone", prefix_row(prefix)
                self._swap(write, _DELETE_BINDING, (*row, expected_seq))
            case Router():
                kind, row = "router", router_row(write)
                self._connection.execute(_REPLACE_ROUTER, row)
        record = (revision, part, kind, msgspec.msgpack.encode(row))
        self._connection.execute(_INSERT_CHANGE, record)

    def _swap(self, change: Change, statement: str, row: Row) -> None:
        """Run a statement that changes one row if the change's premise holds."""
        try:
            changed = self._connection.execute(statement, row).rowcount
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorname in _NAME_TAKEN:
                raise Conflict(change.prefix) from None
            raise
        if changed == 0:
            raise Conflict(change.prefix)


def _settle(jobs: list[_Job], outcomes: list[int | Conflict | StoreError]) -> None:
    """Tell those who still wait how their commits ended."""
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.revision.done():
            continue
        if isinstance(outcome, int):
            job.revision.set_result(outcome)
        else:
            job.revision.set_exception(outcome)
