"""How the stores grow: bytes of a binding, time of a commit and of listing all, by their number.

``python -m benchmarks.bench_growth 1000 1000000`` measures other numbers of bindings than the
default ones. A million take some minutes and, in etcd, two gigabytes of memory.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import report
from benchmarks.figure import Figure
from moorage.service import ServiceType
from moorage.store import open_store
from moorage.store.model import Binding, BindingState
from moorage.store.protocol import MOST_CHANGES, BindingStore, Create, Update
from tests.etcd import running

_SIZES: Final = (1_000, 10_000, 100_000)
_COMMITS: Final = 200
_LISTINGS: Final = 3
_AT_ONCE: Final = 8
"""Commits that are waited for together while the store is filled."""


def run(sizes: Sequence[int] = _SIZES) -> list[Figure]:
    """Measure both stores at every size; on the disk that holds the current folder."""
    figures = []
    with (
        TemporaryDirectory(prefix=".bench-growth-", dir=Path.cwd()) as temporary,
        running(Path(temporary)) as cluster,
    ):
        file = Path(temporary, "bindings.db")

        def in_etcd() -> int:
            cluster.compact()
            return int(cluster.status("m1")["dbSizeInUse"])

        def in_file() -> int:
            with closing(sqlite3.connect(file)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return file.stat().st_size

        etcd = _Store(open_store(cluster.url()), in_etcd)
        sqlite = _Store(open_store(f"sqlite:{file}"), in_file)
        with asyncio.Runner() as runner:
            for size in sizes:
                measured = [runner.run(each.measure(size)) for each in (etcd, sqlite)]
                for (name, unit), samples in measured[0].items():
                    figures.append(
                        Figure(
                            f"{name}, {size:,} bindings, etcd",
                            unit,
                            samples,
                            "SQLite",
                            measured[1][name, unit],
                        )
                    )
            for each in (etcd, sqlite):
                runner.run(each.store.close())
    return figures


class _Store:
    """A store that grows.

    Args:
        store: the store.
        size: returns how many bytes it has on disk.
    """

    def __init__(self, store: BindingStore, size: Callable[[], int]) -> None:
        self.store = store
        self._size = size
        self._empty = size()
        self._count = 0

    async def measure(self, count: int) -> dict[tuple[str, str], tuple[float, ...]]:
        """Fill the store up to so many bindings; return samples by name and unit."""
        start = time.perf_counter()
        added = count - self._count
        await self._fill(count)
        filled = time.perf_counter() - start
        taken = (await asyncio.to_thread(self._size)) - self._empty
        return {
            ("bytes of a binding", "B"): (taken / count,),
            ("filling it, a binding", "ms"): (1e3 * filled / added,),
            ("commit", "ms"): tuple([await self._commit() for _ in range(_COMMITS)]),
            ("listing all", "ms"): tuple([await self._list() for _ in range(_LISTINGS)]),
        }

    async def _fill(self, count: int) -> None:
        step = MOST_CHANGES * _AT_ONCE
        for begin in range(self._count, count, step):
            end = min(begin + step, count)
            changes = [Create(_binding(number)) for number in range(begin, end)]
            await self.store.commit_each(
                [
                    changes[first : first + MOST_CHANGES]
                    for first in range(0, len(changes), MOST_CHANGES)
                ]
            )
        self._count = count

    async def _commit(self) -> float:
        """Return the milliseconds of moving one host."""
        chosen = Random(self._count).randrange(self._count)
        before = await self.store.get(_binding(chosen).prefix)
        assert before is not None
        change = Update(replace(before, seq=before.seq + 1, serving="ar2"), before.seq)
        start = time.perf_counter()
        await self.store.commit([change])
        return 1e3 * (time.perf_counter() - start)

    async def _list(self) -> float:
        """Return the milliseconds in which a router that starts knows everything."""
        start = time.perf_counter()
        snapshot = await self.store.snapshot()
        assert len(snapshot.bindings) == self._count
        return 1e3 * (time.perf_counter() - start)


def _binding(number: int) -> Binding:
    """Return a binding as hosts with keys have them: nothing in it can be compressed."""
    random = Random(number)
    return Binding(
        prefix=IPv6Network((0x20010DB8 << 96 | number << 64, 64)),
        client=b"\x00\x04" + random.randbytes(16),
        iaid=random.getrandbits(32),
        type=ServiceType.SESSION_LASTING,
        anchor="ar1",
        serving="ar1",
        link="acc0",
        next_hop=IPv6Address(0xFE80 << 112 | random.getrandbits(64)),
        seq=1,
        key=random.randbytes(32),
        last_time=1_700_000_000_000_000 + number,
        state=BindingState.ACTIVE,
        preferred_until=1_700_003_600.5,
        valid_until=1_700_007_200.5,
    )


if __name__ == "__main__":
    chosen = [*map(int, sys.argv[1:])] or _SIZES
    sys.exit(report.standalone(lambda: run(chosen)))
