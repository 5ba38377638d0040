"""The binding store: how long a commit takes, and until another process hears of it.

Two processes share one SQLite file, in memory (tmpfs) and on disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import report
from benchmarks.figure import Figure
from moorage.service import ServiceType
from moorage.store.model import Binding, BindingState
from moorage.store.protocol import Create, Update
from moorage.store.sqlite import SqliteStore

_COMMITS: Final = 200
_PAUSE: Final = 0.005
"""Seconds between commits, so that each is one of its own."""
_WATCH_LIMIT_MS: Final = 5.0
_PLACES: Final = (("tmpfs", Path("/dev/shm")), ("disk", Path.cwd()))


def run() -> list[Figure]:
    """Measure, in memory and on the disk that holds the current folder."""
    figures = []
    for place, folder in _PLACES:
        with TemporaryDirectory(prefix=".bench-store-", dir=folder) as temporary:
            plain = _plain_commits(Path(temporary, "plain.db"))
            commits, watches = asyncio.run(_measure(Path(temporary, "bindings.db")))
        figures += [
            Figure(f"store commit, {place}", "ms", commits, "plain SQLite commit", plain),
            Figure(
                f"store commit to another's watch, {place}",
                "ms",
                watches,
                "plain SQLite commit",
                plain,
                _WATCH_LIMIT_MS,
            ),
        ]
    return figures


def _plain_commits(path: Path) -> tuple[float, ...]:
    """Milliseconds of a transaction that inserts a row, as durable as the store's."""
    times = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE change (revision INTEGER PRIMARY KEY, row BLOB)")
        for _ in range(_COMMITS):
            time.sleep(_PAUSE)
            start = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO change (row) VALUES (?)", (bytes(200),))
            connection.execute("COMMIT")
            times.append(1e3 * (time.perf_counter() - start))
    return tuple(times)


async def _measure(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Milliseconds from a call of ``commit()`` to its end, and to the other process' event."""
    store = SqliteStore.open(str(path))
    binding = _binding()
    await store.commit([Create(binding)])
    commits, watches = [], []
    with _watcher(path) as heard:
        for _ in range(_COMMITS):
            await asyncio.sleep(_PAUSE)
            change = Update(replace(binding, seq=binding.seq + 1), binding.seq)
            binding = change.binding
            start = time.monotonic_ns()
            await store.commit([change])
            commits.append((time.monotonic_ns() - start) / 1e6)
            watches.append((next(heard) - start) / 1e6)
    await store.close()
    return tuple(commits), tuple(watches)


@contextmanager
def _watcher(path: Path) -> Iterator[Iterator[int]]:
    """Another process that says when it hears of each change, in ns of CLOCK_MONOTONIC."""
    argv = [sys.executable, "-m", "benchmarks.bench_store", str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        heard = map(int, process.stdout)
        next(heard)
        try:
            yield heard
        finally:
            process.terminate()


async def _watch(path: str) -> None:
    store = SqliteStore.open(path)
    revision = (await store.snapshot()).revision
    print(0, flush=True)
    async for _ in store.watch(revision):
        print(time.monotonic_ns(), flush=True)


def _binding() -> Binding:
    return Binding(
        prefix=IPv6Network("2001:db8::/64"),
        client=bytes(18),
        iaid=1,
        type=ServiceType.SESSION_LASTING,
        anchor="ar1",
        serving="ar1",
        link="acc0",
        next_hop=IPv6Address("fe80::1"),
        seq=1,
        key=bytes(32),
        last_time=0,
        state=BindingState.ACTIVE,
        preferred_until=0.0,
        valid_until=0.0,
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(_watch(sys.argv[1]))
    else:
        sys.exit(report.standalone(run))
