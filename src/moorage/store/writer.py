"""The one thread that writes to a SQLite file: many commits, one transaction, one fsync."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import Final

from moorage.store.notify import ring
from moorage.store.protocol import Conflict, StoreError
from moorage.store.schema import connect, version_of
from moorage.store.transaction import Transaction, Write

_GROUP_SIZE: Final = 256
_NO_REVISION: Final = (1 << 63) - 1
"""Higher than any: the highest number that SQLite has."""


@dataclass(frozen=True, slots=True)
class _Job:
    commits: Sequence[Sequence[Write]]
    outcomes: asyncio.Future[list[int | Conflict]]


class Writer:
    """Writes what is submitted, in order, and tells each submitter once it is on the disk.

    Whatever waits when a transaction begins shares it; a commit that conflicts leaves the others
    alone. All who submit share one event loop, which is woken once for all of them. A transaction
    that fails (disk full, file locked for too long) fails its commits, and the next one is tried
    afresh.
    """

    def __init__(self, path: str, keep: int, settled: Callable[[], None]) -> None:
        """Open the file and start the thread; the log keeps the last ``keep`` revisions.

        ``settled`` is called on the event loop whenever submitters have gone on.

        Raises:
            StoreError: see `moorage.store.schema.connect`.
        """
        self._path = path
        self._keep = keep
        self._settled = settled
        self._untold: deque[int] = deque()
        self._connection = connect(path)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"writer of {path}", daemon=True)
        self._thread.start()

    def submit(self, commits: Sequence[Sequence[Write]]) -> asyncio.Future[list[int | Conflict]]:
        """Queue commits; the result is the revision or conflict of each, or a `StoreError`.

        Needs a running event loop.
        """
        job = _Job(commits, asyncio.get_running_loop().create_future())
        self._jobs.put(job)
        return job.outcomes

    @property
    def first_untold(self) -> int:
        """The first revision whose submitter has not gone on yet; without one, higher than all."""
        return self._untold[0] if self._untold else _NO_REVISION

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
        wanted = [job for job in group if not job.outcomes.cancelled()]
        outcomes: list[list[int | Conflict]] | StoreError
        try:
            outcomes = self._transact(wanted)
        except Exception as error:  # the thread must outlive whatever a commit meets
            with suppress(sqlite3.Error):
                self._connection.rollback()
            if not isinstance(error, StoreError):
                error = StoreError(f"{self._path}: {error}")
            outcomes = error
        else:
            with suppress(OSError):  # without the bell others find the write a little later
                ring(self._path)
        loop = group[0].outcomes.get_loop()
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(self._settle, wanted, outcomes)

    def _transact(self, group: list[_Job]) -> list[list[int | Conflict]]:
        """Do all jobs in one transaction and return each one's revisions and conflicts."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        version_of(self._connection, self._path)  # a later program may have changed the tables
        (revision,) = execute("SELECT max(revision) FROM change").fetchone()
        self._untold.append(revision + 1)
        try:
            transaction = Transaction(self._connection, revision)
            done = iter(transaction.do(commit for job in group for commit in job.commits))
            transaction.log(self._keep)
            execute("COMMIT")
        except BaseException:
            self._untold.pop()
            raise
        return [[*islice(done, len(job.commits))] for job in group]

    def _settle(self, jobs: list[_Job], outcomes: list[list[int | Conflict]] | StoreError) -> None:
        """Tell those who still wait how their commits ended."""
        for number, job in enumerate(jobs):
            if job.outcomes.done():
                continue
            if isinstance(outcomes, StoreError):
                job.outcomes.set_exception(outcomes)
            else:
                job.outcomes.set_result(outcomes[number])
        if not isinstance(outcomes, StoreError):
            # Behind the submitters, who go on in the loop's next round.
            asyncio.get_running_loop().call_soon(self._told)

    def _told(self) -> None:
        self._untold.popleft()
        self._settled()
