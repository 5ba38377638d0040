"""The policy file at work: what the core does for whom, and what it tells the network for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from moorage.accounts import UserId
from moorage.config import ConfigError
from moorage.host.config import Obedience
from moorage.host.lifecycle import State
from moorage.host.lifetimes import Linger
from moorage.host.quota import ApplicationLimits, HostLimits, QuotaTable, UserLimits
from moorage.host.rules import Rule
from moorage.management.config import HostManagement
from moorage.numbers import EAI_REQUIREDIPFAILED
from moorage.service import ServiceType
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import (
    IaPd,
    Message,
    MessageType,
    NetworkPolicy,
    OnDemand,
    RefusalReason,
)
from tests.scripted import (
    CALLER,
    FIXED,
    GRACEFUL,
    LASTING,
    USER,
    WL0,
    WL1,
    Host,
    Network,
    advertisement,
    config,
    link,
    slaac,
)

PREFIX = IPv6Network("2001:db8:1001::/64")
FEW = QuotaTable(
    application=ApplicationLimits(addresses=2, requests=3),
    user=UserLimits(addresses=3, requests=5),
    all=HostLimits(addresses=5, requests=100),
)
MANY = QuotaTable(
    application=ApplicationLimits(addresses=100, requests=3),
    user=UserLimits(addresses=100, requests=4),
    all=HostLimits(addresses=100, requests=5),
)
OTHER_PROGRAM = replace(USER, executable="/usr/bin/mail")
OTHER_USER = replace(USER, uid=1001)


@dataclass
class Operator(Network):
    """A network that dictates."""

    dictates: NetworkPolicy | None = None

    def answer(self, interface: int, message: Message) -> Message | None:
        answer = super().answer(interface, message)
        if answer is None or self.dictates is None:
            return answer
        service = OnDemand.of(answer)
        assert service is not None
        others = [option for option in answer.options if option != service.to_option()]
        more = OnDemand((*service.sub_options, self.dictates)).to_option()
        return replace(answer, options=(*others, more))


def dictates(
    permitted: Iterable[ServiceType] = ServiceType,
    boot: Iterable[ServiceType] = (),
    default: ServiceType | None = None,
) -> NetworkPolicy:
    return NetworkPolicy(frozenset(permitted), frozenset(boot), default)


def attached(network: Network | None = None, **changes: object) -> Host:
    host = Host(network, config(**changes))
    host.attach(heard=b"link one")
    host.forget()
    return host


# ---- who may have what -------------------------------------------------------------------------


def test_an_unauthorised_request_fails_at_once_and_costs_the_network_nothing() -> None:
    host = attached()
    reply = host.ask(FIXED, caller=USER)
    assert (reply.status, reply.reason) == (EAI_REQUIREDIPFAILED, Reason.HOST_NOT_AUTHORISED)
    host.advance(100)
    assert host.network.heard == []
    assert host.ask(FIXED, caller=CALLER).status == 0


def test_an_address_that_is_there_is_not_given_to_the_unauthorised() -> None:
    host = attached()
    assert host.ask(FIXED, 1).status == 0
    assert host.ask(FIXED, 2, caller=USER).reason is Reason.HOST_NOT_AUTHORISED


def test_what_the_network_does_not_permit_is_asked_for_once_at_most() -> None:
    network = Operator(dictates=dictates({LASTING}))
    host = attached(network)
    assert host.ask(LASTING, 1).status == 0
    host.forget()
    reply = host.ask(FIXED, 2)
    assert (reply.status, reply.reason) == (EAI_REQUIREDIPFAILED, Reason.NOT_AUTHORISED)
    assert network.heard == []


def test_a_domain_is_remembered_over_a_move() -> None:
    network = Operator(dictates=dictates({LASTING}))
    host = attached(network)
    host.ask(LASTING, 1)
    host.detach()
    host.attach(heard=b"link two")
    network.silent = {WL0}
    assert host.ask(FIXED, 2).reason is Reason.NOT_AUTHORISED


def test_other_networks_permit_what_they_like() -> None:
    network = Operator(dictates=dictates({LASTING}))
    host = attached(network)
    host.ask(LASTING, 1)
    host.detach()
    network.dictates = None
    host.attach(heard=b"link two")
    assert host.ask(FIXED, 2).status == 0


def test_who_ignores_the_network_asks_it() -> None:
    network = Operator(dictates=dictates({LASTING}))
    host = attached(network, network_policy=Obedience.IGNORE)
    host.ask(LASTING, 1)
    assert host.ask(FIXED, 2).status == 0


# ---- how much --------------------------------------------------------------------------------


def fresh(host: Host, cookie: int, caller: object = USER) -> Reason:
    assert isinstance(caller, type(USER))
    return host.ask(LASTING, cookie, on_net=True, caller=caller).reason


def test_nobody_takes_more_than_his_addresses() -> None:
    host = attached(quota=FEW)
    assert [fresh(host, n) for n in (1, 2, 3)] == [Reason.NONE, Reason.NONE, Reason.HOST_QUOTA]
    assert fresh(host, 4, OTHER_PROGRAM) is Reason.NONE
    assert fresh(host, 5, OTHER_PROGRAM) is Reason.HOST_QUOTA
    assert fresh(host, 6, OTHER_USER) is Reason.NONE
    assert fresh(host, 7, CALLER) is Reason.NONE
    assert fresh(host, 8, CALLER) is Reason.HOST_QUOTA
    assert len(host.core.leases) == 5


def test_a_request_over_quota_costs_the_network_nothing() -> None:
    host = attached(quota=FEW)
    for cookie in (1, 2):
        fresh(host, cookie)
    host.forget()
    reply = host.ask(LASTING, 3, on_net=True, caller=USER)
    assert (reply.status, reply.reason) == (EAI_REQUIREDIPFAILED, Reason.HOST_QUOTA)
    assert host.network.heard == []


def test_what_was_given_back_can_be_had_again() -> None:
    host = attached(quota=FEW)
    for cookie in (1, 2):
        fresh(host, cookie)
    assert fresh(host, 3) is Reason.HOST_QUOTA
    host.close(1)
    assert fresh(host, 4) is Reason.HOST_QUOTA
    host.advance(31)
    assert fresh(host, 5) is Reason.NONE


def test_whoever_keeps_an_address_of_others_alive_pays_for_it() -> None:
    host = attached(quota=FEW)
    assert fresh(host, 1) is Reason.NONE
    assert host.ask(LASTING, 2, caller=OTHER_USER).reason is Reason.NONE
    host.close(1)
    assert [fresh(host, n) for n in (3, 4)] == [Reason.NONE] * 2
    assert [fresh(host, n, OTHER_USER) for n in (5, 6)] == [Reason.NONE, Reason.HOST_QUOTA]


def test_an_address_of_others_counts_too() -> None:
    host = attached(quota=FEW)
    assert [fresh(host, n) for n in (1, 2)] == [Reason.NONE] * 2
    host.advance(1)
    assert host.ask(GRACEFUL, 3, caller=OTHER_USER).reason is Reason.NONE
    assert host.ask(GRACEFUL, 4, caller=USER).reason is Reason.HOST_QUOTA


def test_who_has_enough_goes_on_with_what_he_has() -> None:
    host = attached(quota=FEW)
    mine = {host.ask(LASTING, n, on_net=True, caller=USER).address for n in (1, 2)}
    host.advance(1)
    newest = host.ask(LASTING, 3, on_net=True, caller=OTHER_USER).address
    assert host.ask(LASTING, 4, caller=USER).address in mine
    assert host.ask(LASTING, 5).address == newest


def test_so_many_requests_a_minute_reach_the_network() -> None:
    host = attached(quota=MANY)
    assert [fresh(host, n) for n in range(4)] == [Reason.NONE] * 3 + [Reason.HOST_QUOTA]
    assert fresh(host, 4, OTHER_PROGRAM) is Reason.NONE
    assert fresh(host, 5, OTHER_PROGRAM) is Reason.HOST_QUOTA
    assert fresh(host, 6, OTHER_USER) is Reason.NONE
    assert fresh(host, 7, OTHER_USER) is Reason.HOST_QUOTA
    host.advance(20)
    assert fresh(host, 8) is Reason.NONE
    assert fresh(host, 9) is Reason.HOST_QUOTA


def test_what_needs_no_network_is_not_counted() -> None:
    host = attached(quota=MANY)
    replies = [host.ask(LASTING, n, caller=USER) for n in range(100)]
    assert {reply.reason for reply in replies} == {Reason.NONE}
    assert len({reply.address for reply in replies}) == 1
    host.detach()
    for cookie in range(100, 200):
        assert host.ask(GRACEFUL, cookie, caller=USER).reason is Reason.DETACHED
    host.attach(heard=b"link one")
    assert host.ask(GRACEFUL, 200, caller=USER).reason is Reason.NONE


# ---- fresh or not, kept or not -----------------------------------------------------------------


def test_by_policy_every_socket_has_an_address_of_its_own() -> None:
    host = attached(fresh=["session-lasting"])
    assert host.ask(LASTING, 1).address != host.ask(LASTING, 2).address
    assert host.ask(GRACEFUL, 3).address == host.ask(GRACEFUL, 4).address


def test_by_a_rule_some_have_addresses_of_their_own() -> None:
    host = attached(rules=[Rule(executables=["*/mail"], fresh=["session-lasting"]), Rule()])
    first = host.ask(LASTING, 1, caller=USER).address
    assert host.ask(LASTING, 2, caller=USER).address == first
    assert host.ask(LASTING, 3, caller=OTHER_PROGRAM).address != first


@pytest.mark.parametrize("kind", [FIXED, LASTING, GRACEFUL])
@pytest.mark.parametrize("kept", [True, False])
def test_an_unused_address_is_kept_or_released(kind: ServiceType, kept: bool) -> None:
    host = attached(keep=[kind.slug] if kept else [])
    address = host.ask(kind, 1).address
    host.close(1)
    host.advance(31)
    lease = host.lease(address)
    assert (lease is not None) is kept
    assert len(host.network.released) == (0 if kept else 1)


# ---- what the operator dictates ------------------------------------------------------------------


def test_the_boot_set_of_the_network_is_asked_for_and_followed() -> None:
    network = Operator(dictates=dictates(boot={LASTING, GRACEFUL}))
    host = Host(network, config(network_policy=Obedience.FOLLOW))
    host.attach(heard=b"link one")
    assert network.types() == [
        MessageType.INFORMATION_REQUEST,
        MessageType.SOLICIT,
        MessageType.SOLICIT,
    ]
    assert {lease.type for lease in host.core.leases} == {LASTING, GRACEFUL}
    host.advance(100)
    assert [lease.state for lease in host.core.leases] == [State.READY] * 2


def test_who_does_not_follow_does_not_ask() -> None:
    network = Operator(dictates=dictates(boot={LASTING}))
    host = Host(network, config())
    host.attach(heard=b"link one")
    assert network.heard == []
    assert not host.core.leases


def test_no_question_is_asked_where_another_answer_says_it() -> None:
    network = Operator(dictates=dictates(boot={GRACEFUL}))
    host = Host(network, config(network_policy=Obedience.FOLLOW, at_boot=["session-lasting"]))
    host.attach(heard=b"link one")
    assert network.types() == [MessageType.SOLICIT] * 2
    assert {lease.type for lease in host.core.leases} == {LASTING, GRACEFUL}


def test_no_question_is_asked_where_nobody_knows_the_service() -> None:
    network = Operator(knows_service=False)
    host = Host(network, config(network_policy=Obedience.FOLLOW))
    host.attach()
    host.hear(advertisement())
    assert network.heard == []


def test_what_another_network_wanted_at_boot_goes_when_nobody_uses_it() -> None:
    network = Operator(dictates=dictates(boot={LASTING, GRACEFUL}))
    host = Host(network, config(network_policy=Obedience.FOLLOW))
    host.attach(heard=b"link one")
    used = host.ask(LASTING, 1).address
    host.detach()
    network.dictates = dictates()
    host.attach(heard=b"link two")
    host.advance(31)
    assert [lease.address for lease in host.core.leases] == [used]


def test_an_address_in_use_becomes_the_one_that_the_network_wants() -> None:
    network = Operator(dictates=dictates())
    host = attached(network, network_policy=Obedience.FOLLOW)
    address = host.ask(LASTING, 1).address
    network.dictates = dictates(boot={LASTING})
    host.advance(700)
    host.close(1)
    host.advance(100)
    assert [lease.address for lease in host.core.leases] == [address]


# ---- who names no type ---------------------------------------------------------------------------


def asked_types(network: Network) -> list[ServiceType | None]:
    """The type that each Solicit asked for."""
    found = []
    for _, message in network.heard:
        if message.type is MessageType.SOLICIT:
            service = OnDemand.of(message)
            assert service is not None
            found += [service.service_type(ia.iaid) for ia in message.every(IaPd)]
    return found


def test_without_any_default_no_type_is_asked_for() -> None:
    network = Network(default=GRACEFUL)
    host = attached(network)
    reply = host.ask(None, 1, caller=USER)
    assert reply.status == 0
    assert asked_types(network) == [None]
    lease = host.lease(reply.address)
    assert lease is not None
    assert lease.type is GRACEFUL
    assert host.ask(None, 2).address == reply.address
    assert host.ask(GRACEFUL, 3).address == reply.address
    assert len(network.heard) == 1


def test_what_was_asked_for_by_type_is_not_the_networks_choice() -> None:
    network = Network(default=LASTING)
    host = attached(network)
    typed = host.ask(LASTING, 1).address
    assert host.ask(None, 2).address != typed
    assert asked_types(network) == [LASTING, None]


def test_those_who_wait_for_the_networks_choice_share_it() -> None:
    network = Network(silent={WL0})
    host = attached(network)
    numbers = [host.setsc(None, 1), host.setsc(LASTING, 2), host.setsc(None, 3)]
    network.silent = set()
    host.advance(1)
    replies = [host.replies[number] for number in numbers]
    assert [reply.status for reply in replies] == [0, 0, 0]
    assert replies[0].address == replies[2].address != replies[1].address


def test_of_what_the_network_chooses_nobody_gets_what_he_may_not_have() -> None:
    network = Network(default=FIXED)
    host = attached(network, keep=[])
    assert host.ask(None, 1, caller=USER).reason is Reason.HOST_NOT_AUTHORISED
    assert host.ask(None, 2, caller=CALLER).status == 0
    assert host.ask(None, 3, caller=USER).reason is Reason.HOST_NOT_AUTHORISED
    host.close(2)
    host.advance(31)
    assert not host.core.leases


@pytest.mark.parametrize("refuses", [RefusalReason.TYPE_NOT_OFFERED, RefusalReason.POOL_FULL])
def test_a_refusal_says_nothing_of_other_types(refuses: RefusalReason) -> None:
    network = Network(refuses=refuses)
    host = attached(network)
    assert host.ask(None, 1).reason == Reason(refuses)
    network.refuses = None
    assert host.ask(LASTING, 2).status == 0


def test_a_server_that_does_not_say_what_it_gave_is_not_believed() -> None:
    network = Network(default=None)
    host = attached(network)
    assert host.ask(None, 1).reason is Reason.TRY_LATER
    assert len(network.released) == 1


def test_without_the_service_the_network_has_one_choice() -> None:
    host = Host(Network(knows_service=False))
    host.attach()
    host.hear(advertisement(None, PREFIX))
    host.do(host.core.address_changed(slaac(WL0, PREFIX), host.now))
    host.advance(1)
    assert host.ask(None, 1).address == PREFIX[0x1234]
    host.forget()
    assert host.ask(None, 2).address == PREFIX[0x1234]
    assert host.network.heard == []


def test_the_type_by_default_is_asked_for() -> None:
    network = Network()
    rules = [Rule(executables=["*/mail"], default="graceful-replacement"), Rule()]
    host = attached(network, default_type="session-lasting", rules=rules)
    [lasting] = host.core.leases
    assert lasting.type is LASTING
    assert host.ask(None, 1, caller=USER).address == lasting.address
    graceful = host.lease(host.ask(None, 2, caller=OTHER_PROGRAM).address)
    assert graceful is not None
    assert graceful.type is GRACEFUL
    assert asked_types(network) == [GRACEFUL]


def test_the_default_type_of_a_network_is_followed() -> None:
    network = Operator(dictates=dictates(default=GRACEFUL))
    host = Host(network, config(network_policy=Obedience.FOLLOW))
    host.attach(heard=b"link one")
    [lease] = host.core.leases
    assert lease.type is GRACEFUL
    assert host.ask(None, 1).address == lease.address


# ---- who knows nothing of types ------------------------------------------------------------------


def default_sources(host: Host) -> set[IPv6Address | None]:
    """The addresses that sockets without one get by default."""
    return {
        route.preferred_source
        for route in host.core.desired_routes()
        if route.preferred_source is not None
    }


def test_nothing_changes_for_others_without_a_default_type() -> None:
    host = attached(at_boot=["session-lasting"])
    assert len(host.core.leases) == 1
    assert default_sources(host) == set()
    assert host.core.known.default_lease() is None


@pytest.mark.parametrize("kind", [FIXED, LASTING, GRACEFUL])
def test_everybody_gets_an_address_of_the_default_type(kind: ServiceType) -> None:
    host = attached(default_type=kind.slug, linger=Linger(1, 1, 1, 1))
    [lease] = host.core.leases
    assert lease.type is kind
    assert default_sources(host) == {lease.address}
    assert host.core.known.default_lease() is lease
    host.detach()
    assert default_sources(host) == set()
    host.attach(heard=b"link one")
    assert default_sources(host) == {lease.address}


def test_the_default_of_all_follows_the_network() -> None:
    network = Operator(dictates=dictates(default=LASTING))
    host = Host(network, config(network_policy=Obedience.FOLLOW))
    host.attach(heard=b"link one")
    [lease] = host.core.leases
    assert default_sources(host) == {lease.address}
    host.detach()
    network.dictates = None
    host.attach(heard=b"link two")
    assert default_sources(host) == set()


# ---- another policy file -------------------------------------------------------------------------


def reconfigure(host: Host, **changes: object) -> None:
    host.do(host.core.reconfigure(config(**changes), host.now))


def test_another_policy_holds_for_the_next_request() -> None:
    host = attached()
    used = host.ask(LASTING, 1, caller=USER).address
    reconfigure(host, rules=[Rule(users=[UserId(0)])])
    assert host.ask(LASTING, 2, caller=USER).reason is Reason.HOST_NOT_AUTHORISED
    host.advance(100)
    assert host.lease(used) is not None


def test_types_at_boot_come_and_go() -> None:
    host = attached(at_boot=["session-lasting", "fixed"])
    assert {lease.type for lease in host.core.leases} == {LASTING, FIXED}
    host.ask(LASTING, 1)
    reconfigure(host, at_boot=["graceful-replacement"], keep=[])
    host.advance(31)
    assert {lease.type for lease in host.core.leases} == {LASTING, GRACEFUL}
    host.close(1)
    host.advance(31)
    assert {lease.type for lease in host.core.leases} == {GRACEFUL}


def test_a_type_that_is_no_longer_wanted_is_no_longer_asked_for() -> None:
    network = Network(silent={WL0})
    host = attached(network, at_boot=["fixed"])
    reconfigure(host)
    assert not host.core.leases
    host.forget()
    host.advance(100)
    assert network.heard == []


def test_the_default_of_all_comes_and_goes() -> None:
    host = attached(linger=Linger(session_lasting=1.0))
    reconfigure(host, default_type="session-lasting")
    [lease] = host.core.leases
    assert default_sources(host) == {lease.address}
    reconfigure(host, linger=Linger(session_lasting=1.0))
    assert default_sources(host) == set()
    host.advance(10)
    assert not host.core.leases


def test_other_quotas_hold_at_once() -> None:
    host = attached(quota=FEW)
    assert [fresh(host, n) for n in (1, 2, 3)] == [Reason.NONE] * 2 + [Reason.HOST_QUOTA]
    reconfigure(host, quota=MANY)
    assert fresh(host, 4) is Reason.NONE
    reconfigure(host, quota=FEW)
    assert fresh(host, 5) is Reason.HOST_QUOTA


def test_other_interfaces_are_used() -> None:
    host = attached(interfaces=["wl0"])
    address = host.ask(LASTING, 1).address
    reconfigure(host, interfaces=["wl1"])
    host.do(host.core.link_changed(link(WL0), host.now))
    host.attach(WL1, heard=b"link two")
    lease = host.lease(address)
    assert lease is not None
    assert lease.path is not None
    assert lease.path.interface == WL1


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"socket": Path("/tmp/other")}, "socket"),
        ({"state": Path("/tmp/other")}, "state"),
        ({"management": HostManagement(events=7)}, "management"),
        ({"hooks": False}, "hooks"),
    ],
)
def test_what_counts_at_the_start_only(change: dict[str, object], key: str) -> None:
    config(dwell=3.0).check_takes_over(config())
    with pytest.raises(ConfigError, match=f"^{key}: another value needs a restart$"):
        config(**change).check_takes_over(config())
