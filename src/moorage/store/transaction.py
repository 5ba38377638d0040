"""What a group of commits does to the SQLite file, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Final

import msgspec

from moorage.store.model import Router
from moorage.store.protocol import (
    Change,
    Conflict,
    Create,
    Delete,
    Fenced,
    Hold,
    LeaseEnded,
    Mismatch,
    Update,
)
from moorage.store.rows import Row, anchor_row, binding_row, prefix_row, router_row


@dataclass(frozen=True, slots=True)
class Registration:
    """A router registers; its lease lasts until ``end`` of the monotonic clock."""

    router: Router
    end: float


@dataclass(frozen=True, slots=True)
class Extension:
    """A router lives: its lease begins anew at ``now`` of the monotonic clock."""

    router: str
    now: float


@dataclass(frozen=True, slots=True)
class Lapse:
    """A router's lease is over, if its end is still the one that was seen."""

    router: str
    end: float


Write = Change | Hold | Registration | Extension | Lapse
"""What one commit is made of: changes of bindings, or one other thing."""

_MOST_ROWS: Final = 64
"""Rows that one statement inserts. A thread has to wait for its turn after each statement."""

_Record = tuple[str, Row]
"""A write as the log knows it: its kind, and what it is about."""

_INSERT_BINDING: Final = f"INSERT INTO binding VALUES ({', '.join(18 * '?')})"
_INSERT_NEW: Final = "INSERT OR IGNORE INTO binding VALUES"
_UPDATE_BINDING: Final = """
    UPDATE binding SET client = ?, iaid = ?, type = ?, anchor = ?, serving = ?, link = ?,
        next_hop = ?, seq = ?, key = ?, last_time = ?, state = ?, preferred_until = ?,
        valid_until = ?, reconfigurable = ?, mac = ?, excluded = ?
    WHERE prefix = ? AND length = ? AND seq = ?"""
_DELETE_BINDING: Final = "DELETE FROM binding WHERE prefix = ? AND length = ? AND seq = ?"
_REPLACE_ROUTER: Final = f"INSERT OR REPLACE INTO router VALUES ({', '.join(6 * '?')})"
_EXTEND: Final = "UPDATE router SET lease_end = ? + lease WHERE id = ? AND lease_end IS NOT NULL"
_LAPSE: Final = "UPDATE router SET lease_end = NULL WHERE id = ? AND lease_end = ?"
_IS_PRESENT: Final = "SELECT 1 FROM router WHERE id = ? AND lease_end IS NOT NULL"
_EPOCH: Final = "SELECT epoch FROM anchor WHERE id = ?"
_REPLACE_ANCHOR: Final = f"INSERT OR REPLACE INTO anchor VALUES ({', '.join(5 * '?')})"
_INSERT_CHANGE: Final = "INSERT INTO change VALUES"
_NAME_TAKEN: Final = ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE")


class Transaction:
    """Commits that share a transaction which the caller has begun, and ends after `log`.

    Args:
        connection: of the file.
        revision: the last one that the file has.
    """

    def __init__(self, connection: sqlite3.Connection, revision: int) -> None:
        self._connection = connection
        self._revision = revision
        self._log: list[Row] = []

    def do(self, commits: Iterable[Sequence[Write]]) -> list[int | Conflict]:
        """Do the commits in their order, each wholly or not; return revisions and conflicts."""
        outcomes: list[int | Conflict] = []
        for creating, run in groupby(commits, _creates_one):
            these = list(run)
            created = self._create(these) if creating and len(these) > 1 else None
            outcomes += created or map(self._do, these)
        return outcomes

    def log(self, keep: int) -> None:
        """Tell the log what was done; it keeps the last ``keep`` revisions."""
        for portion in _portions(self._log):
            self._insert(_INSERT_CHANGE, portion)
        self._connection.execute("DELETE FROM change WHERE revision < ?", (self._revision - keep,))

    def _create(self, commits: Iterable[Sequence[Write]]) -> list[int] | None:
        """Do commits that create a binding each; None: nothing was done, since one conflicts."""
        execute = self._connection.execute
        creations = [one for (one,) in commits if isinstance(one, Create)]
        if not all(map(self._is_at, {(one.binding.anchor, one.epoch) for one in creations})):
            return None
        rows = [binding_row(one.binding) for one in creations]
        execute("SAVEPOINT creation")
        if sum(self._insert(_INSERT_NEW, portion) for portion in _portions(rows)) < len(rows):
            execute("ROLLBACK TO creation")
            execute("RELEASE creation")
            return None
        execute("RELEASE creation")
        return [self._done([("binding", row)]) for row in rows]

    def _insert(self, statement: str, rows: Sequence[Row]) -> int:
        """Insert rows by one statement; return how many."""
        values = ", ".join(len(rows) * [f"({', '.join(len(rows[0]) * '?')})"])
        return self._connection.execute(f"{statement} {values}", [*chain(*rows)]).rowcount

    def _do(self, writes: Sequence[Write]) -> int | Conflict:
        """Do all writes of a commit or, if there is a conflict, none."""
        if len(writes) == 1:  # the usual case; a conflict has done nothing
            try:
                record = self._apply(writes[0])
            except Conflict as conflict:
                return conflict
            return self._revision if record is None else self._done([record])
        execute = self._connection.execute
        execute("SAVEPOINT job")
        try:
            records = [*filter(None, map(self._apply, writes))]
        except Conflict as conflict:
            execute("ROLLBACK TO job")
            execute("RELEASE job")
            return conflict
        execute("RELEASE job")
        return self._done(records)

    def _done(self, records: Iterable[_Record]) -> int:
        """Note what a commit has done, and return its revision."""
        self._revision += 1
        for part, (kind, row) in enumerate(records):
            self._log.append((self._revision, part, kind, msgspec.msgpack.encode(row)))
        return self._revision

    def _is_at(self, fence: tuple[str, int | None]) -> bool:
        """Whether an anchor is at an epoch, or that does not matter."""
        anchor, epoch = fence
        if epoch is None:
            return True
        row = self._connection.execute(_EPOCH, (anchor,)).fetchone()
        return epoch == (0 if row is None else row[0])

    def _apply(self, write: Write) -> _Record | None:
        """Do one write; None: it is nothing to tell of."""
        match write:
            case Create(binding, epoch):
                if not self._is_at((binding.anchor, epoch)):
                    raise Fenced(binding.anchor)
                row = binding_row(binding)
                self._swap(write, _INSERT_BINDING, row)
                return "binding", row
            case Update(binding, expected_seq):
                row = binding_row(binding)
                self._swap(write, _UPDATE_BINDING, (*row[2:], *row[:2], expected_seq))
                return "binding", row
            case Delete(prefix, expected_seq):
                row = prefix_row(prefix)
                self._swap(write, _DELETE_BINDING, (*row, expected_seq))
                return "gone", row
            case Registration(router, end):
                row = router_row(router)
                self._connection.execute(_REPLACE_ROUTER, (*row, end))
                return "router", row
            case Extension(router_id, now):
                if self._connection.execute(_EXTEND, (now, router_id)).rowcount == 0:
                    raise LeaseEnded(router_id)
                return None
            case Lapse(router_id, end):
                if self._connection.execute(_LAPSE, (router_id, end)).rowcount == 0:
                    raise Conflict(f"{router_id} has kept its lease")
                return "left", (router_id,)
            case Hold(anchor, expected_epoch, gone):
                present = self._connection.execute(_IS_PRESENT, (gone,)).fetchone()
                if present or not self._is_at((anchor.id, expected_epoch)):
                    raise Fenced(anchor.id)
                row = anchor_row(anchor)
                self._connection.execute(_REPLACE_ANCHOR, row)
                return "anchor", row

    def _swap(self, change: Change, statement: str, row: Row) -> None:
        """Run a statement that changes one row if the change's premise holds."""
        try:
            changed = self._connection.execute(statement, row).rowcount
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorname in _NAME_TAKEN:
                raise Mismatch(change.prefix) from None
            raise
        if changed == 0:
            raise Mismatch(change.prefix)


def _creates_one(writes: Sequence[Write]) -> bool:
    return len(writes) == 1 and isinstance(writes[0], Create)


def _portions(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Cut rows into portions of few different sizes, so that their statements stay prepared."""
    start = 0
    while left := len(rows) - start:
        size = min(_MOST_ROWS, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start += size
