"""What every binding store promises, each promise tried on every engine.

``store`` and ``peer`` are two users of the same store: where the engine has connections, two.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from moorage.store.etcd import EtcdStore
from moorage.store.memory import MemoryStore
from moorage.store.model import Anchor, Binding, BindingState, Router
from moorage.store.protocol import (
    AnchorChanged,
    BindingChanged,
    BindingGone,
    BindingStore,
    Change,
    Compacted,
    Conflict,
    Create,
    Delete,
    Event,
    Fenced,
    Hold,
    LeaseEnded,
    Mismatch,
    RouterChanged,
    RouterGone,
    Snapshot,
    StoreError,
    Update,
)
from moorage.store.sqlite import SqliteStore
from tests import etcd as etcds

KEEP = 200
"""Revisions that the stores under test remember for watchers."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A new store of some kind, with two users."""

    store: BindingStore
    peer: BindingStore

    shortest_lease: float = 0.3
    """In seconds."""

    compact: Callable[[], None] | None = None
    """Has it forget what is past; None: it does that by itself, after ``KEEP`` revisions."""


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[etcds.Cluster]:
    with etcds.running(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


@pytest.fixture(params=["memory", "sqlite", pytest.param("etcd", marks=pytest.mark.interop)])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    match request.param:
        case "memory":
            shared = MemoryStore(KEEP)
            engine = Engine(shared, shared)
        case "sqlite":
            path = str(tmp_path / "bindings.db")
            engine = Engine(SqliteStore.open(path, KEEP), SqliteStore.open(path, KEEP))
        case "etcd":
            cluster: etcds.Cluster = request.getfixturevalue("etcd")
            path = str(cluster.config(prefix=f"/{tmp_path.name}/"))
            engine = Engine(EtcdStore.open(path), EtcdStore.open(path), 1.0, cluster.compact)
    yield engine
    for store in (engine.store, engine.peer):
        await store.close()


@pytest.fixture
def short(engine: Engine) -> float:
    """A lease in seconds that a test can wait for."""
    return engine.shortest_lease


@pytest.fixture
def store(engine: Engine) -> BindingStore:
    return engine.store


@pytest.fixture
def peer(engine: Engine) -> BindingStore:
    return engine.peer


def numbered(binding: Binding, number: int) -> Binding:
    """Another binding, with a prefix and an IAID of its own."""
    address = binding.prefix.network_address + (number << 64)
    return replace(binding, prefix=IPv6Network((address, 64)), iaid=number)


def after(binding: Binding, **changes: object) -> Update:
    """The update that follows ``binding``."""
    following = replace(binding, seq=binding.seq + 1, **changes)  # type: ignore[arg-type]
    return Update(following, binding.seq)


async def events_until(store: BindingStore, revision: int, last: int) -> list[Event]:
    """The events after ``revision`` up to the first of the revision ``last``."""
    events: list[Event] = []
    async with asyncio.timeout(30), aclosing(store.watch(revision)) as watch:
        async for event in watch:
            events.append(event)
            if event.revision == last:
                break
    return events


async def assert_conflict(store: BindingStore, changes: Sequence[Change]) -> None:
    """The commit conflicts, and nothing of it was done."""
    before = await store.snapshot()
    with pytest.raises(Conflict) as caught:
        await store.commit(changes)
    assert isinstance(caught.value, Mismatch)
    assert caught.value.prefix in {change.prefix for change in changes}
    assert await store.snapshot() == before


async def test_new_store_is_empty(store: BindingStore, binding: Binding) -> None:
    snapshot = await store.snapshot()
    assert snapshot == Snapshot(snapshot.revision)
    assert await store.get(binding.prefix) is None
    assert await store.of_client(binding.client) == []


async def test_created_binding_is_read_back(
    store: BindingStore, peer: BindingStore, binding: Binding
) -> None:
    revision = await store.commit([Create(binding)])
    assert await peer.get(binding.prefix) == binding
    assert await peer.of_client(binding.client) == [binding]
    assert await peer.snapshot() == Snapshot(revision, (binding,))


async def test_absent_values_are_read_back(store: BindingStore, binding: Binding) -> None:
    bare = replace(
        binding,
        serving=None,
        link=None,
        next_hop=None,
        key=None,
        last_time=0,
        state=BindingState.DETACHED,
    )
    await store.commit([Create(bare)])
    assert await store.get(bare.prefix) == bare


async def test_a_prefix_of_another_length_is_another_prefix(
    store: BindingStore, binding: Binding
) -> None:
    shorter = replace(binding, prefix=binding.prefix.supernet(new_prefix=56), iaid=2)
    await store.commit([Create(binding), Create(shorter)])
    assert await store.get(shorter.prefix) == shorter
    assert (await store.snapshot()).bindings == (shorter, binding)


async def test_create_only_if_absent(
    store: BindingStore, peer: BindingStore, binding: Binding
) -> None:
    await store.commit([Create(binding)])
    await assert_conflict(peer, [Create(replace(binding, client=b"other", seq=7))])


async def test_released_binding_still_takes_the_prefix(
    store: BindingStore, binding: Binding
) -> None:
    await store.commit([Create(replace(binding, state=BindingState.RELEASED))])
    await assert_conflict(store, [Create(replace(binding, client=b"other"))])


async def test_update_replaces_the_whole_binding(
    store: BindingStore, peer: BindingStore, binding: Binding
) -> None:
    await store.commit([Create(binding)])
    new = replace(binding, client=b"other", iaid=9, anchor="ar2", serving=None, key=None, seq=5)
    await peer.commit([Update(new, expected_seq=1)])
    assert await store.get(binding.prefix) == new
    assert await store.of_client(binding.client) == []
    assert await store.of_client(b"other") == [new]


async def test_update_of_an_old_seq_conflicts(
    store: BindingStore, peer: BindingStore, binding: Binding
) -> None:
    await store.commit([Create(binding)])
    await peer.commit([after(binding, serving="ar2")])
    await assert_conflict(store, [after(binding, serving="ar3")])


async def test_update_of_nothing_conflicts(store: BindingStore, binding: Binding) -> None:
    await assert_conflict(store, [after(binding)])


def test_update_must_raise_seq(binding: Binding) -> None:
    with pytest.raises(ValueError, match="does not rise"):
        Update(binding, expected_seq=binding.seq)


async def test_delete(store: BindingStore, peer: BindingStore, binding: Binding) -> None:
    await store.commit([Create(binding)])
    await peer.commit([Delete(binding.prefix, binding.seq)])
    assert await store.get(binding.prefix) is None
    await store.commit([Create(binding)])
    assert await peer.get(binding.prefix) == binding


async def test_delete_of_an_old_seq_conflicts(store: BindingStore, binding: Binding) -> None:
    await store.commit([Create(binding)])
    await store.commit([after(binding)])
    await assert_conflict(store, [Delete(binding.prefix, binding.seq)])


async def test_delete_of_nothing_conflicts(store: BindingStore, binding: Binding) -> None:
    await assert_conflict(store, [Delete(binding.prefix, 1)])


async def test_one_of_many_rivals_wins(
    store: BindingStore, peer: BindingStore, binding: Binding
) -> None:
    await store.commit([Create(binding)])
    rivals = [after(binding, serving=f"ar{number}") for number in range(20)]
    outcomes = await asyncio.gather(
        *((store, peer)[number % 2].commit([rival]) for number, rival in enumerate(rivals)),
        return_exceptions=True,
    )
    (winner,) = (
        rival.binding
        for rival, outcome in zip(rivals, outcomes, strict=True)
        if not isinstance(outcome, Conflict)
    )
    assert await store.get(binding.prefix) == winner


async def test_conflict_spoils_no_commit_beside_it(store: BindingStore, binding: Binding) -> None:
    await store.commit([Create(binding)])
    outcomes = await asyncio.gather(
        store.commit([Create(numbered(binding, 2))]),
        store.commit([Create(numbered(binding, 3)), Create(binding)]),
        store.commit([Create(numbered(binding, 4))]),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [int, Mismatch, int]
    held = [found.iaid for found in await store.of_client(binding.client)]
    assert held == [1, 2, 4]


async def test_commit_is_all_or_nothing(store: BindingStore, binding: Binding) -> None:
    second, third = numbered(binding, 2), numbered(binding, 3)
    await store.commit([Create(binding), Create(second)])
    await assert_conflict(
        store,
        [after(binding, iaid=7), Create(third), Delete(second.prefix, second.seq + 1)],
    )
    # What was undone is not in the way either.
    await store.commit([Create(replace(third, iaid=7))])


async def test_empty_commit_changes_nothing(store: BindingStore, binding: Binding) -> None:
    revision = await store.commit([Create(binding)])
    assert await store.commit([]) == revision
    assert (await store.snapshot()).revision == revision


async def test_commit_names_a_prefix_once(store: BindingStore, binding: Binding) -> None:
    with pytest.raises(ValueError, match="same prefix"):
        await store.commit([Create(binding), after(binding)])
    assert await store.get(binding.prefix) is None


async def test_client_and_iaid_are_held_once(
    store: BindingStore, peer: BindingStore, binding: Binding
) -> None:
    second = numbered(binding, 2)
    await store.commit([Create(binding), Create(second)])
    await assert_conflict(peer, [Create(replace(numbered(binding, 3), iaid=1))])
    await assert_conflict(peer, [after(second, iaid=1)])
    await peer.commit([Create(replace(numbered(binding, 3), iaid=1, client=b"other"))])


async def test_a_prefix_and_an_address_may_have_one_iaid(
    store: BindingStore, peer: BindingStore, binding: Binding
) -> None:
    address = replace(binding, prefix=IPv6Network(binding.prefix[5]), reconfigurable=True)
    other = replace(binding, prefix=IPv6Network(binding.prefix[6]))
    await store.commit([Create(binding), Create(address)])
    assert await peer.of_client(binding.client) == [binding, address]
    await assert_conflict(peer, [Create(other)])
    await peer.commit([after(address, state=BindingState.RELEASED), Create(other)])


async def test_release_frees_client_and_iaid(store: BindingStore, binding: Binding) -> None:
    await store.commit([Create(binding)])
    successor = replace(numbered(binding, 2), iaid=binding.iaid)
    release = after(binding, state=BindingState.RELEASED)
    await store.commit([release, Create(successor)])
    assert await store.of_client(binding.client) == [release.binding, successor]
    # And taking it back is a conflict, now that another binding has the name.
    await assert_conflict(store, [after(release.binding, state=BindingState.ACTIVE)])
    await store.commit([Delete(successor.prefix, successor.seq)])
    await store.commit([after(release.binding, state=BindingState.ACTIVE)])


async def test_routers_register(store: BindingStore, peer: BindingStore, router: Router) -> None:
    other, later = replace(router, id="ar0"), replace(router, up_sid=router.address)
    start = (await store.snapshot()).revision
    revisions = [
        await store.register(router),
        await peer.register(other),
        await peer.register(later),
    ]
    assert await store.snapshot() == Snapshot(
        revisions[-1], (), (other, later), present=frozenset({"ar0", "ar1"})
    )
    assert await events_until(store, start, revisions[-1]) == [
        RouterChanged(revision, each)
        for revision, each in zip(revisions, (router, other, later), strict=True)
    ]


async def test_revisions_rise(
    store: BindingStore, peer: BindingStore, binding: Binding, router: Router
) -> None:
    revisions = [
        await store.commit([Create(binding)]),
        await peer.register(router),
        await peer.commit([after(binding)]),
        await store.commit([Delete(binding.prefix, 2)]),
    ]
    assert revisions == sorted(set(revisions))
    assert (await peer.snapshot()).revision == revisions[-1]


async def test_watch_shows_what_happened_and_what_happens(
    store: BindingStore, peer: BindingStore, binding: Binding
) -> None:
    start = (await store.snapshot()).revision
    second = numbered(binding, 2)
    created = await store.commit([Create(binding), Create(second)])
    async with asyncio.timeout(30), aclosing(peer.watch(start)) as watch:
        assert await anext(watch) == BindingChanged(created, binding)
        assert await anext(watch) == BindingChanged(created, second)
        coming = asyncio.ensure_future(anext(watch))
        update = after(binding, serving="ar2")
        changed = await store.commit([update])
        assert await coming == BindingChanged(changed, update.binding)
        gone = await peer.commit([Delete(second.prefix, second.seq)])
        assert await anext(watch) == BindingGone(gone, second.prefix)


async def test_watch_shows_no_conflict(
    store: BindingStore, binding: Binding, router: Router
) -> None:
    created = await store.commit([Create(binding)])
    await assert_conflict(store, [Create(numbered(binding, 2)), Create(binding)])
    last = await store.register(router)
    assert await events_until(store, created, last) == [RouterChanged(last, router)]


async def test_events_of_a_binding_are_in_order(
    store: BindingStore, peer: BindingStore, binding: Binding
) -> None:
    """Two users change the same few bindings, each time as they find them."""
    bindings = [numbered(binding, number) for number in range(3)]
    start = await store.commit([Create(each) for each in bindings])

    async def change(user: BindingStore, prefix: IPv6Network) -> None:
        for _ in range(10):
            stored = await user.get(prefix)
            assert stored is not None
            try:
                await user.commit([after(stored)])
            except Conflict:
                continue

    await asyncio.gather(
        *(change(user, each.prefix) for user in (store, peer) for each in bindings)
    )
    end = await store.snapshot()
    events = await events_until(peer, start, end.revision)
    revisions = [event.revision for event in events]
    assert revisions == sorted(revisions)
    for each in end.bindings:
        seqs = [
            event.binding.seq
            for event in events
            if isinstance(event, BindingChanged) and event.binding.prefix == each.prefix
        ]
        assert seqs == list(range(2, each.seq + 1))


async def test_snapshot_and_watch_lose_nothing(
    store: BindingStore, peer: BindingStore, binding: Binding, router: Router
) -> None:
    """Whoever lists and then watches, at any moment of a busy store, ends with what is stored."""
    users = (store, peer)
    acknowledged: set[int] = set()
    listed = asyncio.Semaphore(0)

    async def write(writer: int) -> None:
        user = users[writer % 2]
        mine = numbered(binding, writer)
        for _ in range(6):
            acknowledged.add(await user.commit([Create(mine)]))
            update = after(mine, serving="ar2")
            acknowledged.add(await user.commit([update]))
            acknowledged.add(await user.commit([Delete(mine.prefix, update.binding.seq)]))
        acknowledged.add(await user.commit([Create(mine)]))

    async def follow(follower: int) -> tuple[int, set[int], dict[IPv6Network, Binding]]:
        user = users[follower % 2]
        snapshot = await user.snapshot()
        listed.release()
        view = {each.prefix: each for each in snapshot.bindings}
        revisions: set[int] = set()
        async with aclosing(user.watch(snapshot.revision)) as watch:
            async for event in watch:
                revisions.add(event.revision)
                match event:
                    case BindingChanged(_, changed):
                        view[changed.prefix] = changed
                    case BindingGone(_, prefix):
                        del view[prefix]
                    case RouterChanged():
                        break
        return snapshot.revision, revisions, view

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        writers = [tasks.create_task(write(number)) for number in range(8)]
        followers = []
        for number in range(8):
            followers.append(tasks.create_task(follow(number)))
            await next(asyncio.as_completed([w for w in writers if not w.done()] or writers))
        await asyncio.wait(writers)
        for _ in followers:
            await listed.acquire()
        end = await store.register(router)
    stored = {each.prefix: each for each in (await store.snapshot()).bindings}
    assert len(stored) == len(writers)
    for follower in followers:
        start, revisions, view = follower.result()
        assert view == stored
        assert revisions == {each for each in acknowledged if each > start} | {end}


async def test_watch_of_a_forgotten_revision(
    engine: Engine, store: BindingStore, router: Router
) -> None:
    first, *others = [await store.register(router) for _ in range(KEEP + 1)]
    events = await events_until(store, first, others[-1])
    assert [event.revision for event in events] == others
    await store.register(router)
    if engine.compact is not None:
        engine.compact()
    async with aclosing(store.watch(first)) as watch:
        with pytest.raises(Compacted) as caught:
            await anext(watch)
    assert caught.value.revision == first


async def test_watcher_that_falls_behind_is_told_or_misses_nothing(
    engine: Engine, store: BindingStore, router: Router
) -> None:
    start = await store.register(router)
    first = await store.register(router)
    async with asyncio.timeout(30), aclosing(store.watch(start)) as watch:
        assert await anext(watch) == RouterChanged(first, router)
        missing = await asyncio.gather(*(store.register(router) for _ in range(KEEP + 1)))
        if engine.compact is not None:
            engine.compact()
        with suppress(Compacted):
            assert [(await anext(watch)).revision for _ in missing] == sorted(missing)


async def test_watcher_that_falls_behind_what_is_kept_is_told(
    tmp_path: Path, router: Router
) -> None:
    for store in (MemoryStore(KEEP), SqliteStore.open(str(tmp_path / "bindings.db"), KEEP)):
        start = await store.register(router)
        await store.register(router)
        async with aclosing(store.watch(start)) as watch:
            await anext(watch)
            await asyncio.gather(*(store.register(router) for _ in range(KEEP + 1)))
            with pytest.raises(Compacted):
                await anext(watch)
        await store.close()


async def test_watch_of_a_revision_to_come(store: BindingStore, router: Router) -> None:
    """Such a number comes from another store, or from before a backup was restored."""
    revision = await store.register(router)
    async with aclosing(store.watch(revision + 1)) as watch:
        with pytest.raises(Compacted):
            await anext(watch)


async def test_a_sound_store_can_be_described(store: BindingStore, binding: Binding) -> None:
    await store.commit([Create(binding)])
    assert all(isinstance(value, str | int) for value in (await store.describe()).values())


async def test_close_ends_watches(store: BindingStore, router: Router) -> None:
    revision = await store.register(router)

    async def follow() -> list[Event]:
        return [event async for event in store.watch(revision)]

    followers = [asyncio.ensure_future(follow()) for _ in range(2)]
    await asyncio.sleep(0)  # they run, and wait
    await store.close()
    async with asyncio.timeout(30):
        assert await asyncio.gather(*followers) == [[], []]


async def test_closed_store_does_nothing(
    store: BindingStore, binding: Binding, router: Router, anchor: Anchor
) -> None:
    await store.close()
    for call in (
        store.get(binding.prefix),
        store.of_client(binding.client),
        store.commit([Create(binding)]),
        store.commit([]),
        store.register(router),
        store.keep_alive(router.id),
        store.hold(Hold(anchor, 0)),
        store.snapshot(),
        store.describe(),
        anext(store.watch(0)),
    ):
        with pytest.raises(StoreError):
            await call
    await store.close()


async def test_of_many_commits_those_that_conflict_leave_the_others_alone(
    store: BindingStore, binding: Binding
) -> None:
    """Wherever they stand, and whatever is before and behind them."""
    first, second, third, fourth = (numbered(binding, number) for number in range(1, 5))
    await store.commit([Create(third)])
    start = (await store.snapshot()).revision
    outcomes = await store.commit_each(
        [
            [Create(first)],
            [Create(second)],
            [Create(third)],
            [Create(replace(fourth, iaid=first.iaid))],
            [Create(fourth)],
            [after(first), Create(third)],
            [after(first)],
            [Delete(second.prefix, second.seq)],
            [Create(second)],
        ]
    )
    revisions = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert sorted(revisions) == [start + number for number in range(1, 7)]
    assert [isinstance(outcome, Conflict) for outcome in outcomes] == [
        *(False, False, True, True, False),
        *(True, False, False, False),
    ]
    assert (await store.snapshot()).bindings == (after(first).binding, second, third, fourth)
    events = await events_until(store, start, max(revisions))
    assert [event.revision for event in events] == sorted(revisions)


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 150])
async def test_many_may_be_created_at_once(
    store: BindingStore, binding: Binding, count: int
) -> None:
    bindings = [numbered(binding, number) for number in range(count)]
    start = (await store.snapshot()).revision
    outcomes = await store.commit_each([[Create(each)] for each in bindings])
    revisions = range(start + 1, start + 1 + count)
    assert outcomes == [*revisions]
    events = await events_until(store, start, revisions[-1])
    assert events == [
        BindingChanged(revision, each) for revision, each in zip(revisions, bindings, strict=True)
    ]


# ---- leases and anchors --------------------------------------------------------------------------


async def first(store: BindingStore, revision: int, kind: type[Event]) -> Event:
    """The first event of a kind after a revision."""
    async with asyncio.timeout(30), aclosing(store.watch(revision)) as watch:
        async for event in watch:
            if isinstance(event, kind):
                return event
    raise AssertionError("the store closed")


async def test_who_gives_no_sign_of_life_is_gone(
    store: BindingStore, peer: BindingStore, router: Router, short: float
) -> None:
    """And what is known of him stays; each that watches sees it once, and so do later ones."""
    mortal = replace(router, id="ar0", lease=short)
    start = await store.register(router)
    await store.register(mortal)
    seen = await asyncio.gather(*(first(user, start, RouterGone) for user in (store, peer, store)))
    gone = seen[0]
    assert isinstance(gone, RouterGone)
    assert gone.router == "ar0"
    assert seen == [gone] * 3
    assert await first(peer, start, RouterGone) == gone
    snapshot = await peer.snapshot()
    assert snapshot.routers == (mortal, router)
    assert snapshot.present == {"ar1"}
    last = await store.register(router)
    assert await events_until(store, gone.revision, last) == [RouterChanged(last, router)]


async def test_who_keeps_his_lease_stays(
    store: BindingStore, peer: BindingStore, router: Router, short: float
) -> None:
    alive, mortal = replace(router, lease=short), replace(router, id="ar0", lease=2 * short)
    start = await store.register(alive)
    await peer.register(mortal)
    end = asyncio.ensure_future(first(peer, start, RouterGone))
    while not end.done():
        await store.keep_alive(alive.id)
        await asyncio.wait([end], timeout=short / 20)
    assert (await end).router == "ar0"  # type: ignore[union-attr]
    assert (await store.snapshot()).present == {"ar1"}


async def test_a_sign_of_life_is_no_event(store: BindingStore, router: Router) -> None:
    start = await store.register(router)
    await store.keep_alive(router.id)
    last = await store.register(router)
    assert await events_until(store, start, last) == [RouterChanged(last, router)]


async def test_a_lease_that_has_ended_cannot_be_kept(
    store: BindingStore, peer: BindingStore, router: Router, short: float
) -> None:
    with pytest.raises(LeaseEnded, match="lease of ar1 has ended"):
        await store.keep_alive(router.id)
    mortal = replace(router, lease=short)
    start = await store.register(mortal)
    gone = await first(peer, start, RouterGone)
    with pytest.raises(LeaseEnded) as caught:
        await store.keep_alive(router.id)
    assert caught.value.router == "ar1"
    back = await store.register(mortal)
    assert await first(peer, gone.revision, RouterChanged) == RouterChanged(back, mortal)
    await store.keep_alive(router.id)


async def test_a_pool_is_held(store: BindingStore, peer: BindingStore, anchor: Anchor) -> None:
    start = (await store.snapshot()).revision
    held = await store.hold(Hold(anchor, 0))
    later = Anchor("ar1", IPv6Network("2001:db8:a200::/40"), "ar2", 7)
    changed = await peer.hold(Hold(later, 1))
    other = replace(anchor, id="ar0")
    last = await peer.hold(Hold(other, 0))
    assert await store.snapshot() == Snapshot(last, anchors=(other, later))
    assert await events_until(peer, start, last) == [
        AnchorChanged(held, anchor),
        AnchorChanged(changed, later),
        AnchorChanged(last, other),
    ]


async def assert_fenced(store: BindingStore, hold: Hold) -> None:
    """Nobody comes to hold the pool so, and nothing is changed."""
    before = await store.snapshot()
    with pytest.raises(Fenced, match="anchor ar1 is not held as expected") as caught:
        await store.hold(hold)
    assert caught.value.anchor == "ar1"
    assert await store.snapshot() == before


async def test_a_pool_is_held_once(store: BindingStore, peer: BindingStore, anchor: Anchor) -> None:
    await assert_fenced(store, Hold(replace(anchor, epoch=2), 1))
    await store.hold(Hold(anchor, 0))
    await assert_fenced(peer, Hold(replace(anchor, holder="ar2"), 0))
    await peer.hold(Hold(replace(anchor, holder="ar2", epoch=2), 1))
    await assert_fenced(store, Hold(replace(anchor, epoch=2), 1))


def test_a_hold_must_raise_the_epoch(anchor: Anchor) -> None:
    with pytest.raises(ValueError, match="does not rise"):
        Hold(anchor, expected_epoch=anchor.epoch)


async def test_a_pool_is_taken_only_from_who_is_gone(
    store: BindingStore, peer: BindingStore, router: Router, anchor: Anchor, short: float
) -> None:
    taken = Hold(replace(anchor, holder="ar2", epoch=2), 1, gone="ar1")
    start = await store.register(replace(router, lease=short))
    await store.hold(Hold(anchor, 0))
    await assert_fenced(peer, taken)
    await first(peer, start, RouterGone)
    await store.register(router)
    await assert_fenced(peer, taken)
    gone = await store.register(replace(router, lease=short))
    await first(peer, gone, RouterGone)
    await peer.hold(taken)
    # He who is back may have it back, although he is there.
    await peer.hold(Hold(replace(anchor, epoch=3), 2))
    assert (await store.snapshot()).anchors == (replace(anchor, epoch=3),)


async def test_a_router_that_never_was_there_is_gone(store: BindingStore, anchor: Anchor) -> None:
    await store.hold(Hold(anchor, 0))
    await store.hold(Hold(replace(anchor, holder="ar2", epoch=2), 1, gone="ar1"))


async def test_one_of_many_standbys_wins(
    store: BindingStore, peer: BindingStore, anchor: Anchor
) -> None:
    await store.hold(Hold(anchor, 0))
    rivals = [replace(anchor, holder=f"ar{number}", epoch=2) for number in range(2, 22)]
    outcomes = await asyncio.gather(
        *(
            (store, peer)[number % 2].hold(Hold(rival, 1, gone="ar1"))
            for number, rival in enumerate(rivals)
        ),
        return_exceptions=True,
    )
    [winner] = [
        rival
        for rival, outcome in zip(rivals, outcomes, strict=True)
        if not isinstance(outcome, Fenced)
    ]
    assert (await store.snapshot()).anchors == (winner,)


async def test_who_no_longer_holds_a_pool_gives_nothing_from_it(
    store: BindingStore, peer: BindingStore, binding: Binding, anchor: Anchor
) -> None:
    second = numbered(binding, 2)
    await store.hold(Hold(anchor, 0))
    await store.commit([Create(binding, epoch=1)])
    await peer.hold(Hold(replace(anchor, holder="ar2", epoch=2), 1))
    before = await store.snapshot()
    create = Create(second, epoch=1)
    stale: list[list[Change]] = [[create], [after(binding), create]]
    for changes in stale:
        with pytest.raises(Fenced, match="anchor ar1 is not held as expected"):
            await store.commit(changes)
    assert await store.snapshot() == before
    await peer.commit([Create(second, epoch=2), after(binding)])


async def test_a_pool_that_nobody_holds_is_at_epoch_0(
    store: BindingStore, binding: Binding, anchor: Anchor
) -> None:
    second, third = numbered(binding, 2), numbered(binding, 3)
    with pytest.raises(Fenced):
        await store.commit([Create(binding, epoch=1)])
    await store.commit([Create(binding, epoch=0)])
    await store.hold(Hold(anchor, 0))
    with pytest.raises(Fenced):
        await store.commit([Create(second, epoch=0)])
    await store.commit([Create(second)])
    await store.commit([Create(third, epoch=1)])


async def test_of_many_that_are_created_the_fenced_ones_leave_the_others_alone(
    store: BindingStore, binding: Binding, anchor: Anchor
) -> None:
    await store.hold(Hold(anchor, 0))
    bindings = [numbered(binding, number) for number in range(4)]
    foreign = replace(bindings[2], anchor="ar2")
    outcomes = await store.commit_each(
        [
            [Create(bindings[0], epoch=1)],
            [Create(bindings[1], epoch=2)],
            [Create(foreign, epoch=1)],
            [Create(bindings[3], epoch=1)],
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [int, Fenced, Fenced, int]
    assert (await store.snapshot()).bindings == (bindings[0], bindings[3])


async def test_creations_and_changes_of_the_holder_at_once_have_one_order(
    store: BindingStore, peer: BindingStore, binding: Binding, anchor: Anchor
) -> None:
    """What was created at an epoch was so before the next one began, whoever looks."""
    start = await store.hold(Hold(anchor, 0))

    async def create(user: BindingStore, base: int) -> None:
        for number in range(base, base + 20):
            epoch = 1 + number % 3
            with suppress(Fenced):
                each = replace(numbered(binding, number), seq=epoch)
                await user.commit([Create(each, epoch=epoch)])

    async def take() -> int:
        await store.hold(Hold(replace(anchor, holder="ar2", epoch=2), 1))
        return await peer.hold(Hold(replace(anchor, epoch=3), 2))

    await asyncio.gather(*(create(user, base) for base, user in ((0, store), (100, peer))), take())
    end = (await store.snapshot()).revision
    epoch = 1
    for event in await events_until(peer, start, end):
        if isinstance(event, AnchorChanged):
            epoch = event.anchor.epoch
        elif isinstance(event, BindingChanged):
            assert event.binding.seq == epoch
    assert epoch == 3
