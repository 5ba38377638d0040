"""Bindings come back from a file, and nothing that happened since is undone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from moorage.config import ConfigError
from moorage.store.memory import MemoryStore
from moorage.store.model import Anchor, Binding, BindingState
from moorage.store.protocol import Change, Conflict, Create, Hold, Update
from moorage.store.restore import Restored, restore


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    store = MemoryStore()
    yield store
    await store.close()


def numbered(binding: Binding, number: int) -> Binding:
    """Another binding, with a prefix and an IAID of its own."""
    address = binding.prefix.network_address + (number << 64)
    return replace(binding, prefix=IPv6Network((address, 64)), iaid=number)


def released(binding: Binding) -> Binding:
    return replace(
        binding, serving=None, link=None, next_hop=None, state=BindingState.RELEASED, seq=9
    )


def lines(*bindings: Binding) -> dict[int, Binding]:
    return dict(enumerate(bindings, start=1))


async def content(store: MemoryStore) -> list[Binding]:
    return list((await store.snapshot()).bindings)


async def test_an_empty_store_takes_everything_once(store: MemoryStore, binding: Binding) -> None:
    everything = [numbered(binding, number) for number in range(250)]
    assert await restore(store, lines(*everything), "x") == Restored(250, 0, 0)
    assert await content(store) == everything
    revision = (await store.snapshot()).revision
    for overwrite in (False, True):
        again = await restore(store, lines(*everything), "x", overwrite=overwrite)
        assert again == Restored(0, 250, 0)
    assert (await store.snapshot()).revision == revision


async def test_the_higher_seq_stays(store: MemoryStore, binding: Binding) -> None:
    older, newer = numbered(binding, 1), numbered(binding, 2)
    await store.commit([Create(replace(older, seq=5)), Create(replace(newer, seq=5))])
    wanted = lines(replace(older, seq=4, serving="ar2"), replace(newer, seq=6, serving="ar2"))
    for outcome in (Restored(1, 0, 1), Restored(0, 1, 1)):
        assert await restore(store, wanted, "x") == outcome
        assert await content(store) == [replace(older, seq=5), wanted[2]]


async def test_the_same_seq_with_another_content_stays(
    store: MemoryStore, binding: Binding
) -> None:
    await store.commit([Create(binding)])
    other = replace(binding, serving="ar2")
    assert await restore(store, lines(other), "x") == Restored(0, 0, 1)
    assert await content(store) == [binding]


async def test_a_prefix_that_another_client_has_stays(store: MemoryStore, binding: Binding) -> None:
    """Its seq began anew, and says nothing about which is newer."""
    await store.commit([Create(binding)])
    other = replace(binding, client=b"other", seq=7)
    assert await restore(store, lines(other), "x") == Restored(0, 0, 1)
    assert await content(store) == [binding]


async def test_overwrite_lets_the_file_win_and_seq_rise(
    store: MemoryStore, binding: Binding
) -> None:
    await store.commit([Create(replace(binding, seq=5))])
    other = replace(binding, client=b"other", serving="ar2", seq=3)
    for outcome in (Restored(1, 0, 0), Restored(0, 1, 0)):
        assert await restore(store, lines(other), "x", overwrite=True) == outcome
        assert await content(store) == [replace(other, seq=6)]


async def test_a_name_may_go_to_another_prefix(store: MemoryStore, binding: Binding) -> None:
    await store.commit([Create(binding)])
    successor = replace(numbered(binding, 2), iaid=binding.iaid)
    wanted = lines(successor, released(binding))
    assert await restore(store, wanted, "x") == Restored(2, 0, 0)
    assert await content(store) == [released(binding), successor]


@pytest.mark.parametrize("overwrite", [False, True])
async def test_no_client_holds_an_iaid_twice(
    store: MemoryStore, binding: Binding, overwrite: bool
) -> None:
    await store.commit([Create(binding)])
    namesake = replace(numbered(binding, 2), iaid=binding.iaid)
    with pytest.raises(ConfigError, match=r"^x:2: iaid: .* holds 2001:db8:a100::/64 by 1 already$"):
        await restore(store, lines(numbered(binding, 3), namesake), "x", overwrite=overwrite)
    assert await content(store) == [binding]
    twins = lines(numbered(binding, 4), replace(numbered(binding, 5), iaid=4))
    with pytest.raises(ConfigError, match=r"^x:2: iaid: "):
        await restore(store, twins, "x", overwrite=overwrite)
    assert await content(store) == [binding]


async def test_an_address_and_a_prefix_may_have_one_iaid(
    store: MemoryStore, binding: Binding
) -> None:
    address = replace(binding, prefix=IPv6Network(binding.prefix[1]))
    assert await restore(store, lines(binding, address), "x") == Restored(2, 0, 0)


class Busy(MemoryStore):
    """A store in which somebody changes a binding just before each of the first commits."""

    def __init__(self, rival: Binding, times: int) -> None:
        super().__init__()
        self.rival = rival
        self.times = times

    async def commit(self, changes: Sequence[Change]) -> int:
        if self.times:
            self.times -= 1
            stored = await self.get(self.rival.prefix)
            seq = 0 if stored is None else stored.seq
            self.rival = replace(self.rival, seq=seq + 1)
            change = Create(self.rival) if stored is None else Update(self.rival, seq)
            await super().commit([change])
        return await super().commit(changes)


async def test_a_rival_change_is_kept(binding: Binding) -> None:
    store = Busy(replace(binding, serving="ar3"), 1)
    other = numbered(binding, 2)
    assert await restore(store, lines(binding, other), "x") == Restored(1, 0, 1)
    assert await content(store) == [store.rival, other]


async def test_it_does_not_try_for_ever(binding: Binding) -> None:
    store = Busy(replace(binding, serving="ar3"), 100)
    with pytest.raises(Conflict):
        await restore(store, lines(binding), "x", overwrite=True)
    assert store.times > 0


async def test_who_holds_a_pool_comes_back(
    store: MemoryStore, binding: Binding, anchor: Anchor
) -> None:
    taken = replace(anchor, holder="ar2", epoch=7)
    for outcome in (Restored(2, 0, 0), Restored(0, 2, 0)):
        assert await restore(store, {1: taken, 2: binding}, "x") == outcome
        assert (await store.snapshot()).anchors == (taken,)


async def test_who_holds_a_pool_by_now_goes_on_unless_the_file_wins(
    store: MemoryStore, anchor: Anchor
) -> None:
    await store.hold(Hold(anchor, 0))
    taken = replace(anchor, holder="ar2", epoch=1)
    assert await restore(store, {1: taken}, "x") == Restored(0, 0, 1)
    assert (await store.snapshot()).anchors == (anchor,)
    for outcome in (Restored(1, 0, 0), Restored(0, 1, 0)):
        assert await restore(store, {1: taken}, "x", overwrite=True) == outcome
        assert (await store.snapshot()).anchors == (replace(taken, epoch=2),)
