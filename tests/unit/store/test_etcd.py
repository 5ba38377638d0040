"""A store on an etcd cluster when members fail, connections break and history is compacted."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from moorage.lab.certificates import Authority
from moorage.store.etcd import EtcdStore
from moorage.store.model import Anchor, Binding, BindingState, Router
from moorage.store.protocol import (
    BindingChanged,
    BindingGone,
    BindingStore,
    Compacted,
    Create,
    Delete,
    Hold,
    RouterChanged,
    Snapshot,
    StoreError,
    Update,
)
from moorage.store.restore import restore
from tests.etcd import Cluster, running
from tests.unit.store.forwarder import Forwarder

pytestmark = pytest.mark.interop

NAMES = ("m1", "m2", "m3")


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("trio"), NAMES, election=1000) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("single")) as cluster:
        yield cluster


@asynccontextmanager
async def opened(cluster: Cluster, folder: Path, **settings: object) -> AsyncIterator[EtcdStore]:
    """A store of its own in a cluster."""
    config = cluster.config(f"{folder.name}.toml", prefix=f"/{folder.name}/", **settings)
    store = EtcdStore.open(str(config))
    try:
        yield store
    finally:
        await store.close()


def numbered(binding: Binding, number: int) -> Binding:
    """Another binding, of another client."""
    address = binding.prefix.network_address + (number << 64)
    return replace(binding, prefix=IPv6Network((address, 64)), client=b"c%d" % number)


def following(binding: Binding) -> Update:
    return Update(replace(binding, seq=binding.seq + 1), binding.seq)


# ---- under load ----------------------------------------------------------------------------------


@dataclass
class Load:
    """Writers that change a binding each, all the time, and a reader who must miss nothing."""

    store: BindingStore
    first: list[Binding]
    acknowledged: dict[IPv6Network, int] = field(default_factory=dict)
    view: dict[IPv6Network, int] = field(default_factory=dict)
    listed: int = 0
    failures: int = 0
    done: bool = False
    waiting: set[IPv6Network] = field(default_factory=set)
    all_wrote: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, binding: Binding) -> None:
        """Go on from what is stored, whatever happens to single commits."""
        while not self.done:
            try:
                stored = await self.store.get(binding.prefix)
                change = Create(binding) if stored is None else following(stored)
                await self.store.commit([change])
                self.acknowledged[binding.prefix] = change.binding.seq
                self.waiting.discard(binding.prefix)
                if not self.waiting:
                    self.all_wrote.set()
            except StoreError:
                self.failures += 1

    async def read(self) -> None:
        """Follow the store as a router does."""
        while True:
            with suppress(StoreError, Compacted):
                snapshot = await self.store.snapshot()
                self.listed += 1
                for each in snapshot.bindings:
                    assert each.seq >= self.view.get(each.prefix, 0)
                    self.view[each.prefix] = each.seq
                async with aclosing(self.store.watch(snapshot.revision)) as watch:
                    async for event in watch:
                        match event:
                            case BindingChanged(_, changed):
                                assert changed.seq == self.view.get(changed.prefix, 0) + 1
                                self.view[changed.prefix] = changed.seq
                            case RouterChanged():
                                return

    @asynccontextmanager
    async def run(self, end: Router) -> AsyncIterator[None]:
        """Write and read meanwhile; in the end the reader knows what is stored, and all that was
        acknowledged is there."""
        async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
            writers = [tasks.create_task(self.write(binding)) for binding in self.first]
            reader = tasks.create_task(self.read())
            yield
            self.done = True
            await asyncio.wait(writers)
            await self.store.register(end)
            await reader
        stored = {each.prefix: each.seq for each in (await self.store.snapshot()).bindings}
        assert self.view == stored
        assert all(stored[prefix] >= seq for prefix, seq in self.acknowledged.items())
        assert len(stored) == len(self.first)

    async def progress(self) -> None:
        """Wait until every writer has had a commit acknowledged since now."""
        self.waiting = {each.prefix for each in self.first}
        self.all_wrote.clear()
        await self.all_wrote.wait()


async def test_nothing_is_lost_when_members_are_killed_and_history_is_compacted(
    trio: Cluster, tmp_path: Path, binding: Binding, router: Router
) -> None:
    async with opened(trio, tmp_path) as store:
        load = Load(store, [numbered(binding, number) for number in range(8)])
        async with load.run(router):
            await load.progress()
            for name in (await asyncio.to_thread(trio.leader), *NAMES):
                await asyncio.to_thread(trio.kill, name)
                await load.progress()
                await asyncio.to_thread(trio.compact)
                await load.progress()
                await asyncio.to_thread(trio.start, name)
                await load.progress()


async def test_nothing_is_lost_when_the_only_member_is_killed_and_comes_back(
    single: Cluster, tmp_path: Path, binding: Binding, router: Router
) -> None:
    async with opened(single, tmp_path, timeout=20.0) as store:
        load = Load(store, [numbered(binding, number) for number in range(8)])
        async with load.run(router):
            for _ in range(3):
                await load.progress()
                await asyncio.to_thread(single.kill, "m1")
                await asyncio.to_thread(single.start)
            await load.progress()
        assert load.failures == 0
        assert load.listed == 1


# ---- members -------------------------------------------------------------------------------------


async def test_a_member_that_stands_still_is_left(
    trio: Cluster, tmp_path: Path, binding: Binding
) -> None:
    """Whichever it is; and what a watcher waits for comes by another one."""
    async with opened(trio, tmp_path, timeout=6.0) as store:
        revision = await store.commit([Create(binding)])
        async with asyncio.timeout(60), aclosing(store.watch(revision)) as watch:
            coming = asyncio.ensure_future(anext(watch))
            for name in NAMES:
                trio.freeze(name)
                try:
                    update = following(binding)
                    changed = await store.commit([update])
                    assert await coming == BindingChanged(changed, update.binding)
                    coming = asyncio.ensure_future(anext(watch))
                    binding = update.binding
                finally:
                    trio.thaw(name)
            coming.cancel()
            await asyncio.wait([coming])


async def test_without_a_majority_calls_fail_in_time_and_then_work_again(
    trio: Cluster, tmp_path: Path, binding: Binding
) -> None:
    async with opened(trio, tmp_path, timeout=1.5) as store:
        revision = await store.commit([Create(binding)])
        for name in NAMES[1:]:
            trio.kill(name)
        try:
            for _ in range(2):
                with pytest.raises(StoreError, match=r"^etcd:/.*\.toml: \S"):
                    await store.commit([following(binding)])
            with pytest.raises(StoreError):
                await store.get(binding.prefix)
            async with aclosing(store.watch(revision)) as watch:
                with pytest.raises(StoreError):
                    await anext(watch)
        finally:
            await asyncio.to_thread(trio.start, *NAMES[1:])
        stored = await store.get(binding.prefix)
        assert stored is not None
        await store.commit([following(stored)])


async def test_nobody_there_is_one_line(tmp_path: Path, binding: Binding) -> None:
    config = tmp_path / "etcd.toml"
    config.write_text('endpoints = ["[::1]:1", "[::1]:2"]\ntimeout = 0.5\n')
    store = EtcdStore.open(str(config))
    for call in (store.get(binding.prefix), store.snapshot(), store.describe()):
        with pytest.raises(StoreError, match=rf"^etcd:{config}: failed to connect .*$") as caught:
            await call
        assert "\n" not in str(caught.value)
    await store.close()


# ---- answers that are lost -----------------------------------------------------------------------


async def test_a_commit_whose_answer_is_lost_is_done_once(
    single: Cluster, tmp_path: Path, binding: Binding, anchor: Anchor
) -> None:
    """It is recognised as ours when it is tried again."""
    second = numbered(binding, 2)
    async with (
        Forwarder(single.endpoints[0]) as way,
        opened(single, tmp_path, endpoints=[way.endpoint]) as store,
    ):
        await store.commit([Create(second)])
        for changes in (
            [Create(binding)],
            [following(binding)],
            [Delete(second.prefix, second.seq)],
        ):
            way.lose_answers()
            revision = await store.commit(changes)
            assert (await store.snapshot()).revision == revision
        way.lose_answers()
        held = await store.hold(Hold(anchor, 0))
        assert await store.snapshot() == Snapshot(
            held, (following(binding).binding,), anchors=(anchor,)
        )


async def test_a_commit_whose_answer_is_lost_and_that_is_undone_is_in_doubt(
    single: Cluster, tmp_path: Path, binding: Binding
) -> None:
    async with (
        Forwarder(single.endpoints[0]) as way,
        opened(single, tmp_path, endpoints=[way.endpoint]) as store,
        opened(single, tmp_path) as other,
    ):
        created = await store.commit([Create(binding)])
        way.lose_answers(refuse=True)
        committing = asyncio.ensure_future(store.commit([following(binding)]))
        async with asyncio.timeout(30), aclosing(other.watch(created)) as watch:
            async for event in watch:
                if isinstance(event, BindingChanged) and event.binding.seq == 2:
                    break
        await other.commit([following(following(binding).binding)])
        way.admit()
        with pytest.raises(StoreError, match="was cut off"):
            await committing


# ---- history -------------------------------------------------------------------------------------


async def test_a_deletion_that_was_compacted_is_not_passed_over(
    single: Cluster, tmp_path: Path, binding: Binding
) -> None:
    async with opened(single, tmp_path) as store:
        created = await store.commit([Create(binding)])
        deleted = await store.commit([Delete(binding.prefix, binding.seq)])
        single.compact(deleted)
        async with asyncio.timeout(30), aclosing(store.watch(created)) as watch:
            with suppress(Compacted):
                assert await anext(watch) == BindingGone(deleted, binding.prefix)


async def test_a_snapshot_is_of_one_revision_whatever_is_compacted(
    single: Cluster, tmp_path: Path, binding: Binding
) -> None:
    many = [numbered(binding, number) for number in range(1100)]
    async with opened(single, tmp_path) as store:
        await store.commit_each([[Create(each)] for each in many])
        reading = asyncio.ensure_future(store.snapshot())
        for number in itertools.count():
            await store.commit([following(replace(many[0], seq=1 + number))])
            await asyncio.to_thread(single.compact)
            if reading.done():
                break
        assert [each.prefix for each in (await reading).bindings] == [each.prefix for each in many]


async def test_what_does_not_fit_together_is_damage(
    single: Cluster, tmp_path: Path, binding: Binding
) -> None:
    async with opened(single, tmp_path) as store:
        await store.commit([Create(binding)])
        found = await store.describe()
        assert (found["keys"], found["members"], found["leader"]) == (2, 1, "m1")
        index, state = f"/{tmp_path.name}/index/", f"/{tmp_path.name}/state/"
        for commands, what in (
            ([["put", f"{index}x", "y"]], "index/x' is wrong"),
            ([["del", "--prefix", index]], "is missing"),
            ([["put", f"{state}other", "y"]], "nothing of ours"),
            ([["put", "--", f"{state}binding/x", "y"]], "no prefix"),
        ):
            for command in commands:
                single.ctl(*command)
            with pytest.raises(StoreError, match=what) as caught:
                await store.describe()
            assert str(caught.value).startswith(f"etcd:{single.folder}/")
            single.ctl("del", "--prefix", f"{state}other")
            single.ctl("del", f"{state}binding/x")
        with pytest.raises(StoreError, match="missing"):
            await store.describe()


async def test_a_back_up_of_any_size_is_brought_in(
    single: Cluster, tmp_path: Path, binding: Binding
) -> None:
    """In commits that etcd takes, whatever becomes of the bindings."""
    many = [numbered(binding, number) for number in range(70)]
    released = [replace(each, seq=2, state=BindingState.RELEASED) for each in many]
    async with opened(single, tmp_path) as store:
        for wanted in (many, released):
            done = await restore(store, dict(enumerate(wanted)), "file", overwrite=True)
            assert done.written == len(wanted)
            assert (await store.snapshot()).bindings == tuple(wanted)
        assert (await store.describe())["keys"] == 2 * len(many)


async def test_other_keys_of_the_cluster_are_left_alone(
    single: Cluster, tmp_path: Path, binding: Binding
) -> None:
    single.ctl("put", f"/{tmp_path.name}0", "not ours")
    async with opened(single, tmp_path) as store:
        revision = await store.commit([Create(binding)])
        assert await store.snapshot() == Snapshot(revision, (binding,))
        single.ctl("put", f"/{tmp_path.name}1", "not ours either")
        async with asyncio.timeout(30), aclosing(store.watch(revision)) as watch:
            last = await store.commit([following(binding)])
            assert await anext(watch) == BindingChanged(last, following(binding).binding)


# ---- who may -------------------------------------------------------------------------------------


async def test_members_and_routers_prove_to_each_other_who_they_are(
    tmp_path: Path, binding: Binding
) -> None:
    authority = Authority()
    ours = authority.issue(tmp_path / "ours", "ar1")
    theirs = Authority().issue(tmp_path / "theirs", "ar1")
    tls = {"ca": ours.ca, "certificate": ours.certificate, "key": ours.key}
    with running(tmp_path, authority=authority) as cluster:
        async with opened(cluster, tmp_path, tls=tls) as store:
            await store.commit([Create(binding)])
            assert await store.get(binding.prefix) == binding
        for wrong in ({"ca": ours.ca}, {**tls, "ca": theirs.ca}, None):
            settings = {"timeout": 0.5} if wrong is None else {"timeout": 0.5, "tls": wrong}
            async with opened(cluster, tmp_path, **settings) as store:
                with pytest.raises(StoreError, match=r"^etcd:\S+: failed to connect"):
                    await store.get(binding.prefix)


async def test_a_user_logs_in_again_when_it_has_to(
    tmp_path: Path, binding: Binding, router: Router
) -> None:
    password = tmp_path / "password"
    password.write_text("correct\n")
    login = {"user": "ar", "password_file": password}
    with running(tmp_path) as cluster:
        for command in (
            "user add root:root",
            "user grant-role root root",
            "user add ar:correct",
            "role add router",
            f"role grant-permission router --prefix=true readwrite /{tmp_path.name}/",
            "user grant-role ar router",
            "auth enable",
        ):
            cluster.ctl(*command.split())
        cluster.user = "root:root"
        async with opened(cluster, tmp_path, **login) as store:
            await store.register(router)
            await store.keep_alive(router.id)
            assert (await store.describe())["alarms"] == "none"
            revision = await store.commit([Create(binding)])
            async with aclosing(store.watch(revision)) as watch:
                coming = asyncio.ensure_future(anext(watch))
                await asyncio.to_thread(cluster.kill, "m1")
                await asyncio.to_thread(cluster.start)
                changed = await store.commit([following(binding)])
                assert await coming == BindingChanged(changed, following(binding).binding)
        async with opened(cluster, tmp_path) as store:
            with pytest.raises(StoreError, match="user name is empty"):
                await store.get(binding.prefix)
        async with opened(cluster, tmp_path / "elsewhere", **login) as store:
            for call in (store.get(binding.prefix), anext(store.watch(1))):
                with pytest.raises(StoreError, match="permission denied"):
                    await call
        password.write_text("wrong\n")
        async with opened(cluster, tmp_path, **login) as store:
            with pytest.raises(StoreError, match="authentication failed"):
                await store.commit([Create(binding)])
