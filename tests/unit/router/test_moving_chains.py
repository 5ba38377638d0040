"""Whatever overtakes what, the last move wins, and no packet loops on the way."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import permutations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from moorage.complaints import Complaints
from moorage.kernel.fake import FakeKernel
from moorage.kernel.fake_filter import FakeSidFilter
from moorage.kernel.links import Link
from moorage.numbers import ROUTE_PROTOCOL
from moorage.router.account import Account
from moorage.router.config import RouterConfig
from moorage.router.forwarding import Forwarding
from moorage.router.inbox import Arrival
from moorage.router.lifecycle import Departures
from moorage.router.mirror import Mirror
from moorage.router.server import DelegationServer
from moorage.service import ServiceType
from moorage.store.memory import MemoryStore
from moorage.store.model import Binding, BindingState
from moorage.store.protocol import (
    AnchorChanged,
    BindingChanged,
    BindingGone,
    Change,
    Conflict,
    Delete,
    Event,
    Hold,
    RouterChanged,
)
from moorage.wire.dhcp6 import Message, MessageType, RapidCommit, decode_message
from tests.domain import SOURCE, Client, Clock, answer, association, ia, lease
from tests.forwarding_network import (
    INTERFACES,
    MAC,
    OUTSIDE,
    PREFIX,
    ROUTERS,
    TARGET,
    Delivered,
    Desired,
    Left,
    Network,
)

FIXED = ServiceType.FIXED
TURNS = 12
"""More turns of the event loop than anything takes that waits for nothing else."""


class SlowStore(MemoryStore):
    """Takes changes, and says that it has, when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[asyncio.Event] = []
        self.slow = False

    async def commit(self, changes: Sequence[Change]) -> int:
        await self._turn()
        try:
            return await super().commit(changes)
        finally:
            await self._turn()

    async def at_once(self, changes: Sequence[Change]) -> int:
        return await super().commit(changes)

    async def _turn(self) -> None:
        if self.slow:
            turn = asyncio.Event()
            self.waiting.append(turn)
            await turn.wait()


@dataclass(frozen=True)
class Skewed:
    """A clock that is wrong by so many seconds."""

    clock: Clock
    skew: float

    def __call__(self) -> float:
        return self.clock() + self.skew


class Router:
    """An access router: the cores that the daemon puts together, on a kernel in memory."""

    def __init__(self, config: RouterConfig, store: SlowStore, clock: Callable[[], float]) -> None:
        self.config = config
        self.clock = clock
        self.store = store
        self.kernel = FakeKernel(
            Link(index, name, MAC, 1500, up=True, carrier=True, loopback=False)
            for name, index in INTERFACES.items()
        )
        self.table = self.kernel.route_table()
        self.filter = FakeSidFilter()
        self.mirror = Mirror(config.hold)
        self.forwarding = Forwarding(
            config,
            self.mirror,
            self.table,
            self.filter,
            self.kernel.neighbour_table(),
            self.complain,
        )
        self.forwarding.heard(("acc0", SOURCE), MAC)
        self.departures = Departures(config)
        self.inbox: deque[Event] = deque()
        complaints = Complaints(logging.getLogger("test"))
        account = Account(config.id, self.mirror.holder, lambda _: None, clock)
        self.server = DelegationServer(config, store, self.mirror, self, complaints, account, clock)

    def complain(self, what: str) -> None:
        raise AssertionError(what)

    async def start(self) -> None:
        await self.store.register(self.config.router())
        await self.store.hold(Hold(self.config.anchor(), 0))
        self.mirror.reset(await self.store.snapshot(), self.clock())
        self.forwarding.resync(INTERFACES)

    async def follow(self) -> None:
        async for event in self.store.watch(0):
            self.inbox.append(event)

    def hear(self) -> None:
        event = self.inbox.popleft()
        if self.mirror.learn(event, self.clock()):
            if isinstance(event, RouterChanged | AnchorChanged):
                self.forwarding.resync(INTERFACES)
            elif isinstance(event, BindingChanged):
                self.forwarding.update([event.binding.prefix])
            elif isinstance(event, BindingGone):
                self.forwarding.update([event.prefix])

    def pass_time(self) -> None:
        self.forwarding.update(self.mirror.forget(self.clock()))

    def prepare(self, changes: Sequence[Change]) -> None:
        self.forwarding.prepare(
            change.binding for change in changes if not isinstance(change, Delete)
        )

    def committed(self, commits: Sequence[tuple[int, Sequence[Change]]]) -> None:
        changes = [(revision, change) for revision, changes in commits for change in changes]
        for revision, change in changes:
            if not isinstance(change, Delete):
                self.mirror.learn(BindingChanged(revision, change.binding), self.clock())
        self.forwarding.update([change.prefix for _, change in changes])

    def abandoned(self, changes: Sequence[Change]) -> None:
        self.forwarding.update([change.prefix for change in changes])

    async def miss_the_host(self) -> None:
        """Notice that the host does not answer any longer, as far as it should be here."""
        here = [known.binding for known in self.forwarding.at(("acc0", SOURCE))]
        for change in self.departures.left(here, self.clock()):
            try:
                await self.store.at_once([change])
            except Conflict:
                continue

    def kernel_state(self) -> Desired:
        state = self.filter.state
        assert state is not None
        routes, rules = self.table.routes(ROUTE_PROTOCOL), self.table.rules(ROUTE_PROTOCOL)
        return Desired(frozenset(routes), frozenset(rules), state)

    def is_as_it_should_be(self) -> bool:
        before = self.kernel_state()
        self.forwarding.resync(INTERFACES)
        return before == self.kernel_state()


class World:
    """Three routers, a store, and a host with a prefix of the first one."""

    def __init__(self, skews: Sequence[float] = (0.0, 0.0, 0.0)) -> None:
        """The routers' clocks differ from the true time by ``skews``, in seconds."""
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.store = SlowStore()
        self.routers = [
            Router(config, self.store, Skewed(self.clock, skew))
            for config, skew in zip(ROUTERS, skews, strict=True)
        ]
        self.host = Client(self.clock)
        self.at = self.routers[0]
        self.exchanges: list[asyncio.Task[bytes | None]] = []
        for router in self.routers:
            self.loop.run_until_complete(router.start())
            self.loop.create_task(router.follow())
        solicit = self.host.message(
            MessageType.SOLICIT, [ia(1, PREFIX)], {1: FIXED}, options=[RapidCommit()]
        )
        self.send(solicit)
        self.settle()
        self.store.slow = True

    def send(self, message: Message) -> None:
        """Have the host send a message where it is."""
        datagram = self.host.sign(message)
        work = answer(self.at.server, self.at.config.access[0], Arrival(datagram, SOURCE))
        self.exchanges.append(self.loop.create_task(work))
        self.turn()

    def rebind(self) -> None:
        self.send(self.host.rebind(PREFIX, FIXED))

    def move(self, router: Router) -> None:
        self.at = router
        self.rebind()

    def turn(self) -> None:
        """Let everybody do what he need not wait for."""

        async def turns() -> None:
            for _ in range(TURNS):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    def release(self, number: int) -> None:
        self.store.waiting.pop(number).set()
        self.turn()

    def settle(self) -> None:
        """Until nothing is under way."""
        self.turn()
        while self.store.waiting:
            self.release(0)
        assert all(exchange.done() for exchange in self.exchanges)
        for router in self.routers:
            while router.inbox:
                router.hear()

    def binding(self) -> Binding:
        found = self.loop.run_until_complete(self.store.get(PREFIX))
        assert found is not None
        return found

    def network(self) -> Network:
        return Network({router.config.id: router.kernel_state() for router in self.routers})

    def check_no_loop(self) -> None:
        """Follow packets to and from the host, wherever they enter; a loop fails."""
        network = self.network()
        for router in self.routers:
            name = router.config.id
            network.from_core(name, TARGET, OUTSIDE)
            network.tunnels = 0
            for destination in (OUTSIDE, TARGET):
                network.from_host(name, "acc0", destination)
                network.tunnels = 0

    def check_end(self) -> None:
        """The last move has won, everybody knows, and packets go their way."""
        binding = self.binding()
        here = self.at.config.id
        assert (binding.serving, binding.state) == (here, BindingState.ACTIVE)
        for router in self.routers:
            assert router.is_as_it_should_be()
            found = self.network().from_core(router.config.id, TARGET, OUTSIDE)
            assert found == Delivered(here, "acc0", SOURCE)
        assert self.network().from_host(here, "acc0", OUTSIDE) == Left("ar1")

    def answer(self) -> Message:
        """The answer to the last message."""
        data = self.exchanges[-1].result()
        assert data is not None
        message = decode_message(data)
        assert isinstance(message, Message)
        return message

    def close(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.turn()
        self.loop.close()


@pytest.fixture
def world() -> Iterator[World]:
    with closing(World()) as made:
        yield made


def test_there_and_further_and_back(world: World) -> None:
    first, second, third = world.routers
    for number, router in enumerate((second, third, first, third, second, first)):
        world.move(router)
        world.settle()
        assert lease(world.answer()).valid > 0
        assert world.binding().seq == number + 2
        world.check_no_loop()
        world.check_end()


@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_both_routers_claim_the_host_at_once(world: World, order: tuple[int, ...]) -> None:
    """It is on both links; what it signed last is where it wants to be, whoever is faster."""
    _, second, third = world.routers
    world.move(second)
    world.move(third)
    turns = list(world.store.waiting)
    assert len(turns) == 2
    for number in order:
        world.release(world.store.waiting.index(turns[number]))
        world.check_no_loop()
    world.settle()
    world.check_end()
    assert world.binding().serving == "ar3"
    # The one that lost says so, if it had not won for a moment.
    early = order == (0, 1)
    reply = decode_message(world.exchanges[-2].result() or b"")
    assert isinstance(reply, Message)
    assert (not association(reply).status) is early


def test_a_reply_that_is_lost(world: World) -> None:
    _, second, third = world.routers
    world.move(second)
    world.settle()
    world.rebind()  # again, since it got no answer
    world.settle()
    assert lease(world.answer()).valid > 0
    world.move(second)
    world.move(third)  # without having heard of the one before
    world.settle()
    world.check_end()


def test_the_news_of_old_moves_come_late(world: World) -> None:
    first, second, third = world.routers
    world.store.slow = False
    for router in (second, third, first, third):
        world.move(router)
        world.turn()
    while first.inbox:
        first.hear()
        world.check_no_loop()
    while second.inbox:
        second.hear()
        world.check_no_loop()
    world.settle()
    world.check_end()


def test_a_departure_that_is_noticed_late_changes_nothing(world: World) -> None:
    _, second, third = world.routers
    world.store.slow = False
    world.move(second)
    world.move(third)
    world.loop.run_until_complete(second.miss_the_host())
    world.settle()
    world.check_end()


@pytest.mark.parametrize("skews", list(permutations((-50.0, 0.0, 50.0))))
def test_the_clocks_of_routers_do_not_matter(skews: tuple[float, ...]) -> None:
    with closing(World(skews)) as world:
        world.store.slow = False
        for number in (1, 2, 1, 0, 2):
            world.move(world.routers[number])
            world.check_no_loop()
        world.settle()
        world.check_end()


class ChainMachine(RuleBasedStateMachine):
    """A host that moves while messages, commits and news are under way in any order."""

    @initialize()
    def start(self) -> None:
        self.world = World()

    @rule(number=st.integers(0, 2))
    def move(self, number: int) -> None:
        self.world.move(self.world.routers[number])

    @rule()
    def ask_again(self) -> None:
        self.world.rebind()

    @precondition(lambda self: self.world.store.waiting)
    @rule(data=st.data())
    def commit_goes_on(self, data: st.DataObject) -> None:
        last = len(self.world.store.waiting) - 1
        self.world.release(data.draw(st.integers(0, last)))

    @rule(number=st.integers(0, 2), count=st.integers(1, 3))
    def news_arrive(self, number: int, count: int) -> None:
        router = self.world.routers[number]
        for _ in range(min(count, len(router.inbox))):
            router.hear()

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.5, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.now += seconds
        for router in self.world.routers:
            router.pass_time()

    @rule(number=st.integers(0, 2))
    def the_host_is_missed(self, number: int) -> None:
        router = self.world.routers[number]
        if router is not self.world.at:
            self.world.loop.run_until_complete(router.miss_the_host())
            self.world.turn()

    @invariant()
    def no_packet_loops(self) -> None:
        self.world.check_no_loop()

    def teardown(self) -> None:
        # Wherever the host is in the end, it says so until it has an answer.
        answered = False
        while not answered:
            self.world.rebind()
            self.world.settle()
            answered = self.world.exchanges[-1].result() is not None
        self.world.check_end()
        self.world.check_no_loop()
        self.world.close()


TestChains = ChainMachine.TestCase
TestChains.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)
