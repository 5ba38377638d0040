"""Very many bindings: nobody waits long for them, and they fit into a router's memory."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from moorage.router.mirror import Mirror
from moorage.store.model import Binding
from moorage.store.protocol import Create
from moorage.store.sqlite import SqliteStore

MANY = 3000
TURNS = 10
"""Times at least that others have a turn while so many bindings are read."""

BYTES = 900
"""Of a router's memory for each binding that it knows: 90 MB for 100,000 of them."""


@pytest.fixture
async def store(tmp_path: Path, binding: Binding) -> AsyncIterator[SqliteStore]:
    """A store with many bindings, all of one commit, as different as those of many hosts."""
    store = SqliteStore.open(str(tmp_path / "bindings.db"))
    await store.commit([Create(of_host(binding, number)) for number in range(MANY)])
    yield store
    await store.close()


def of_host(binding: Binding, number: int) -> Binding:
    return replace(
        binding,
        prefix=IPv6Network((binding.prefix.network_address + (number << 64), 64)),
        client=b"\x00\x04" + number.to_bytes(16, "big"),
        next_hop=IPv6Address(f"fe80::{number:x}"),
        key=number.to_bytes(32, "big"),
        last_time=binding.last_time + number,
        valid_until=binding.valid_until + number,
    )


async def turns_during(work: asyncio.Task[None]) -> int:
    """How often others have a turn until something is done."""
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    await work
    return turns


async def test_others_have_their_turns_while_everything_is_read(store: SqliteStore) -> None:
    async def read() -> None:
        assert len((await store.snapshot()).bindings) == MANY

    assert await turns_during(asyncio.ensure_future(read())) >= TURNS


async def test_others_have_their_turns_while_a_watcher_catches_up(store: SqliteStore) -> None:
    async def follow() -> None:
        async with aclosing(store.watch(0)) as watch:
            for _ in range(MANY):
                await anext(watch)

    assert await turns_during(asyncio.ensure_future(follow())) >= TURNS


async def test_what_is_read_is_of_one_moment(store: SqliteStore, binding: Binding) -> None:
    reading = asyncio.ensure_future(store.snapshot())
    await asyncio.sleep(0)
    revision = await store.commit([Create(of_host(binding, MANY))])
    snapshot = await reading
    assert snapshot.revision == revision - 1
    assert len(snapshot.bindings) == MANY


async def test_a_router_has_room_for_very_many(store: SqliteStore) -> None:
    await store.snapshot()  # what is only made once is there
    gc.collect()
    tracemalloc.start()
    mirror = Mirror(hold=10.0)
    mirror.reset(await store.snapshot(), now=0.0)
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(mirror.known()) == MANY
    assert size / MANY <= BYTES
