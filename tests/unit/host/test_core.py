"""Scenarios of a whole host: a network answers by script, a hand turns the clock."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from moorage.host.actions import (
    Answer,
    CountSockets,
    DestroySockets,
    Persist,
    Reconcile,
    RetireLink,
    SendDhcp,
    SolicitRouters,
)
from moorage.host.config import RetireSlaac
from moorage.host.lease import Lease
from moorage.host.lifecycle import State
from moorage.host.lifetimes import Linger
from moorage.host.reach import Reach
from moorage.host.state import StateFile
from moorage.kernel.addresses import AddressFlags
from moorage.numbers import EAI_REQUIREDIPFAILED, EAI_REQUIREDIPNOTSUPPORTED
from moorage.service import ServiceType
from moorage.wire.app import Reason, Reply
from moorage.wire.dhcp6 import (
    ClientId,
    IaPd,
    Message,
    MessageType,
    RefusalReason,
    ServerId,
)
from tests.scripted import (
    DUID,
    FIXED,
    GRACEFUL,
    LASTING,
    ORDINARY,
    ROUTERS,
    SERVER,
    WL0,
    WL1,
    Host,
    Network,
    advertisement,
    config,
    slaac,
)

HERE, THERE = b"link one", b"link two"
ADVERTISED = IPv6Network("2001:db8:1001::/64")
ADVERTISED_THERE = IPv6Network("2001:db8:1002::/64")
SOLICIT, RENEW, REBIND, RELEASE = (
    MessageType.SOLICIT,
    MessageType.RENEW,
    MessageType.REBIND,
    MessageType.RELEASE,
)


def failed(reply: Reply) -> Reason:
    assert reply.status == EAI_REQUIREDIPFAILED
    assert reply.address == IPv6Address(0)
    return reply.reason


def unsupported(reply: Reply) -> Reason:
    assert reply.status == EAI_REQUIREDIPNOTSUPPORTED
    assert reply.address == IPv6Address(0)
    return reply.reason


@pytest.fixture
def host() -> Host:
    host = Host()
    host.attach(heard=HERE)
    return host


def held(host: Host, kind: ServiceType, cookie: int = 1) -> Lease:
    """Return the lease whose address a new socket was given."""
    lease = host.lease(host.ask(kind, cookie).address)
    assert lease is not None
    return lease


def reach(lease: Lease) -> Reach:
    """Return what becomes of the packets of a lease."""
    return lease.reach.state


def rebound(host: Host) -> list[tuple[int, set[IPv6Network | None]]]:
    """Return interface and prefixes of each Rebind since the last time."""
    heard, host.network.heard = host.network.heard, []
    return [
        (interface, {ia.prefixes[0].prefix for ia in message.every(IaPd)})
        for interface, message in heard
        if message.type is REBIND
    ]


# ---- asking ------------------------------------------------------------------------------------


def test_nothing_is_asked_for_without_need(host: Host) -> None:
    host.advance(100)
    assert host.network.heard == []


def test_types_of_policy_are_asked_for_at_boot() -> None:
    host = Host(config=config(at_boot=["fixed", "session-lasting"]))
    host.attach(heard=HERE)
    assert {lease.type for lease in host.core.leases} == {FIXED, LASTING}
    assert all(lease.state is State.READY for lease in host.core.leases)
    host.advance(500)
    assert len(host.core.leases) == 2


def test_boot_request_is_repeated_a_minute_after_a_refusal() -> None:
    host = Host(Network(refuses=RefusalReason.POOL_FULL), config(at_boot=["fixed"]))
    host.attach(heard=HERE)
    assert host.network.types() == [SOLICIT]
    host.advance(59)
    assert host.network.types() == []
    host.network.refuses = None
    host.advance(2)
    assert host.network.types() == [SOLICIT]
    assert len(host.core.leases) == 1


@pytest.mark.parametrize(("knows", "most"), [(True, 1), (False, 12)])
def test_answers_that_make_no_sense_are_not_asked_for_without_end(knows: bool, most: int) -> None:
    host = Host(Network(knows_service=knows, unknown=knows), config(at_boot=["fixed"]))
    host.attach(heard=HERE)
    host.advance(59)
    assert 1 <= host.network.types().count(SOLICIT) <= most


def test_boot_request_is_repeated_a_minute_after_a_plain_servers_answer() -> None:
    host = Host(Network(knows_service=False), config(at_boot=["fixed"]))
    host.attach()
    host.advance(59)
    assert host.network.types() == [SOLICIT, RELEASE]
    host.network.knows_service = True
    host.advance(2)
    assert host.network.types() == [SOLICIT]
    assert [lease.type for lease in host.core.leases] == [FIXED]


def test_what_was_refused_on_one_link_is_asked_for_on_the_next() -> None:
    host = Host(Network(refuses=RefusalReason.POOL_FULL), config(at_boot=["fixed"]))
    host.attach(heard=HERE)
    host.detach()
    host.network.refuses = None
    host.attach(heard=THERE)
    assert [lease.type for lease in host.core.leases] == [FIXED]


def test_links_that_are_all_silent_are_asked_ever_less(host: Host) -> None:
    held(host, LASTING)
    host.network.silent = {WL0, WL1}
    host.detach()
    host.attach()
    host.attach(WL1)
    host.advance(600)
    host.forget()
    host.advance(600)
    assert 1 <= len(host.network.heard) <= 200


def test_setsc_with_an_address_answers_in_the_same_call() -> None:
    host = Host(config=config(at_boot=["session-lasting"]))
    host.attach(heard=HERE)
    host.network.heard.clear()
    reply = host.ask(LASTING)
    assert (reply.status, reply.reason, reply.valid_for) == (0, Reason.NONE, 7200)
    assert host.network.heard == []


def test_setsc_asks_the_network(host: Host) -> None:
    host.network.silent = {WL0}
    number = host.setsc(FIXED)
    assert number not in host.replies
    host.network.silent = set()
    host.advance(0.2)
    [lease] = host.core.leases
    assert host.replies[number].address == lease.address
    assert lease.prefix is not None
    assert lease.address in lease.prefix
    assert (lease.state, lease.sockets) == (State.IN_USE, {1})


def test_the_address_works_and_is_saved_before_the_answer(host: Host) -> None:
    host.network.silent = {WL0}
    host.setsc(LASTING)
    host.forget()
    host.network.silent = set()
    host.advance(0.2)
    kinds = [type(action) for action in host.done]
    assert kinds.index(Reconcile) < kinds.index(Persist) < kinds.index(Answer)


def test_two_applications_share_one_request_and_one_address(host: Host) -> None:
    host.network.silent = {WL0}
    first, second = host.setsc(LASTING, 1), host.setsc(LASTING, 2)
    host.network.silent = set()
    host.advance(0.2)
    assert host.replies[first].address == host.replies[second].address
    assert len(host.core.leases) == 1


def test_on_net_is_a_new_prefix(host: Host) -> None:
    first = host.ask(LASTING, 1)
    second = host.ask(LASTING, 2, on_net=True)
    assert second.status == 0
    assert first.address != second.address


@pytest.mark.parametrize("number", [0, 5, 6, 7, 255])
def test_reserved_types(host: Host, number: int) -> None:
    assert failed(host.ask(number)) is Reason.BAD_REQUEST


@pytest.mark.parametrize("reason", RefusalReason)
def test_refusal(host: Host, reason: RefusalReason) -> None:
    host.network.refuses = reason
    reply = host.ask(LASTING)
    if reason is RefusalReason.TYPE_NOT_OFFERED:
        assert unsupported(reply) is Reason.TYPE_NOT_OFFERED
    else:
        assert failed(reply) is Reason(reason)
    assert not host.core.leases


def test_type_that_is_not_advertised_is_refused_without_asking() -> None:
    host = Host()
    host.attach()
    host.hear(advertisement(HERE, offered=[FIXED]))
    assert unsupported(host.ask(LASTING)) is Reason.TYPE_NOT_OFFERED
    assert host.network.heard == []
    assert host.ask(FIXED).status == 0


def test_detached_fails_at_once() -> None:
    host = Host()
    assert failed(host.ask(LASTING)) is Reason.DETACHED
    assert failed(host.ask(ORDINARY)) is Reason.DETACHED


def test_silence_is_not_supported_after_a_second_and_remembered_for_a_minute() -> None:
    host = Host(Network(silent={WL0}))
    host.attach()
    host.hear(advertisement(None, ADVERTISED))
    number = host.setsc(LASTING)
    host.advance(0.99)
    assert number not in host.replies
    host.advance(0.02)
    assert unsupported(host.replies[number]) is Reason.NO_SERVICE
    host.advance(59)
    host.network.heard.clear()
    assert unsupported(host.ask(LASTING)) is Reason.NO_SERVICE
    assert host.network.heard == []
    host.advance(1)
    host.network.silent = set()
    assert host.ask(LASTING).status == 0


def test_not_supported_is_forgotten_when_our_option_is_heard() -> None:
    host = Host(Network(silent={WL0}))
    host.attach()
    host.hear(advertisement(None, ADVERTISED))
    host.setsc(LASTING)
    host.advance(2)
    host.hear(advertisement(HERE, ADVERTISED))
    host.network.silent = set()
    assert host.ask(LASTING).status == 0


def test_impatience_says_nothing_about_the_network() -> None:
    host = Host(Network(silent={WL0}))
    host.attach()
    host.advance(1)
    number = host.setsc(LASTING, timeout=0.05)
    host.advance(0.06)
    assert failed(host.replies[number]) is Reason.TIMEOUT
    host.network.silent = set()
    assert host.ask(LASTING).status == 0


def test_a_network_that_knows_us_has_five_seconds(host: Host) -> None:
    host.network.silent = {WL0}
    number = host.setsc(LASTING)
    host.advance(4.99)
    assert number not in host.replies
    host.advance(0.02)
    assert failed(host.replies[number]) is Reason.TIMEOUT
    assert not host.core.leases
    host.forget()
    host.advance(30)
    assert host.network.heard == []


def test_the_caller_says_how_long(host: Host) -> None:
    host.network.silent = {WL0}
    number = host.setsc(LASTING, timeout=20)
    host.advance(19.99)
    assert number not in host.replies
    host.advance(0.02)
    assert failed(host.replies[number]) is Reason.TIMEOUT


def test_an_application_that_hung_up_gets_no_answer(host: Host) -> None:
    host.network.silent = {WL0}
    number = host.setsc(LASTING, client="gone")
    other = host.setsc(LASTING, 2)
    host.do(host.core.client_gone("gone", host.now))
    host.network.silent = set()
    host.advance(1)
    assert number not in host.replies
    assert other in host.replies


def test_nothing_is_asked_for_when_nobody_waits_any_more(host: Host) -> None:
    host.network.silent = {WL0}
    host.setsc(LASTING, client="gone")
    host.do(host.core.client_gone("gone", host.now))
    assert list(host.core.leases) == []
    host.network.heard.clear()
    host.advance(30)
    assert host.network.heard == []


def test_plain_server_is_not_supported_and_gets_its_prefix_back() -> None:
    host = Host(Network(knows_service=False))
    host.attach()
    host.advance(1)
    assert unsupported(host.ask(LASTING)) is Reason.NO_SERVICE
    assert not host.core.leases
    assert host.network.types() == [SOLICIT, RELEASE]
    assert len(host.network.released) == 1


@pytest.mark.parametrize(
    "prefix",
    ["2001:db8:a0:1::/72", "fe80:0:0:1::/64", "ff0e:0:0:1::/64", "::/64"],
)
def test_unwanted_prefix_is_refused_and_handed_back(host: Host, prefix: str) -> None:
    host.network.gives = [IPv6Network(prefix)]
    assert failed(host.ask(LASTING)) is Reason.TRY_LATER
    assert not host.core.leases
    assert host.network.types() == [SOLICIT, RELEASE]
    assert host.network.released == [IPv6Network(prefix)]


def test_plain_server_beside_ours_decides_nothing() -> None:
    host = Host(Network(knows_service=False))
    host.attach(heard=HERE)
    number = host.setsc(LASTING)
    assert number not in host.replies
    assert host.network.types() == [SOLICIT, RELEASE]
    host.network.knows_service = True
    host.advance(2)
    assert host.replies[number].status == 0


def test_prefix_that_is_ours_for_another_type_is_refused(host: Host) -> None:
    fixed = held(host, FIXED)
    assert fixed.prefix is not None
    host.network.gives = [fixed.prefix]
    assert failed(host.ask(LASTING, 2)) is Reason.TRY_LATER
    assert list(host.core.leases) == [fixed]


def test_shorter_prefix_is_taken(host: Host) -> None:
    host.network.gives = [IPv6Network("2001:db8:a0:100::/56")]
    assert host.ask(LASTING).address in IPv6Network("2001:db8:a0:100::/64")


def test_longer_preferred_than_valid_is_refused(host: Host) -> None:
    host.network.lifetimes = (7200, 3600, 600, 1200)
    assert failed(host.ask(LASTING)) is Reason.TRY_LATER


def test_another_type_than_asked_for_is_refused(host: Host) -> None:
    host.network.lies = FIXED
    assert failed(host.ask(LASTING)) is Reason.TRY_LATER
    assert len(host.network.released) == 1


# ---- keeping and releasing ---------------------------------------------------------------------


def test_last_socket_lingers_is_counted_and_released(host: Host) -> None:
    lease = held(host, LASTING)
    prefix, address = lease.prefix, lease.address
    host.network.heard.clear()
    host.close(1)
    assert lease.state is State.LINGERING
    host.advance(29.9)
    assert list(host.core.leases) == [lease]
    host.took(CountSockets)
    host.advance(0.2)
    assert [action.address for action in host.done if isinstance(action, CountSockets)] == [address]
    assert host.network.types() == [RELEASE]
    assert host.network.released == [prefix]
    assert not host.core.leases
    assert not host.core.desired_routes()
    kinds = [type(action) for action in host.done]
    assert kinds.index(Reconcile) < kinds.index(SendDhcp)


def test_each_type_lingers_for_a_time_of_its_own() -> None:
    host = Host(config=config(linger=Linger(session_lasting=5, graceful_replacement=50)))
    host.attach(heard=HERE)
    lasting, graceful = held(host, LASTING, 1), held(host, GRACEFUL, 2)
    host.close(1)
    host.close(2)
    host.advance(4)
    assert list(host.core.leases) == [lasting, graceful]
    host.advance(2)
    assert list(host.core.leases) == [graceful]
    host.advance(43)
    assert list(host.core.leases) == [graceful]
    host.advance(2)
    assert not host.core.leases


def test_one_of_two_sockets_closes(host: Host) -> None:
    lease = held(host, LASTING, 1)
    assert host.ask(LASTING, 2).address == lease.address
    host.close(1)
    host.advance(300)
    assert lease.state is State.IN_USE
    assert not host.network.released


def test_reuse_while_lingering(host: Host) -> None:
    lease = held(host, LASTING)
    host.close(1)
    host.advance(20)
    assert host.ask(LASTING, 2).address == lease.address
    host.advance(300)
    assert lease.state is State.IN_USE


def test_sockets_that_never_asked_are_counted(host: Host) -> None:
    """A child that bound the same address itself: only the count finds its socket."""
    lease = held(host, LASTING)
    assert lease.address is not None
    host.sockets[lease.address].add(77)
    host.close(1)
    host.advance(31)
    assert (lease.state, lease.sockets) == (State.IN_USE, {77})
    host.close(77)
    host.advance(31)
    assert not host.core.leases


@pytest.mark.parametrize("linger", [0.0, 30.0])
def test_sockets_whose_end_is_not_announced_are_looked_at_again(linger: float) -> None:
    host = Host(config=config(linger=Linger(session_lasting=linger)))
    host.attach(heard=HERE)
    lease = held(host, LASTING)
    assert lease.address is not None
    host.sockets[lease.address].add(0)
    host.close(1)
    host.advance(3 * linger + 3)
    assert lease.state is State.LINGERING
    host.sockets[lease.address].clear()
    host.advance(linger + 1)
    assert not host.core.leases


def test_what_is_held_without_a_socket_stays_while_its_holder_is_there(host: Host) -> None:
    assert host.ask(LASTING, None).status == 0
    [lease] = host.core.leases
    host.advance(300)
    assert lease.state is State.READY
    host.do(host.core.client_gone("application", host.now))
    assert [each.state for each in host.core.leases] == [State.LINGERING]
    host.advance(31)
    assert not host.core.leases


def test_sockets_come_and_go_while_an_address_is_held(host: Host) -> None:
    address = host.ask(LASTING, None).address
    assert host.ask(LASTING, 1).address == address
    host.close(1)
    host.advance(300)
    assert host.ask(LASTING, 2).address == address
    host.do(host.core.client_gone("application", host.now))
    host.advance(300)
    assert [lease.address for lease in host.core.leases] == [address]
    host.close(2)
    host.advance(31)
    assert not host.core.leases


@pytest.mark.parametrize("boot", [[], ["fixed"]])
def test_fixed_is_never_released_by_itself(boot: list[str]) -> None:
    host = Host(config=config(at_boot=boot))
    host.attach(heard=HERE)
    lease = held(host, FIXED)
    host.close(1)
    host.advance(10_000)
    assert lease.state is State.READY
    assert not host.network.released


def test_renewal_at_t1(host: Host) -> None:
    lease = held(host, LASTING)
    host.network.heard.clear()
    host.advance(599)
    assert host.network.types() == []
    host.advance(2)
    [(interface, renew)] = host.network.heard
    assert (interface, renew.type) == (WL0, RENEW)
    assert renew.first(ServerId) == ServerId(SERVER)
    assert lease.valid_until == pytest.approx(host.now + 7200, abs=2)


def test_a_renewal_does_not_disturb_a_move(host: Host) -> None:
    lease = held(host, LASTING)
    host.advance(599.5)
    host.network.silent = {WL1}
    host.network.heard.clear()
    host.attach(WL1)
    host.advance(0.8)
    assert {message.type for _, message in host.network.heard} == {REBIND}
    host.network.silent = set()
    host.advance(1)
    assert lease.served


def test_rebind_at_t2_when_nobody_renews(host: Host) -> None:
    lease = held(host, LASTING)
    host.network.silent = {WL0}
    host.advance(1199)
    assert set(host.network.types()) == {SOLICIT, RENEW}
    host.advance(2)
    [(interface, rebind)] = host.network.heard
    assert (interface, rebind.type) == (WL0, REBIND)
    assert rebind.first(ServerId) is None
    assert lease.state is State.IN_USE


def test_end_of_the_valid_lifetime(host: Host) -> None:
    lease = held(host, LASTING)
    host.network.silent = {WL0}
    host.took(DestroySockets)
    host.advance(7201)
    assert host.took(DestroySockets) == [DestroySockets(lease.address or IPv6Address(0), None)]
    assert not host.core.leases
    assert host.sockets[lease.address or IPv6Address(0)] == set()


def test_lost(host: Host) -> None:
    lease = held(host, LASTING)
    assert lease.address is not None
    host.network.unknown = True
    host.took(DestroySockets)
    host.advance(601)
    assert host.took(DestroySockets) == [DestroySockets(lease.address, None)]
    assert not host.core.leases
    assert not host.core.desired_routes()


# ---- moving ------------------------------------------------------------------------------------


def test_a_move_rebinds_immediately_together_with_the_solicitation(host: Host) -> None:
    lasting, fixed = held(host, LASTING, 1), held(host, FIXED, 2)
    host.detach()
    assert not lasting.served
    host.advance(3)
    host.network.heard.clear()
    host.took(SendDhcp)
    host.attach()
    assert [a.interface for a in host.done if isinstance(a, SolicitRouters)] == [WL0]
    assert rebound(host) == [(WL0, {lasting.prefix, fixed.prefix})]
    assert lasting.served
    assert fixed.served
    assert (lasting.state, lasting.sockets) == (State.IN_USE, {1})


def test_first_rebind_names_no_link_the_next_the_one_that_was_heard(host: Host) -> None:
    held(host, LASTING)
    host.detach()
    host.network.silent = {WL0}
    host.took(SendDhcp)
    host.attach()
    [first] = host.took(SendDhcp)
    assert first.transmission.link_id == bytes(8)
    host.hear(advertisement(THERE))
    host.advance(0.2)
    assert {action.transmission.link_id for action in host.took(SendDhcp)} == {THERE}


def test_lost_rebind_is_sent_again_in_a_tenth_of_a_second(host: Host) -> None:
    lease = held(host, LASTING)
    host.detach()
    host.network.silent = {WL0}
    host.attach(heard=THERE)
    assert not lease.served
    host.network.silent = set()
    host.advance(0.12)
    assert lease.served


def test_another_link_id_on_the_same_carrier_is_a_move(host: Host) -> None:
    """A bridge or an access point may change the link without a change of carrier."""
    lease = held(host, LASTING)
    host.network.heard.clear()
    host.hear(advertisement(THERE))
    assert rebound(host) == [(WL0, {lease.prefix})]
    host.hear(advertisement(THERE))
    assert rebound(host) == []


def test_a_busy_router_is_asked_again(host: Host) -> None:
    lease = held(host, LASTING)
    host.network.busy = True
    host.detach()
    host.attach(heard=THERE)
    assert not lease.served
    host.network.busy = False
    host.advance(1)
    assert lease.served


def test_not_carried_on(host: Host) -> None:
    lost, kept = held(host, LASTING, 1), held(host, FIXED, 2)
    host.network.withdrawn = {LASTING}
    host.detach()
    host.took(DestroySockets)
    host.attach(heard=THERE)
    assert [action.address for action in host.took(DestroySockets)] == [lost.address]
    assert list(host.core.leases) == [kept]


def test_graceful_replacement_retires_and_is_gone_at_the_end(host: Host) -> None:
    old = held(host, GRACEFUL)
    assert old.address is not None
    host.network.replaced = {GRACEFUL}
    host.detach()
    host.attach(heard=THERE)
    assert old.state is State.RETIRING
    assert old.served
    new = host.ask(GRACEFUL, 2)
    assert new.status == 0
    assert new.address != old.address
    host.took(DestroySockets)
    host.advance(59)
    assert old in host.core.leases
    host.advance(2)
    assert old not in host.core.leases
    assert host.took(DestroySockets) == [DestroySockets(old.address, None)]
    assert host.lease(new.address) is not None


def test_sockets_on_an_invalid_address_live_on_where_that_is_the_policy() -> None:
    host = Host(config=config(destroy_sockets=False))
    host.attach(heard=HERE)
    lease = held(host, LASTING)
    host.network.silent = {WL0}
    host.advance(7201)
    assert lease not in host.core.leases
    assert host.took(DestroySockets) == []


def test_detached_packets_are_dropped_then_refused(host: Host) -> None:
    lease = held(host, LASTING)
    host.detach()
    assert host.core.silenced() == {(WL0, ROUTERS[WL0])}
    host.took(Reconcile)
    host.advance(9.9)
    assert reach(lease) is Reach.DETACHED
    host.advance(0.2)
    assert reach(lease) is Reach.REFUSED
    assert host.took(Reconcile)
    assert host.core.silenced() == set()
    host.attach(heard=HERE)
    assert reach(lease) is Reach.SERVED


def test_a_router_that_is_heard_again_is_no_longer_silenced(host: Host) -> None:
    held(host, LASTING)
    host.detach()
    host.network.silent = {WL0}
    host.attach(heard=THERE)
    assert host.core.silenced() == set()
    assert host.took(Reconcile)


def test_no_binding_of_a_plain_server_ends_nothing(host: Host) -> None:
    lease = held(host, LASTING)
    host.detach()
    host.network.knows_service, host.network.unknown = False, True
    host.attach()
    assert list(host.core.leases) == [lease]
    assert not lease.served


def test_interface_that_disappears(host: Host) -> None:
    lease = held(host, LASTING)
    host.do(host.core.link_removed(WL0, host.now))
    assert (lease.path, lease.served) == (None, False)
    host.attach(WL1, heard=THERE)
    assert lease.served


def test_soft_move_follows_the_newer_link(host: Host) -> None:
    lease = held(host, LASTING)
    host.advance(5)
    host.network.heard.clear()
    host.attach(WL1, heard=THERE)
    assert rebound(host) == [(WL1, {lease.prefix})]
    host.advance(1)
    assert lease.path is not None
    assert lease.path.interface == WL1
    assert lease.served


def test_silent_new_link_gives_way_and_the_old_one_is_rebound(host: Host) -> None:
    lease = held(host, LASTING)
    host.advance(5)
    host.network.silent = {WL1}
    host.network.heard.clear()
    host.attach(WL1)
    host.advance(0.9)
    assert {interface for interface, _ in rebound(host)} == {WL1}
    host.advance(0.2)
    assert (WL0, {lease.prefix}) in rebound(host)
    assert lease.served


# ---- ordinary addresses ------------------------------------------------------------------------


@pytest.fixture
def today() -> Host:
    """Return a host on a network of today: router advertisements and nothing else."""
    host = Host(Network(silent={WL0, WL1}))
    host.attach()
    host.hear(advertisement(None, ADVERTISED))
    return host


def test_non_persistent_is_what_address_autoconfiguration_gives(today: Host) -> None:
    address = slaac(WL0, ADVERTISED)
    today.do(today.core.address_changed(address, today.now))
    reply = today.ask(ORDINARY)
    assert (reply.status, reply.address, reply.valid_for) == (0, address.address, 3600)
    assert today.network.heard == []


def test_non_persistent_waits_for_the_address(today: Host) -> None:
    number = today.setsc(ORDINARY)
    tentative = replace(slaac(WL0, ADVERTISED), flags=AddressFlags.TENTATIVE)
    today.do(today.core.address_changed(tentative, today.now))
    today.advance(1.5)
    assert number not in today.replies
    today.do(today.core.address_changed(slaac(WL0, ADVERTISED, None), today.now))
    assert today.replies[number].status == 0
    assert today.replies[number].valid_for == 0xFFFF_FFFF


def test_non_persistent_in_vain(today: Host) -> None:
    number = today.setsc(ORDINARY)
    today.advance(4.9)
    assert number not in today.replies
    today.advance(0.2)
    assert failed(today.replies[number]) is Reason.TIMEOUT


def test_an_address_of_the_link_before_is_not_given(today: Host) -> None:
    today.do(today.core.address_changed(slaac(WL0, ADVERTISED_THERE), today.now))
    number = today.setsc(ORDINARY)
    assert number not in today.replies


def test_non_persistent_is_delegated_where_no_prefix_is_advertised(host: Host) -> None:
    reply = host.ask(ORDINARY)
    assert reply.status == 0
    [lease] = host.core.leases
    assert (lease.type, lease.address) == (ORDINARY, reply.address)


def test_a_new_non_persistent_prefix_is_delegated_where_the_network_can(host: Host) -> None:
    host.hear(advertisement(HERE, ADVERTISED))
    host.do(host.core.address_changed(slaac(WL0, ADVERTISED), host.now))
    ordinary = host.ask(ORDINARY).address
    assert ordinary in ADVERTISED
    new = host.ask(ORDINARY, 2, on_net=True).address
    [lease] = host.core.leases
    assert (lease.type, lease.address) == (ORDINARY, new)
    assert host.ask(ORDINARY, 3, on_net=True).address not in (ordinary, new)


def test_where_none_is_delegated_the_new_non_persistent_address_is_that_of_the_link(
    today: Host,
) -> None:
    address = slaac(WL0, ADVERTISED)
    today.do(today.core.address_changed(address, today.now))
    assert today.ask(ORDINARY, on_net=True).address == address.address


def test_a_non_persistent_address_that_was_left_behind_is_given_to_nobody(host: Host) -> None:
    old = host.ask(ORDINARY, 1).address
    host.network.withdrawn = {ORDINARY}
    host.network.silent = {WL0}
    host.detach()
    host.attach()
    host.hear(advertisement(THERE, ADVERTISED_THERE))
    host.do(host.core.address_changed(slaac(WL0, ADVERTISED_THERE), host.now))
    new = host.ask(ORDINARY, 2).address
    assert new in ADVERTISED_THERE
    assert new != old


def test_ordinary_addresses_are_retired_after_a_confirmed_change_of_link(today: Host) -> None:
    address = slaac(WL0, ADVERTISED)
    today.do(today.core.address_changed(address, today.now))
    today.ask(ORDINARY, 7)
    today.detach()
    today.attach()
    today.took(RetireLink)
    there = advertisement(None, ADVERTISED_THERE)
    router = IPv6Address("fe80::a9")
    today.do(today.core.router_advertised(WL0, router, there, today.now))
    actions = today.done
    assert RetireLink(WL0, frozenset({address.address}), frozenset({router})) in actions
    assert DestroySockets(address.address, frozenset({7})) in actions


def test_the_same_link_again_retires_nothing(today: Host) -> None:
    today.do(today.core.address_changed(slaac(WL0, ADVERTISED), today.now))
    today.detach()
    today.attach()
    today.hear(advertisement(None, ADVERTISED))
    assert today.took(RetireLink) == []


def test_policy_not_to_retire() -> None:
    host = Host(config=config(retire_slaac=RetireSlaac.NO))
    host.attach()
    host.hear(advertisement(HERE, ADVERTISED))
    host.do(host.core.address_changed(slaac(WL0, ADVERTISED), host.now))
    host.hear(advertisement(THERE, ADVERTISED_THERE))
    assert host.took(RetireLink) == []


# ---- an earlier life ---------------------------------------------------------------------------


def test_restart_takes_up_what_there_was(host: Host, tmp_path: Path) -> None:
    lasting, fixed = held(host, LASTING, 1), held(host, FIXED, 2)
    host.close(2)
    unused = held(host, GRACEFUL, 3)
    host.close(3)
    file = StateFile(tmp_path / "leases.json", 1e9)
    file.save(host.core.memory, host.core.interface_name)
    memory = file.load({"wl0": WL0}.get, host.now)

    again = Host(host.network)
    again.sockets = host.sockets
    again.do(again.core.restore(memory))
    assert {lease.address: lease.state for lease in again.core.leases} == {
        lasting.address: State.IN_USE,
        fixed.address: State.READY,
        unused.address: State.LINGERING,
    }
    again.network.heard.clear()
    again.attach(heard=HERE)
    assert rebound(again) == [(WL0, {lasting.prefix, fixed.prefix, unused.prefix})]
    assert again.ask(LASTING, 4).address == lasting.address
    again.advance(31)
    assert {lease.type for lease in again.core.leases} == {LASTING, FIXED}


def test_message_from_nowhere(host: Host) -> None:
    stray = Message(MessageType.REPLY, 1, (ClientId(DUID), ServerId(SERVER)))
    assert host.core.dhcp_received(99, ROUTERS[WL0], stray, host.now) == []
