"""Many hosts hand off at once between routers of one store: nobody loses or shares a prefix."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from moorage.store.memory import MemoryStore
from moorage.store.protocol import BindingStore
from moorage.store.sqlite import SqliteStore
from tests.domain import router_config
from tests.fleet import Roamer, Station, disagreements

ROUTERS = 3
HOSTS = 20
MOVES = 5


def one_in_memory(_: Path) -> Callable[[], BindingStore]:
    store = MemoryStore()
    return lambda: store


def one_file(folder: Path) -> Callable[[], BindingStore]:
    return lambda: SqliteStore.open(str(folder / "bindings.db"))


def has_moved(roamer: Roamer) -> bool:
    return len(roamer.done) > MOVES


@pytest.mark.parametrize("engine", [one_in_memory, one_file])
async def test_what_hosts_were_told_is_what_the_store_says(
    engine: Callable[[Path], Callable[[], BindingStore]], tmp_path: Path
) -> None:
    connect = engine(tmp_path)
    stores = [connect() for _ in range(ROUTERS)]
    try:
        stations = [
            Station(router_config(number), store) for number, store in enumerate(stores, start=1)
        ]
        async with contextlib.AsyncExitStack() as serving:
            for station in stations:
                await serving.enter_async_context(station.serving())
            roamers = [Roamer(n, stations, random.Random(n)) for n in range(HOSTS)]
            await asyncio.gather(*(roamer.roam(has_moved) for roamer in roamers))
            assert disagreements(roamers, (await stores[0].snapshot()).bindings) == []
    finally:
        for store in set(stores):
            await store.close()
