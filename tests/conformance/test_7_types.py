"""Draft section 7: a prefix does not tell its type, and what type it is of changes.

The network gives no stateless addresses: every type, Non-persistent too, is delegated from one pool
(RFC 9663). Hosts come, ask for prefixes and give them back for days; all chance has a fixed seed.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from ipaddress import IPv6Address, IPv6Network
from itertools import combinations
from math import log, sqrt
from random import Random
from typing import Final, NamedTuple

import pytest

from moorage.router.config import AccessLink, RouterConfig
from moorage.router.lifecycle import Expiry
from moorage.service import ServiceType
from moorage.store.memory import MemoryStore
from moorage.store.model import Binding
from moorage.store.protocol import BindingChanged, BindingGone, Change, Delete
from tests.conformance.conftest import Stage
from tests.conformance.scene import Scene
from tests.domain import Client, Clock, Site, router_config

POOL: Final = IPv6Network("2001:db8:a100::/54")
"""1024 prefixes, most of which are held or rest."""
HOSTS: Final = 100
OF_ONE_HOST: Final = 8
STEPS: Final = 12_000
APART: Final = 30.0
"""Seconds from one step to the next, on average."""


# ---- days of a network ---------------------------------------------------------------------------


class Given(NamedTuple):
    """A prefix was given to a host: its number in the pool, and its type."""

    number: int
    type: ServiceType


class Following(Site):
    """A router that learns from its own commits what there is, as the daemon does."""

    def __init__(self, config: RouterConfig, clock: Clock) -> None:
        self.store = MemoryStore()
        super().__init__(config, self.store, clock)
        self.expiry = Expiry(config, self.mirror.holder)
        self._time = clock

    async def look(self) -> None:
        """Nobody else changes anything."""

    def committed(self, commits: Sequence[tuple[int, Sequence[Change]]]) -> None:
        for revision, changes in commits:
            for change in changes:
                before = self.get(change.prefix)
                if isinstance(change, Delete):
                    self.mirror.learn(BindingGone(revision, change.prefix), self._time())
                else:
                    self.mirror.learn(BindingChanged(revision, change.binding), self._time())
                    self.expiry.note(change.binding, before)

    def get(self, prefix: IPv6Network) -> Binding | None:
        known = self.mirror.get(prefix)
        return None if known is None else known.binding

    async def expire(self) -> None:
        """End what is over."""
        for change in self.expiry.due(self.get, self._time()):
            self.committed([(await self.store.commit([change]), [change])])


async def days_of_a_network() -> list[Given]:
    """What is given while hosts ask for prefixes, forget them, and give them back."""
    clock, chance = Clock(), Random(3)
    config = router_config(pool=POOL, access=[AccessLink(interface="acc0")], quota=OF_ONE_HOST)
    router = Following(config, clock)
    hosts = [Client(clock, None, plain_duid=bytes([0, 4, number])) for number in range(HOSTS)]
    held: dict[tuple[int, int], IPv6Network] = {}
    resting: dict[IPv6Network, float] = {}
    given: list[Given] = []
    for step in range(STEPS):
        clock.now += chance.expovariate(1 / APART)
        if step % 20 == 0:
            await router.expire()
        name = chance.randrange(HOSTS), chance.randrange(OF_ONE_HOST)
        host = hosts[name[0]]
        if (prefix := held.pop(name, None)) is not None:
            binding = router.get(prefix)
            await host.ask(router, host.release(router, prefix, name[1]))
            if binding is not None and binding.held and binding.client == host.duid:
                quarantine = config.lifetimes.of(binding.type).quarantine
                resting[prefix] = clock.now + quarantine
            continue
        kind = chance.choice([*ServiceType])
        prefix = held[name] = await host.acquire(router, kind, name[1])
        assert resting.pop(prefix, 0) <= clock.now, "given again before its time"
        number = (int(prefix.network_address) - int(POOL.network_address)) >> 64
        given.append(Given(number, kind))
    return given


@pytest.fixture(scope="module")
def given() -> list[Given]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moorage.router.pool.random.SystemRandom", lambda: Random(5))
        return asyncio.run(days_of_a_network())


# ---- somebody who wants to know ------------------------------------------------------------------

Clues = Callable[[int], Sequence[Hashable]]
"""What somebody looks at in a prefix, from its number."""


def bits(number: int) -> Sequence[Hashable]:
    """Its bits, and every pair of them."""
    single = [number >> place & 1 for place in range(10)]
    return [*single, *combinations(single, 2)]


def remainders(number: int) -> Sequence[Hashable]:
    """What is left of it by small numbers."""
    return [number % divisor for divisor in (3, 5, 7, 11, 13)]


def neighbourhood(number: int) -> Sequence[Hashable]:
    """Which part of the pool it is in, by parts of several sizes."""
    return [number // size for size in (8, 32, 100, 256)]


def itself(number: int) -> Sequence[Hashable]:
    """Which it is: its types of before are known."""
    return [number]


class Observer:
    """Has learnt the types of many prefixes, and guesses that of others (naive Bayes)."""

    def __init__(self, clues: Clues, seen: Sequence[Given]) -> None:
        self._clues = clues
        self._types = Counter(each.type for each in seen)
        self._counts: defaultdict[tuple[int, Hashable], Counter[ServiceType]]
        self._counts = defaultdict(Counter)
        for each in seen:
            for clue in enumerate(clues(each.number)):
                self._counts[clue][each.type] += 1

    def guess(self, number: int) -> ServiceType:
        """The most likely type of a prefix."""
        found = [self._counts[clue] for clue in enumerate(self._clues(number))]
        return max(ServiceType, key=lambda kind: self._likelihood(kind, found))

    def _likelihood(self, kind: ServiceType, found: Sequence[Counter[ServiceType]]) -> float:
        of_kind = self._types[kind]
        return log(of_kind) + sum(log((each[kind] + 0.5) / (of_kind + 1)) for each in found)


def better_than_chance(clues: Clues, given: Sequence[Given]) -> float:
    """How much more often the types of later prefixes are guessed, in standard deviations.

    Chance is to name the type that is the most frequent among the later ones.
    """
    seen, later = given[: len(given) // 2], given[len(given) // 2 :]
    observer = Observer(clues, seen)
    right = sum(observer.guess(each.number) is each.type for each in later)
    [(_, most)] = Counter(each.type for each in later).most_common(1)
    chance = most / len(later)
    return (right - most) / sqrt(len(later) * chance * (1 - chance))


WAYS: Final = [bits, remainders, neighbourhood, itself]


@pytest.mark.parametrize("clues", WAYS)
def test_the_type_cannot_be_told_from_the_prefix(given: list[Given], clues: Clues) -> None:
    """7-c: who knows thousands of prefixes and their types guesses others no better than chance."""
    assert len(given) > 5000
    assert better_than_chance(clues, given) < 3


@pytest.mark.parametrize(
    ("clues", "leak"),
    [
        (bits, lambda number, _: number % 4),
        (remainders, lambda number, _: number % 7 % 4),
        (neighbourhood, lambda number, _: number // 256),
        (itself, lambda number, _: Random(number).randrange(4)),
        (bits, lambda number, chance: number % 4 if chance < 0.1 else chance * 1000 % 4),
    ],
    ids=["last bits", "remainder", "a part for each type", "for ever", "one in ten"],
)
def test_what_there_is_to_be_told_is_found(
    given: list[Given], clues: Clues, leak: Callable[[int, float], float]
) -> None:
    """7-c: the same observers notice when there is something to notice, even if not always."""
    chance = Random(7)
    types = [*ServiceType]
    leaky = [Given(each.number, types[int(leak(each.number, chance.random()))]) for each in given]
    assert better_than_chance(clues, leaky) > 3


def test_a_prefix_does_not_stay_of_one_type(given: list[Given]) -> None:
    """7-c: the next type of a prefix is the one before no more often than any."""
    last: dict[int, ServiceType] = {}
    same = again = 0
    for each in given:
        if each.number in last:
            again += 1
            same += last[each.number] is each.type
        last[each.number] = each.type
    share = Counter(each.type for each in given)
    chance = sum((count / len(given)) ** 2 for count in share.values())
    assert again > 4000
    assert abs(same - again * chance) < 3 * sqrt(again * chance * (1 - chance))


# ---- such a network ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def delegating(stage: Stage) -> Iterator[Scene]:
    """A network without stateless addresses, which says that it delegates (RFC 9762)."""
    with stage(host={"at_boot": []}, daemons=False) as scene:
        for name, router in scene.topology.routers.items():
            link = {
                "interface": "acc0",
                "slaac_prefix": str(router.access.prefix),
                "autonomous": False,
                "prefer_delegation": True,
            }
            scene.lab.daemon(name).start(access=[link])
        scene.lab.daemon("mn").start()
        yield scene


@pytest.mark.netns
def test_every_type_is_of_one_pool(delegating: Scene) -> None:
    """7-c: without stateless addresses all types come from the router's pool, and work."""
    pool = delegating.pool(delegating.here)
    for service in ServiceType:
        with delegating.connect(service) as connection:
            assert connection.source in pool
            assert delegating.binding(connection.source).type is service
            assert connection.works()
    assert delegating.ordinary() == set()


@pytest.mark.netns
def test_a_shared_prefix_is_visibly_non_persistent(stage: Stage) -> None:
    """7-c: what a router advertises for all hosts is of one type, and of no delegated prefix."""
    with stage(host={"at_boot": []}) as scene, scene.connect(ServiceType.NON_PERSISTENT) as found:
        source: IPv6Address = found.source
        assert source in scene.slaac_prefix(scene.here)
        assert source not in scene.pool(scene.here)
        assert scene.bindings() == []
