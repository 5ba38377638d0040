"""Programs with a type by default: which address they have, whatever happens to the host."""

from __future__ import annotations

from ipaddress import IPv6Network

import pytest

from moorage.host.lifecycle import State
from moorage.host.lifetimes import DailyLifetime, Lifetimes
from moorage.service import ServiceType
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import MessageType
from tests.scripted import (
    FIXED,
    GRACEFUL,
    LASTING,
    ORDINARY,
    USER,
    WL0,
    WL1,
    Host,
    Network,
    advertisement,
    config,
    slaac,
)

HERE = IPv6Network("2001:db8:1001::/64")
THERE = IPv6Network("2001:db8:1002::/64")
LINGER = 30.0
LONG = 100.0


def attached(network: Network | None = None, **changes: object) -> Host:
    host = Host(network, config(**{"keep": [], **changes}))
    host.attach(heard=b"link one")
    host.forget()
    return host


@pytest.mark.parametrize("kind", [FIXED, LASTING, GRACEFUL])
def test_a_program_has_its_address_for_as_long_as_it_runs(kind: ServiceType) -> None:
    host = attached()
    reply = host.run("curl", kind)
    assert reply is not None
    assert host.steered == {"curl": reply.address}
    host.advance(LONG)
    lease = host.lease(reply.address)
    assert lease is not None
    assert lease.type is kind
    host.exit("curl")
    host.advance(LINGER + 2)
    assert host.lease(reply.address) is None
    assert host.steered == {"curl": reply.address}


def test_programs_and_sockets_share_an_address() -> None:
    host = attached()
    address = host.ask(LASTING, 1).address
    for program in ("curl", "ssh"):
        host.run(program, LASTING)
        assert host.steered[program] == address
    host.close(1)
    host.exit("ssh")
    host.advance(LONG)
    assert host.lease(address) is not None


def test_who_may_not_have_the_type_is_not_run() -> None:
    host = attached()
    reply = host.run("curl", FIXED, USER)
    assert reply is not None
    assert reply.reason is Reason.HOST_NOT_AUTHORISED
    assert host.steered == {}
    assert host.network.heard == []


def test_a_program_waits_for_the_network() -> None:
    host = attached(Network(silent={WL0}))
    assert host.run("curl", LASTING) is None
    host.network.silent.clear()
    host.advance(1)
    assert host.steered["curl"] is not None


def test_an_address_stays_over_a_move_and_without_a_link() -> None:
    host = attached()
    host.run("ssh", LASTING)
    before = host.steered["ssh"]
    host.detach()
    host.advance(LONG)
    assert host.steered["ssh"] == before
    host.attach(heard=b"link two")
    assert host.steered["ssh"] == before


def test_an_address_that_the_network_takes_back_gives_way_to_another() -> None:
    host = attached()
    host.run("ssh", LASTING)
    before = host.steered["ssh"]
    host.network.withdrawn = {LASTING}
    host.detach()
    host.attach(heard=b"link two")
    host.advance(5)
    assert host.steered["ssh"] not in (None, before)
    assert sum(lease.type is LASTING for lease in host.core.leases) == 1


def test_without_an_address_there_is_none_until_the_network_has_one() -> None:
    host = attached()
    host.run("ssh", LASTING)
    host.network.withdrawn = {LASTING}
    host.detach()
    host.network.silent = {WL0}
    host.attach(heard=b"link two")
    lease = next(iter(host.core.leases))
    host.advance(lease.valid_until - host.now + 1)
    assert host.steered["ssh"] is None
    host.network.silent.clear()
    host.network.withdrawn = set()
    host.advance(LONG)
    assert host.steered["ssh"] is not None


def test_what_is_replaced_gracefully_is_replaced_for_programs_too() -> None:
    host = attached()
    reply = host.run("dig", GRACEFUL)
    assert reply is not None
    host.network.replaced = {GRACEFUL}
    host.detach()
    host.attach(heard=b"link two")
    host.advance(5)
    after = host.steered["dig"]
    assert after not in (None, reply.address)
    old = host.lease(reply.address)
    assert old is None or old.state is State.RETIRING


def test_an_address_whose_lifetime_is_over_gives_way_before_it_goes() -> None:
    host = attached(lifetimes=Lifetimes(session_lasting=DailyLifetime(seconds=60)))
    host.run("ssh", LASTING)
    before = host.steered["ssh"]
    host.advance(59)
    assert host.steered["ssh"] == before
    host.advance(2)
    assert host.steered["ssh"] not in (None, before)
    host.advance(LINGER + 2)
    assert before is not None
    assert host.lease(before) is None


def test_where_no_other_is_to_be_had_the_old_one_stays() -> None:
    host = attached(lifetimes=Lifetimes(session_lasting=DailyLifetime(seconds=60)))
    host.run("ssh", LASTING)
    before = host.steered["ssh"]
    host.advance(59)
    host.forget()
    host.network.silent = {WL0}
    host.advance(600)
    assert host.steered["ssh"] == before


def test_the_ordinary_address_of_the_present_link() -> None:
    host = attached()
    host.hear(advertisement(b"link one", HERE))
    host.do(host.core.address_changed(slaac(WL0, HERE), host.now))
    reply = host.run("curl", ORDINARY)
    assert reply is not None
    assert host.steered["curl"] == slaac(WL0, HERE).address
    assert MessageType.SOLICIT not in host.network.types()
    host.detach()
    host.do(host.core.address_removed(slaac(WL0, HERE), host.now))
    assert host.steered["curl"] is None
    host.attach(WL1)
    host.hear(advertisement(b"link two", THERE), WL1)
    host.do(host.core.address_changed(slaac(WL1, THERE), host.now))
    host.advance(2)
    assert host.steered["curl"] == slaac(WL1, THERE).address


def test_nothing_is_due_while_there_is_no_link() -> None:
    host = attached()
    host.detach()
    host.run("service", LASTING)
    host.advance(LONG)
    assert host.core.next_timer() is None
    host.attach(heard=b"link one")
    host.advance(0)
    assert host.steered["service"] is not None
