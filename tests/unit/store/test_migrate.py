"""What one store holds is brought into another, while routers go on with the first one."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from moorage.store import open_store
from moorage.store.memory import MemoryStore
from moorage.store.migrate import Migration, NotEmpty, differences
from moorage.store.model import Anchor, Binding, BindingState, Router
from moorage.store.protocol import (
    AnchorChanged,
    BindingStore,
    Create,
    Delete,
    Hold,
    RouterGone,
    Snapshot,
    Update,
)
from moorage.store.sqlite import SqliteStore
from tests.etcd import Cluster, running


def numbered(binding: Binding, number: int) -> Binding:
    address = binding.prefix.network_address + (number << 64)
    return replace(binding, prefix=IPv6Network((address, 64)), iaid=number)


def following(binding: Binding, **changes: object) -> Update:
    later = replace(binding, seq=binding.seq + 1, **changes)  # type: ignore[arg-type]
    return Update(later, binding.seq)


async def same(first: BindingStore, second: BindingStore) -> bool:
    return not differences(await first.snapshot(), await second.snapshot())


@asynccontextmanager
async def followed(source: BindingStore, target: BindingStore) -> AsyncIterator[None]:
    """The source's changes happen in the target; at the end all of them have."""
    migration = Migration(source, target)
    await migration.begin()
    work = asyncio.ensure_future(migration.follow())
    yield
    last = Anchor("last", IPv6Network("2001:db8:ffff::/48"), "last", 1)
    await source.hold(Hold(last, 0))
    start = (await target.snapshot()).revision
    async with asyncio.timeout(30), aclosing(target.watch(start)) as watch:
        if last not in (await target.snapshot()).anchors:
            async for event in watch:
                if isinstance(event, AnchorChanged) and event.anchor == last:
                    break
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def test_everything_is_copied_and_followed(
    binding: Binding, router: Router, anchor: Anchor
) -> None:
    source, target = MemoryStore(), MemoryStore()
    first, second, third = (numbered(binding, number) for number in range(3))
    await source.register(router)
    await source.hold(Hold(anchor, 0))
    await source.commit([Create(first), Create(second)])
    async with followed(source, target):
        change = following(first, serving="ar2")
        await source.commit([change, Create(third)])
        await source.commit([Delete(first.prefix, change.binding.seq)])
        await source.hold(Hold(replace(anchor, holder="ar2", epoch=2), 1))
        await source.register(replace(router, id="ar2"))
    assert await same(source, target)
    assert (await target.snapshot()).present == {"ar1", "ar2"}


async def test_who_is_alive_in_the_source_is_so_in_the_target(router: Router) -> None:
    """And he alone."""
    source, target = MemoryStore(), MemoryStore()
    for name in ("ar0", "ar1"):
        await source.register(replace(router, id=name, lease=0.5))

    async def live() -> None:
        while True:
            await source.keep_alive("ar1")
            await asyncio.sleep(0.05)

    living = asyncio.ensure_future(live())
    async with followed(source, target):
        start = (await target.snapshot()).revision
        async with asyncio.timeout(30), aclosing(target.watch(start)) as watch:
            gone = await anext(each async for each in watch if isinstance(each, RouterGone))
        assert gone.router == "ar0"
        assert (await target.snapshot()).present == {"ar1"}
    living.cancel()


async def test_what_was_missed_is_made_up_for(binding: Binding, anchor: Anchor) -> None:
    """Whatever happened: names have changed places, prefixes have been given anew."""
    source, target = MemoryStore(), MemoryStore()
    bindings = [numbered(binding, number) for number in range(6)]
    await source.commit([Create(each) for each in bindings])
    migration = Migration(source, target)
    await migration.converge()
    free = [following(each, state=BindingState.RELEASED) for each in bindings[:2]]
    await source.commit(free)
    await source.commit(
        [
            following(free[0].binding, state=BindingState.ACTIVE, iaid=1),
            following(free[1].binding, state=BindingState.ACTIVE, iaid=0),
            Delete(bindings[2].prefix, 1),
            following(bindings[3]),
            following(bindings[4], state=BindingState.RELEASED),
        ]
    )
    await source.commit([Create(replace(bindings[2], client=b"other"))])
    await source.commit([Create(replace(numbered(binding, 9), iaid=4))])
    await source.hold(Hold(replace(anchor, epoch=5), 0))
    await migration.converge()
    assert await same(source, target)


async def test_a_target_that_holds_something_is_left_alone(anchor: Anchor) -> None:
    target = MemoryStore()
    await target.hold(Hold(anchor, 0))
    with pytest.raises(NotEmpty):
        await Migration(MemoryStore(), target).begin()


def test_every_difference_is_a_line(binding: Binding, router: Router, anchor: Anchor) -> None:
    first = Snapshot(7, (binding, numbered(binding, 2)), (router,), frozenset({"ar1"}), (anchor,))
    second = Snapshot(9, (following(binding).binding,), (router,), anchors=(anchor,))
    changed, missing = differences(first, second)
    assert changed.startswith(f"{binding.prefix}: Binding(")
    assert missing == f"{numbered(binding, 2).prefix}: only in the first"
    assert differences(Snapshot(1), Snapshot(2, anchors=(anchor,))) == [
        "anchor ar1: only in the second"
    ]


# ---- by command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


def moorage(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "moorage", "store", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.interop
async def test_sqlite_to_etcd_and_back(
    cluster: Cluster, tmp_path: Path, binding: Binding, router: Router, anchor: Anchor
) -> None:
    path, back = str(tmp_path / "bindings.db"), f"sqlite:{tmp_path / 'back.db'}"
    source = SqliteStore.open(path)
    await source.register(router)
    await source.hold(Hold(anchor, 0))
    await source.commit([Create(numbered(binding, number)) for number in range(300)])
    here, there = f"sqlite:{path}", cluster.url()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moorage", "store", "migrate", "--follow", here, there),
        stdout=asyncio.subprocess.PIPE,
    )
    target = open_store(there)
    async with asyncio.timeout(60):
        created = await source.commit([Create(numbered(binding, 300))])
        async with aclosing(target.watch(1)) as watch:
            found = set()
            async for event in watch:
                found.add(getattr(event, "binding", binding).prefix)
                if len(found) == 301:
                    break
        process.send_signal(signal.SIGINT)
        said, _ = await process.communicate()
    assert said.decode().splitlines() == [
        f"revision {created}: 301 bindings, 1 anchors and 1 routers copied",
        "no differences",
    ]
    assert process.returncode == 0
    assert moorage("migrate", there, back).returncode == 0
    assert moorage("compare", here, back).stdout == "no differences\n"
    assert (await target.describe())["keys"] == 604 + ("ar1" in (await target.snapshot()).present)
    again = moorage("migrate", here, there)
    assert (again.returncode, again.stderr) == (1, f"Error: {there}: is not empty\n")
    await source.commit([Delete(binding.prefix, binding.seq)])
    compared = moorage("compare", here, there)
    assert compared.stdout == f"{binding.prefix}: only in the second\n"
    assert (compared.returncode, compared.stderr) == (1, "Error: 1 differences\n")
    await source.close()
    await target.close()


@pytest.mark.interop
def test_status_of_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    said = moorage("status", "--store", cluster.url("/other/")).stdout
    for line in ("engine members", "engine leader", "engine raft term", "engine alarms"):
        assert line in said
    assert f"engine endpoint {cluster.endpoints[0]}  m1, version 3." in said
