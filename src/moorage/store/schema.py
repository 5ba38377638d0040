"""The SQLite file: its tables, its version, and how values stand in its rows."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, IPv6Network
from typing import Any, Final

import msgspec

from moorage.service import ServiceType
from moorage.store.model import Binding, BindingState, Router
from moorage.store.protocol import BindingChanged, BindingGone, Event, RouterChanged, StoreError

Row = tuple[Any, ...]
"""The columns of a row: int, float, str, bytes or None each."""

_APPLICATION_ID: Final = 0x4D4F4F52  # "MOOR"; file(1) and we tell our files by it
_VERSION: Final = 1
_BUSY_SECONDS: Final = 5.0

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


@contextmanager
def store_errors(path: str) -> Iterator[None]:
    """Turn what SQLite and the system complain about into a `StoreError` that names the file."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path}: {error}") from error


def connect(path: str) -> sqlite3.Connection:
    """Open the file, made ready if it is new; usable from any one thread at a time.

    Transactions begin and end by explicit statements only.

    Raises:
        StoreError: it cannot be opened, or is not a binding store of this version.
    """
    with store_errors(path):
        connection = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            if not _is_ours(connection, path):
                _create(connection, path)
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
    return connection


def _is_ours(connection: sqlite3.Connection, path: str) -> bool:
    """Return whether the tables are there, False for an empty file; others raise StoreError."""
    # One statement, so that it sees one state of a file that another process is just making.
    application, version, tables = connection.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"
        " FROM pragma_application_id, pragma_user_version"
    ).fetchone()
    if (application, version, tables) == (0, 0, 0):
        return False
    if application != _APPLICATION_ID:
        raise StoreError(f"{path}: is a database of another program")
    if version != _VERSION:
        raise StoreError(f"{path}: has schema version {version}, this program knows {_VERSION}")
    return True


def _create(connection: sqlite3.Connection, path: str) -> None:
    """Make the tables, unless another process is quicker."""
    with _alone(path):
        # SQLite does not wait for another process that turns the same file into a WAL one.
        if _is_ours(connection, path):
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Be the only one that makes a store in the folder of ``path``."""
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def prefix_row(prefix: IPv6Network) -> Row:
    """Return the two columns of a prefix."""
    return prefix.network_address.packed, prefix.prefixlen


def binding_row(binding: Binding) -> Row:
    """Return a binding's columns in the order of the table."""
    return (
        *prefix_row(binding.prefix),
        binding.client,
        binding.iaid,
        int(binding.type),
        binding.anchor,
        binding.serving,
        binding.link,
        None if binding.next_hop is None else binding.next_hop.packed,
        binding.seq,
        binding.key,
        binding.last_time,
        binding.state.value,
        float(binding.preferred_until),
        float(binding.valid_until),
    )


def binding_of(row: Row) -> Binding:
    """Return the binding whose columns these are."""
    address, length, client, iaid, kind, anchor, serving, link, next_hop, *rest = row
    seq, key, last_time, state, preferred_until, valid_until = rest
    return Binding(
        prefix=IPv6Network((address, length)),
        client=client,
        iaid=iaid,
        type=ServiceType(kind),
        anchor=anchor,
        serving=serving,
        link=link,
        next_hop=None if next_hop is None else IPv6Address(next_hop),
        seq=seq,
        key=key,
        last_time=last_time,
        state=BindingState(state),
        preferred_until=preferred_until,
        valid_until=valid_until,
    )


def router_row(router: Router) -> Row:
    """Return a router's columns in the order of the table."""
    return (
        router.id,
        router.address.packed,
        router.down_sid.packed,
        router.up_sid.packed,
        *prefix_row(router.pool),
        float(router.seen),
    )


def router_of(row: Row) -> Router:
    """Return the router whose columns these are."""
    name, address, down_sid, up_sid, pool, pool_length, seen = row
    return Router(
        id=name,
        address=IPv6Address(address),
        down_sid=IPv6Address(down_sid),
        up_sid=IPv6Address(up_sid),
        pool=IPv6Network((pool, pool_length)),
        seen=seen,
    )


def event_of(row: Row) -> Event:
    """Return the event that a row of `change` records (revision, kind, row)."""
    revision, kind, packed = row
    columns = msgspec.msgpack.decode(packed, type=Row)
    match kind:
        case "binding":
            return BindingChanged(revision, binding_of(columns))
        case "gone":
            return BindingGone(revision, IPv6Network(columns))
        case "router":
            return RouterChanged(revision, router_of(columns))
        case _:
            raise StoreError(f"revision {revision} records an unknown kind of change: {kind!r}")
