"""The SQLite file: its tables, its version, and how an earlier version becomes the present one."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from moorage.store.protocol import StoreError
from moorage.store.rows import RowError

_APPLICATION_ID: Final = 0x4D4F4F52  # "MOOR"; file(1) and we tell our files by it
_BUSY_SECONDS: Final = 5.0
_PAGE_BYTES: Final = 1024
"""A new binding has its place on pages of its own, and the journal takes whole ones."""
JOURNAL_PAGES = 8 << 10
"""Pages in the journal before they are written into the file: many of them come again."""

# A prefix is 16 bytes in network order and a length, so that the order of rows is the order of
# prefixes. `change` is the log that watchers follow: its revisions have no gaps, and the row of
# revision 0 lets an empty store be followed, too.
_TABLES: Final = """
CREATE TABLE binding (
    prefix BLOB NOT NULL,
    length INTEGER NOT NULL,
    client BLOB NOT NULL,
    iaid INTEGER NOT NULL,
    type INTEGER NOT NULL,
    anchor TEXT NOT NULL,
    serving TEXT,
    link TEXT,
    next_hop BLOB,
    seq INTEGER NOT NULL,
    key BLOB,
    last_time INTEGER NOT NULL,
    state TEXT NOT NULL,
    preferred_until REAL NOT NULL,
    valid_until REAL NOT NULL,
    PRIMARY KEY (prefix, length)
) STRICT, WITHOUT ROWID;
CREATE INDEX binding_of_client ON binding (client);
CREATE INDEX binding_of_anchor ON binding (anchor);
CREATE UNIQUE INDEX binding_held ON binding (client, iaid) WHERE state <> 'released';
CREATE TABLE router (
    id TEXT PRIMARY KEY,
    address BLOB NOT NULL,
    down_sid BLOB NOT NULL,
    up_sid BLOB NOT NULL,
    pool BLOB NOT NULL,
    pool_length INTEGER NOT NULL,
    seen REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE change (
    revision INTEGER NOT NULL,
    part INTEGER NOT NULL,
    kind TEXT NOT NULL,
    row BLOB NOT NULL,
    PRIMARY KEY (revision, part)
) STRICT, WITHOUT ROWID;
INSERT INTO change VALUES (0, 0, 'start', x'');
"""

# Nothing is asked by anchor, and every commit had to keep this index.
_WITHOUT_ANCHORS: Final = "DROP INDEX binding_of_anchor"

# An IAID names an address and a prefix at the same time (RFC 8415 section 12).
_WITH_ADDRESSES: Final = """
DROP INDEX binding_held;
CREATE UNIQUE INDEX binding_held ON binding (client, iaid, length = 128)
    WHERE state <> 'released';
ALTER TABLE binding ADD COLUMN reconfigurable INTEGER NOT NULL DEFAULT 0;
DELETE FROM change WHERE revision < (SELECT max(revision) FROM change)
"""

# New rows stand one behind the other instead of by prefix, and one index does for two: with every
# commit all pages that it has touched go to the disk. A released binding's name is its own, as
# NULL is in an index.
_APPENDED: Final = """
ALTER TABLE binding RENAME TO earlier;
CREATE TABLE binding (
    prefix BLOB NOT NULL,
    length INTEGER NOT NULL,
    client BLOB NOT NULL,
    iaid INTEGER NOT NULL,
    type INTEGER NOT NULL,
    anchor TEXT NOT NULL,
    serving TEXT,
    link TEXT,
    next_hop BLOB,
    seq INTEGER NOT NULL,
    key BLOB,
    last_time INTEGER NOT NULL,
    state TEXT NOT NULL,
    preferred_until REAL NOT NULL,
    valid_until REAL NOT NULL,
    reconfigurable INTEGER NOT NULL,
    PRIMARY KEY (prefix, length)
) STRICT;
INSERT INTO binding SELECT * FROM earlier;
DROP TABLE earlier;
CREATE UNIQUE INDEX binding_name
    ON binding (client, iaid, length = 128, nullif(state = 'released', TRUE))
"""

# A router is present as long as its lease lasts, until `lease_end` of the machine's monotonic
# clock; NULL: it is over. No router of an earlier version is running when this is done.
_LEASED: Final = """
CREATE TABLE anchor (
    id TEXT PRIMARY KEY,
    pool BLOB NOT NULL,
    pool_length INTEGER NOT NULL,
    holder TEXT NOT NULL,
    epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO anchor SELECT id, pool, pool_length, id, 1 FROM router;
ALTER TABLE router RENAME TO earlier;
CREATE TABLE router (
    id TEXT PRIMARY KEY,
    address BLOB NOT NULL,
    down_sid BLOB NOT NULL,
    up_sid BLOB NOT NULL,
    lease REAL NOT NULL,
    lease_end REAL
) STRICT, WITHOUT ROWID;
INSERT INTO router SELECT id, address, down_sid, up_sid, 5.0, NULL FROM earlier;
DROP TABLE earlier;
DELETE FROM change WHERE revision < (SELECT max(revision) FROM change)
"""

# Neighbour discovery is not to be relied on for what a client has signed.
_WITH_MACS: Final = """
ALTER TABLE binding ADD COLUMN mac BLOB;
DELETE FROM change WHERE revision < (SELECT max(revision) FROM change)
"""

_WITH_EXCLUDED: Final = """
ALTER TABLE binding ADD COLUMN excluded INTEGER;
DELETE FROM change WHERE revision < (SELECT max(revision) FROM change)
"""

_STEPS: Final = (
    _TABLES,
    _WITHOUT_ANCHORS,
    _WITH_ADDRESSES,
    _APPENDED,
    _LEASED,
    _WITH_MACS,
    _WITH_EXCLUDED,
)
"""What makes each version of the one before, from the empty file on; never changed, only added to.

A step that changes what rows hold has to empty the log up to its last revision: the log has rows.
"""

VERSION: Final = len(_STEPS)
"""The version that this program reads and writes."""


@contextmanager
def store_errors(path: str) -> Iterator[None]:
    """Turn what SQLite and the system complain about into a `StoreError` that names the file."""
    try:
        yield
    except (sqlite3.Error, OSError, RowError) as error:
        raise StoreError(f"{path}: {error}") from error


def connect(path: str) -> sqlite3.Connection:
    """Open the file, made ready if it is new or of an earlier version.

    The connection is usable from any one thread at a time. Transactions begin and end by explicit
    statements only.

    Raises:
        StoreError: it cannot be opened, or is not a binding store that this program knows.
    """
    with store_errors(path):
        connection = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            if version_of(connection, path) < VERSION:
                _upgrade(connection, path)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {JOURNAL_PAGES}")
        except BaseException:
            connection.close()
            raise
    return connection


def version_of(connection: sqlite3.Connection, path: str) -> int:
    """Return the version of the tables, 0 for a file without any.

    Raises:
        StoreError: the file is another program's, or of a later version of this one.
    """
    # One statement, so that it sees one state of a file that another process is just making.
    application, version, tables = connection.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"
        " FROM pragma_application_id, pragma_user_version"
    ).fetchone()
    if (application, version, tables) == (0, 0, 0):
        return 0
    if application != _APPLICATION_ID:
        raise StoreError(f"{path}: is a database of another program")
    if version > VERSION:
        raise StoreError(
            f"{path}: has schema version {version}, this program knows those up to {VERSION}"
        )
    return int(version)


def _upgrade(connection: sqlite3.Connection, path: str) -> None:
    """Make the present version of the file, unless another process is quicker."""
    with _alone(path):
        version = version_of(connection, path)
        if version == VERSION:
            return
        if version == 0:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            # SQLite does not wait for another process that turns the same file into a WAL one.
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            for step in _STEPS[version:]:
                for statement in step.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Be the only one that makes or upgrades a store in the folder of ``path``."""
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
