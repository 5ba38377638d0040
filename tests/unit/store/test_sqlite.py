"""What only the SQLite store has to get right: the file, and the other processes that use it."""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import replace
from ipaddress import IPv6Network
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from moorage.store import open_store
from moorage.store.memory import MemoryStore
from moorage.store.model import Binding, Router
from moorage.store.protocol import BindingChanged, Create, RouterChanged, StoreError, Update
from moorage.store.sqlite import SqliteStore

_processes = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "bindings.db")


@pytest.fixture
async def store(path: str) -> AsyncIterator[SqliteStore]:
    store = SqliteStore.open(path)
    yield store
    await store.close()


@contextmanager
def child(target: Any, *arguments: object) -> Iterator[tuple[BaseProcess, Connection]]:
    """Run ``target(connection, *arguments)`` in another process, which is gone at the end."""
    here, there = _processes.Pipe()
    process = _processes.Process(target=target, args=(there, *arguments))
    process.start()
    there.close()
    try:
        yield process, here
    finally:
        process.kill()
        process.join()
        here.close()


def answer_changes(connection: Connection, path: str) -> None:
    """Child: follow the store, and raise the seq of a binding whenever somebody else does."""

    async def answer() -> None:
        store = SqliteStore.open(path)
        start = (await store.snapshot()).revision
        connection.send("watching")
        async for event in store.watch(start):
            if isinstance(event, BindingChanged) and event.binding.serving != "child":
                seq = event.binding.seq
                await store.commit(
                    [Update(replace(event.binding, serving="child", seq=seq + 1), seq)]
                )

    asyncio.run(answer())


async def test_processes_hear_of_each_other(
    path: str, store: SqliteStore, binding: Binding
) -> None:
    with child(answer_changes, path) as (_, connection):
        assert await asyncio.to_thread(connection.recv) == "watching"
        async with asyncio.timeout(30), aclosing(store.watch(0)) as watch:
            await store.commit([Create(binding)])
            for seq in range(1, 40, 2):
                event = await anext(watch)
                assert isinstance(event, BindingChanged)
                assert (event.binding.seq, event.binding.serving) == (seq, "ar1")
                event = await anext(watch)
                assert isinstance(event, BindingChanged)
                assert (event.binding.seq, event.binding.serving) == (seq + 1, "child")
                await store.commit(
                    [Update(replace(binding, seq=event.binding.seq + 1), event.binding.seq)]
                )


def write_for_ever(connection: Connection, path: str, binding: Binding) -> None:
    """Child: create bindings, several at a time, and tell of each that was acknowledged."""

    async def write(store: SqliteStore, writer: int) -> None:
        number = writer << 32
        while True:
            number += 1
            address = binding.prefix.network_address + (number << 64)
            new = replace(binding, prefix=IPv6Network((address, 64)), client=b"%d" % number)
            await store.commit([Create(new)])
            connection.send(new.prefix)

    async def write_all() -> None:
        store = SqliteStore.open(path)
        await asyncio.gather(*(write(store, writer) for writer in range(8)))

    asyncio.run(write_all())


def rest(connection: Connection) -> Iterator[IPv6Network]:
    """What a killed child had still said."""
    try:
        while True:
            yield connection.recv()
    except (EOFError, ConnectionResetError):
        return


async def test_killed_writer_loses_nothing_acknowledged(
    path: str, store: SqliteStore, binding: Binding, router: Router
) -> None:
    with child(write_for_ever, path, binding) as (process, connection):
        acknowledged = [await asyncio.to_thread(connection.recv) for _ in range(300)]
        process.kill()
        acknowledged.extend(rest(connection))
    # A user that was there before goes on, and has seen everything.
    last = await store.register(router)
    seen = set()
    async with asyncio.timeout(30), aclosing(store.watch(0)) as watch:
        async for event in watch:
            if isinstance(event, BindingChanged):
                seen.add(event.binding.prefix)
            if event.revision == last:
                break
    stored = {each.prefix for each in (await store.snapshot()).bindings}
    assert stored == seen
    assert stored >= set(acknowledged)
    # So does one that comes afterwards, when nobody else has the file open.
    await store.close()
    later = SqliteStore.open(path)
    assert {each.prefix for each in (await later.snapshot()).bindings} == stored
    await later.close()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_change_without_a_bell_is_seen(path: str, store: SqliteStore, router: Router) -> None:
    """As of a writer that died after its commit and before it could ring."""
    revision = await store.register(router)
    async with asyncio.timeout(30), aclosing(store.watch(revision)) as watch:
        coming = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)  # it has found nothing, and waits
        with closing(sqlite3.connect(path)) as dying, dying:
            dying.execute(
                "INSERT INTO change SELECT revision + 1, part, kind, row FROM change"
                " WHERE revision = ?",
                (revision,),
            )
        assert await coming == RouterChanged(revision + 1, router)


async def test_content_outlives_the_store(path: str, binding: Binding, router: Router) -> None:
    store = SqliteStore.open(path)
    await store.commit([Create(binding)])
    await store.register(router)
    before = await store.snapshot()
    await store.close()
    store = SqliteStore.open(path)
    assert await store.snapshot() == before
    await store.close()


async def test_close_finishes_what_was_asked(path: str, store: SqliteStore, router: Router) -> None:
    asked = [asyncio.ensure_future(store.register(router)) for _ in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*asked) == list(range(1, 21))


async def test_cancelled_commit_leaves_the_store_working(
    store: SqliteStore, binding: Binding
) -> None:
    cancelled = asyncio.ensure_future(store.commit([Create(binding)]))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    revision = await store.commit([Create(replace(binding, prefix=IPv6Network("::/64"), iaid=2))])
    assert (await store.snapshot()).revision == revision


@contextmanager
def no_more_space(path: str) -> Iterator[None]:
    """Let no file of this process grow beyond what the store's journal has now."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(path + "-wal").stat().st_size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_full_disk_fails_the_commit_and_no_more(
    path: str, store: SqliteStore, binding: Binding
) -> None:
    await store.commit([Create(binding)])
    before = await store.snapshot()
    update = Update(replace(binding, seq=2), 1)
    with no_more_space(path), pytest.raises(StoreError, match=r"bindings\.db: "):
        await store.commit([update])
    assert await store.snapshot() == before
    assert await store.commit([update]) == before.revision + 1


async def test_impossible_value_fails_its_commit_and_no_more(
    store: SqliteStore, binding: Binding
) -> None:
    with pytest.raises(StoreError):
        await store.commit([Create(replace(binding, last_time=1 << 64))])
    await store.commit([Create(binding)])
    assert await store.get(binding.prefix) == binding


def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"missing/bindings\.db: unable to open database file$"):
        SqliteStore.open(str(tmp_path / "missing" / "bindings.db"))


async def test_open_store(path: str) -> None:
    for url, kind in ((f"sqlite:{path}", SqliteStore), ("memory:", MemoryStore)):
        store = open_store(url)
        assert isinstance(store, kind)
        await store.close()


@pytest.mark.parametrize("url", ["", "sqlite", "sqlite:", "memory:x", "memory", "etcd:"])
def test_open_store_names_what_it_knows(url: str) -> None:
    with pytest.raises(StoreError, match=r"allowed: sqlite:PATH, etcd:PATH, memory:$"):
        open_store(url)
