"""Whatever happens in whatever order, the host keeps its promises."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from moorage.host.actions import Action, DestroySockets, RetireLink, SendDhcp, Tell
from moorage.host.caller import Caller
from moorage.host.events import AddressClash, AddressGone
from moorage.host.lease import Lease
from moorage.host.lifecycle import State
from moorage.host.lifetimes import DailyLifetime, Lifetimes, Linger
from moorage.host.quota import ApplicationLimits, Holder, HostLimits, QuotaTable, UserLimits
from moorage.host.state import StateFile
from moorage.host.subject import Subject
from moorage.kernel.addresses import Address, AddressFlags
from moorage.service import ServiceType
from moorage.wire.dhcp6 import IaPd, MessageType, RefusalReason
from tests.scripted import (
    CALLER,
    DOMAIN,
    ROUTERS,
    USER,
    WL0,
    WL1,
    Host,
    Network,
    advertisement,
    config,
    link_local,
    own,
    slaac,
)

INTERFACES = st.sampled_from([WL0, WL1])
TYPES = st.sampled_from(ServiceType)
PREFIXES = [IPv6Network("2001:db8:1001::/64"), IPv6Network("2001:db8:1002::/64")]
BY_HAND = Address(IPv6Address("2001:db8:1001::77"), WL0, 64)
"""An address that an administrator has configured."""
STRANGE = [
    IPv6Network("2001:db8:a0:1::/72"),
    IPv6Network("fe80::/64"),
    IPv6Network("2001:db8:a0::/48"),
]
CALLERS = [CALLER, USER, replace(USER, executable="/usr/bin/mail"), replace(USER, uid=1001)]
QUOTA = QuotaTable(
    application=ApplicationLimits(addresses=2, requests=1000),
    user=UserLimits(addresses=3, requests=1000),
    all=HostLimits(addresses=9, requests=1000),
)
LINKS = [None, b"link one", b"link two"]


class HostMachine(RuleBasedStateMachine):
    """A host whose surroundings do as they please."""

    @initialize(
        boot=st.lists(st.sampled_from(["fixed", "session-lasting"]), unique=True),
        linger=st.sampled_from([0.0, 0.3, 30.0]),
        dwell=st.sampled_from([0.0, 1.0]),
        hold=st.sampled_from([0.0, 10.0]),
        age=st.sampled_from([0, 5, 100]),
        seed=st.integers(0, 3),
    )
    def start(
        self, boot: list[str], linger: float, dwell: float, hold: float, age: int, seed: int
    ) -> None:
        limit = DailyLifetime(seconds=age, bytes=10_000)
        self.config = config(
            at_boot=boot,
            linger=Linger(linger, linger, linger, linger),
            dwell=dwell,
            hold=hold,
            quota=QUOTA,
            lifetimes=Lifetimes(limit, limit, limit, limit),
        )
        self.network = Network()
        self.host = Host(self.network, self.config, seed=seed)
        self.host.do(self.host.core.address_changed(BY_HAND, self.host.now))
        self.cookie = self.watches = 0
        self.watching: set[str] = set()
        self.callers: dict[int, Caller] = {}
        self.attached = {WL0}
        self.host.attach(heard=LINKS[1])

    # ---- links ---------------------------------------------------------------------------------

    @rule(interface=INTERFACES, link=st.sampled_from(LINKS))
    def attach(self, interface: int, link: bytes | None) -> None:
        self.attached.add(interface)
        self.host.attach(interface, heard=link)

    @rule(interface=INTERFACES)
    def detach(self, interface: int) -> None:
        self.attached.discard(interface)
        self.host.detach(interface)

    @rule(interface=INTERFACES)
    def remove(self, interface: int) -> None:
        self.attached.discard(interface)
        self.host.do(self.host.core.link_removed(interface, self.host.now))

    @rule(
        interface=INTERFACES,
        link=st.sampled_from(LINKS),
        prefixes=st.sets(st.sampled_from(PREFIXES)),
        offered=st.sets(TYPES),
        lifetime=st.sampled_from([0, 1800]),
        domain=st.sampled_from([DOMAIN, b"stranger"]),
    )
    def hear(
        self,
        interface: int,
        link: bytes | None,
        prefixes: set[IPv6Network],
        offered: set[ServiceType],
        lifetime: int,
        domain: bytes,
    ) -> None:
        message = advertisement(
            link, *sorted(prefixes), offered=offered, lifetime=lifetime, domain=domain
        )
        self.host.hear(message, interface)

    @rule(interface=INTERFACES)
    def router_falls_silent(self, interface: int) -> None:
        core = self.host.core
        self.host.do(core.router_unreachable(interface, ROUTERS[interface], self.host.now))

    @rule(interface=INTERFACES)
    def somebody_else_has_our_link_local_address(self, interface: int) -> None:
        taken = replace(link_local(interface), flags=AddressFlags.DAD_FAILED)
        self.host.do(self.host.core.address_changed(taken, self.host.now))

    @rule(seconds=st.sampled_from([1.0, 1000.0, 10_000.0]))
    def sleep(self, seconds: float) -> None:
        self.host.resume(seconds)
        self.host.advance(0.0)

    @rule(
        names=st.lists(st.sampled_from(["wl0", "wl1"]), unique=True),
        slug=st.sampled_from([kind.slug for kind in ServiceType]),
    )
    def another_policy(self, names: list[str], slug: str) -> None:
        self.config = msgspec.structs.replace(self.config, serving={slug: names})
        self.host.do(self.host.core.reconfigure(self.config, self.host.now))

    @rule(interface=INTERFACES, prefix=st.sampled_from(PREFIXES), present=st.booleans())
    def ordinary_address(self, interface: int, prefix: IPv6Network, present: bool) -> None:
        core, address = self.host.core, slaac(interface, prefix)
        change = core.address_changed if present else core.address_removed
        self.host.do(change(address, self.host.now))

    @rule(others=st.integers(0, 4))
    def others_have_the_next_addresses(self, others: int) -> None:
        self.host.clashes = others

    @precondition(lambda self: self.host.formed)
    @rule(data=st.data())
    def somebody_takes_an_address_away(self, data: st.DataObject) -> None:
        interface, address = data.draw(st.sampled_from(sorted(self.host.formed)))
        found = own(interface, address, None)
        self.host.do(self.host.core.address_removed(found, self.host.now))
        if self.host.core.keeps(found):
            self.host.do(self.host.core.address_changed(found, self.host.now))

    # ---- the network ---------------------------------------------------------------------------

    @rule(
        silent=st.sets(INTERFACES),
        refuses=st.none() | st.sampled_from(RefusalReason),
        knows=st.booleans(),
        unknown=st.booleans(),
        withdrawn=st.sets(TYPES),
        replaced=st.sets(TYPES),
    )
    def turn_bad(
        self,
        silent: set[int],
        refuses: RefusalReason | None,
        knows: bool,
        unknown: bool,
        withdrawn: set[ServiceType],
        replaced: set[ServiceType],
    ) -> None:
        self.network.silent, self.network.refuses = silent, refuses
        self.network.knows_service, self.network.unknown = knows, unknown
        self.network.withdrawn, self.network.replaced = withdrawn, replaced

    @rule()
    def turn_good(self) -> None:
        self.turn_bad(set(), None, True, False, set(), set())

    @rule(interface=INTERFACES)
    def fall_silent(self, interface: int) -> None:
        self.network.silent.add(interface)

    @rule(prefix=st.sampled_from(STRANGE))
    def give_something_strange(self, prefix: IPv6Network) -> None:
        self.network.gives.append(prefix)

    @rule(lifetimes=st.sampled_from([(3600, 7200, 600, 1200), (30, 60, 0, 0), (5, 9, 9, 1)]))
    def change_lifetimes(self, lifetimes: tuple[int, int, int, int]) -> None:
        self.network.lifetimes = lifetimes

    @precondition(lambda self: self.network.heard)
    @rule(data=st.data())
    def late_answer(self, data: st.DataObject) -> None:
        interface, message = data.draw(st.sampled_from(self.network.heard[-5:]))
        silent, self.network.silent = self.network.silent, set()
        answer = self.network.answer(interface, message)
        self.network.silent = silent
        assert answer is not None
        self.host.answer(interface, answer)

    # ---- applications --------------------------------------------------------------------------

    @rule(
        kind=TYPES | st.none(),
        on_net=st.booleans(),
        held=st.booleans(),
        lifetime=st.sampled_from([0, 0, 3]),
        timeout=st.sampled_from([0.0, 0.1, 30.0]),
        client=st.sampled_from("ab"),
        caller=st.sampled_from(CALLERS),
    )
    def setsc(
        self,
        kind: ServiceType | None,
        on_net: bool,
        held: bool,
        lifetime: int,
        timeout: float,
        client: str,
        caller: Caller,
    ) -> None:
        self.cookie += 1
        cookie = None if held and kind is not None else self.cookie
        number = self.host.setsc(
            kind,
            cookie,
            on_net=on_net,
            lifetime=lifetime,
            timeout=timeout,
            client=client,
            caller=caller,
        )
        self.callers[number] = caller

    @rule(default=st.none() | TYPES)
    def choose_another_type(self, default: ServiceType | None) -> None:
        self.network.default = default

    @precondition(lambda self: self.host.core.quotas())
    @rule(data=st.data())
    def send_much(self, data: st.DataObject) -> None:
        address = data.draw(st.sampled_from(sorted(self.host.core.quotas())))
        self.host.do(self.host.core.spent(address, self.host.now))

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        self.host.close(data.draw(st.integers(0, self.cookie)))

    @rule()
    def close_all(self) -> None:
        for users in list(self.host.sockets.values()):
            for cookie in users - {0}:
                self.host.close(cookie)

    @rule(client=st.sampled_from("ab"))
    def hang_up(self, client: str) -> None:
        self.host.do(self.host.core.client_gone(client, self.host.now))
        self.watching.discard(client)

    @precondition(lambda self: self.users())
    @rule(data=st.data(), client=st.sampled_from("ab"))
    def watch(self, data: st.DataObject, client: str) -> None:
        self.watches += 1
        subject = Subject(data.draw(st.sampled_from(self.users())), None)
        self.host.do(self.host.core.watch(client, -self.watches, subject, self.host.now))
        if self.host.replies[-self.watches].status == 0:
            self.watching.add(client)

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), announced=st.booleans())
    def bind_without_asking(self, data: st.DataObject, announced: bool) -> None:
        lease = data.draw(st.sampled_from(self.alive()))
        self.cookie += 1
        assert lease.address is not None
        users = self.host.sockets.setdefault(lease.address, set())
        users.add(self.cookie if announced else 0)

    # ---- time ----------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 1.1, 6.0, 31.0, 61.0, 700.0, 7201.0]))
    def wait(self, seconds: float) -> None:
        self.host.advance(seconds)

    # ---- the daemon ----------------------------------------------------------------------------

    @rule(clean=st.booleans(), jump=st.sampled_from([0.0, -5000.0, 5000.0]))
    def restart(self, clean: bool, jump: float) -> None:
        """Start the daemon anew, after the wall clock was set to something else."""
        core, now = self.host.core, self.host.now
        if clean:
            core.sent(dict.fromkeys(core.quotas(), 17))
        with TemporaryDirectory() as folder:
            path = Path(folder) / "leases.json"
            StateFile(path, 0.0).save(core.memory, core.interface_name)
            index = {"wl0": WL0, "wl1": WL1}.get
            self.host.restart(self.config, StateFile(path, jump).load(index, now))
        self.watching.clear()
        self.host.do(self.host.core.address_changed(BY_HAND, now))
        for interface in self.attached:
            self.host.attach(interface)

    # ---- promises ------------------------------------------------------------------------------

    def alive(self) -> list[Lease]:
        return [lease for lease in self.host.core.leases if lease.alive] if self.host else []

    def users(self) -> list[int]:
        return sorted(set().union(*self.host.sockets.values())) if self.host else []

    @invariant()
    def a_lease_is_in_one_exchange_at_most(self) -> None:
        requester = self.host.core._known.requester
        held = Counter(
            a.iaid for e in requester._exchanges.values() if not e.beside for a in e.associations
        )
        assert all(count == 1 for count in held.values())

    @invariant()
    def what_is_done_is_right(self) -> None:
        done, self.host.done = self.host.done, []
        self.nothing_in_use_is_released(done)
        self.sockets_end_only_when_their_address_is_invalid(done)
        self.nothing_of_others_is_touched(done)

    def nothing_in_use_is_released(self, done: list[Action]) -> None:
        released = {
            (ia.iaid, ia.prefixes[0].prefix)
            for action in done
            if isinstance(action, SendDhcp)
            and action.transmission.message.type is MessageType.RELEASE
            for ia in action.transmission.message.every(IaPd)
        }
        assert not released & {(lease.iaid, lease.prefix) for lease in self.alive()}

    def sockets_end_only_when_their_address_is_invalid(self, done: list[Action]) -> None:
        events = [action.event for action in done if isinstance(action, Tell)]
        invalid = {e.address for e in events if isinstance(e, AddressGone | AddressClash)}
        ended = {action.address for action in done if isinstance(action, DestroySockets)}
        assert ended <= invalid

    def nothing_of_others_is_touched(self, done: list[Action]) -> None:
        retired = {a.address for a in done if isinstance(a, DestroySockets)}
        retired |= {x for a in done if isinstance(a, RetireLink) for x in a.addresses}
        assert BY_HAND.address not in retired
        ours = {lease.prefix for lease in self.alive()}
        for route in self.host.core.desired_routes():
            assert route.source in ours or route.destination in ours
        assert all(
            any(address in prefix for prefix in PREFIXES) for _, address in self.host.core.formed()
        )

    @invariant()
    def no_socket_is_left_on_an_address_that_is_gone(self) -> None:
        addresses = {lease.address for lease in self.alive()}
        ordinary = {slaac(WL0, prefix).address for prefix in PREFIXES} | {BY_HAND.address}
        formed = {address for _, address in self.host.formed}
        for address, users in self.host.sockets.items():
            assert address in addresses | ordinary | formed or not users

    @invariant()
    def those_in_use_have_sockets_and_lingering_ones_none(self) -> None:
        for lease in self.host.core.leases:
            assert (lease.state is State.IN_USE) <= bool(lease.sockets)
            assert (lease.state in (State.LINGERING, State.READY)) <= (not lease.sockets)

    @invariant()
    def only_those_who_watch_are_told(self) -> None:
        notices, self.host.notices = self.host.notices, []
        assert {notice.client for notice in notices} <= self.watching

    @invariant()
    def what_is_watched_is_there(self) -> None:
        known = self.host.core._known
        addresses = {lease.address for lease in self.alive()} | known.ordinary.addresses
        assert known.watchers._watched.keys() <= addresses

    @invariant()
    def nobody_gets_what_he_may_not_have(self) -> None:
        replies, self.host.replies = self.host.replies, {}
        for number, reply in replies.items():
            lease = self.host.lease(reply.address)
            if reply.status == 0 and number > 0 and lease is not None:
                assert self.callers[number].uid == 0 or lease.type is not ServiceType.FIXED

    @invariant()
    def nobody_has_more_than_his_quota(self) -> None:
        known = self.host.core._known
        for caller in CALLERS:
            holder = Holder(caller.uid, caller.executable)
            application, user, _ = known.admission._quotas.addresses(holder, known.leases.iaids())
            assert application.used <= application.limit
            assert user.used <= user.limit

    @invariant()
    def prefixes_do_not_overlap(self) -> None:
        prefixes = sorted(lease.prefix for lease in self.host.core.leases if lease.prefix)
        assert not any(one.overlaps(other) for one, other in pairwise(prefixes))

    @invariant()
    def nobody_waits_longer_than_asked(self) -> None:
        waiting = self.host.core._known.waiting._waiters
        assert all(waiter.deadline > self.host.now for waiter in waiting)

    @invariant()
    def all_that_is_given_is_fit_for_it(self) -> None:
        for lease in self.alive():
            retired = lease.lifetime and self.host.now >= lease.granted_at + lease.lifetime
            assert not (retired and lease.usable)


TestHostMachine = HostMachine.TestCase
TestHostMachine.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
