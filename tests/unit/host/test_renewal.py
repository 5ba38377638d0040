"""Addresses that change: by age, by what an application wants, after a move."""

from __future__ import annotations

import pytest

from moorage.host.actions import DestroySockets, Tell
from moorage.host.config import HostConfig
from moorage.host.events import AddressDeprecated, AddressReplaced
from moorage.host.lease import Lease
from moorage.host.lifecycle import State
from moorage.host.lifetimes import DailyLifetime, Lifetime, Lifetimes, Linger
from moorage.kernel.send_quotas import UNLIMITED, Quota
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType, RefusalReason
from tests.scripted import FIXED, GRACEFUL, LASTING, ORDINARY, WL0, WL1, Host, Network, config

HERE, THERE = b"link one", b"link two"
AGE = 1000
FOREVER = Linger(graceful_replacement=10_000)


def lifetimes(seconds: int = AGE) -> HostConfig:
    """Return a configuration in which every type has this lifetime."""
    limit = DailyLifetime(seconds=seconds)
    return config(lifetimes=Lifetimes(Lifetime(seconds=seconds), limit, limit, limit))


def attached(network: Network | None = None, config: HostConfig | None = None) -> Host:
    host = Host(network, config or lifetimes())
    host.attach(heard=HERE)
    return host


@pytest.fixture
def host() -> Host:
    return attached()


def held(host: Host, kind: ServiceType, cookie: int = 1, lifetime: int = 0) -> Lease:
    """Return the lease whose address a new socket was given."""
    lease = host.lease(host.ask(kind, cookie, lifetime=lifetime).address)
    assert lease is not None
    return lease


def state(lease: Lease) -> State:
    """Return where a lease stands."""
    return lease.state


def told(host: Host) -> list[AddressDeprecated | AddressReplaced]:
    """Return what was told of addresses that change since the last time."""
    events = [action.event for action in host.took(Tell)]
    return [event for event in events if isinstance(event, AddressDeprecated | AddressReplaced)]


# ---- by age ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FIXED, LASTING])
def test_a_request_gets_a_new_address_when_the_old_one_is_over(
    host: Host, kind: ServiceType
) -> None:
    old = held(host, kind, 1)
    host.advance(AGE - 1)
    assert held(host, kind, 2) is old
    host.advance(1)
    assert list(host.core.leases) == [old]
    new = held(host, kind, 3)
    assert new is not old
    assert (old.state, old.sockets) == (State.RETIRING, {1, 2})
    assert state(new) is State.IN_USE


def test_the_sockets_of_the_old_address_live_on_and_over_moves(host: Host) -> None:
    old = held(host, LASTING, 1)
    host.advance(AGE)
    held(host, LASTING, 2)
    host.took(DestroySockets)
    for link in (THERE, HERE):
        host.advance(10_000)
        host.detach()
        host.attach(heard=link)
    assert state(old) is State.RETIRING
    assert old.valid_until > host.now
    assert not host.took(DestroySockets)
    host.close(1)
    host.advance(31)
    assert host.network.released == [old.prefix]


def test_an_old_address_that_policy_keeps_goes_when_it_is_replaced() -> None:
    host = attached(config=config(at_boot=["session-lasting"], lifetimes=lifetimes().lifetimes))
    [old] = host.core.leases
    host.advance(AGE)
    new = held(host, LASTING)
    assert (old.kept, new.kept) == (False, True)
    host.advance(31)
    assert list(host.core.leases) == [new]


def test_an_old_address_is_better_than_none(host: Host) -> None:
    old = held(host, LASTING, 1)
    host.advance(AGE)
    host.network.refuses = RefusalReason.QUOTA
    assert held(host, LASTING, 2) is old
    host.network.silent = {WL0}
    number = host.setsc(LASTING, 3)
    host.advance(6)
    assert host.replies[number].address == old.address
    host.detach()
    assert held(host, LASTING, 4) is old
    assert state(old) is State.IN_USE


def test_on_net_is_not_content_with_an_old_one(host: Host) -> None:
    held(host, LASTING)
    host.network.refuses = RefusalReason.QUOTA
    assert host.ask(LASTING, 2, on_net=True).status != 0


@pytest.mark.parametrize("kind", [GRACEFUL, ORDINARY])
def test_what_is_renewed_regularly_waits_for_no_request(host: Host, kind: ServiceType) -> None:
    old = held(host, kind)
    host.took(Tell)
    host.advance(AGE)
    [new] = [lease for lease in host.core.leases if lease is not old]
    assert (old.state, new.state) == (State.RETIRING, State.READY)
    assert old.address is not None
    assert new.address is not None
    left = old.valid_until - host.now
    assert told(host) == [
        AddressDeprecated(old.address, kind, left),
        AddressReplaced(old.address, kind, new.address, left),
    ]
    assert held(host, kind, 2) is new


def test_a_successor_waits_for_the_sockets_of_the_old_address(host: Host) -> None:
    old = held(host, GRACEFUL)
    host.advance(AGE + 500)
    [new] = [lease for lease in host.core.leases if lease is not old]
    assert state(new) is State.READY
    host.close(1)
    host.advance(31)
    assert not host.core.leases
    assert set(host.network.released) == {old.prefix, new.prefix}


def test_what_is_renewed_regularly_and_not_in_use_is_let_go() -> None:
    host = attached(config=config(linger=FOREVER, lifetimes=lifetimes().lifetimes))
    host.ask(GRACEFUL, None)
    host.network.heard.clear()
    host.advance(AGE)
    [lease] = host.core.leases
    assert state(lease) is State.RETIRING
    assert MessageType.SOLICIT not in host.network.types()


def test_a_successor_that_is_refused_is_asked_for_again_in_a_minute(host: Host) -> None:
    old = held(host, GRACEFUL)
    host.network.refuses = RefusalReason.POOL_FULL
    host.advance(AGE - 1)
    host.network.heard.clear()
    host.advance(60)
    assert host.network.types().count(MessageType.SOLICIT) == 1
    assert state(old) is State.IN_USE
    host.network.refuses = None
    host.advance(2)
    assert state(old) is State.RETIRING


def test_a_replaced_graceful_address_is_not_renewed_and_ends(host: Host) -> None:
    old = held(host, GRACEFUL)
    host.advance(AGE)
    assert state(old) is State.RETIRING
    assert old.address is not None
    until = old.valid_until
    host.advance(until - host.now - 1)
    assert old.valid_until == until
    host.took(DestroySockets)
    host.advance(2)
    assert host.took(DestroySockets) == [DestroySockets(old.address, None)]


def test_without_a_limit_nothing_is_renewed() -> None:
    host = attached(config=lifetimes(0))
    leases = [held(host, LASTING, 1), held(host, GRACEFUL, 2)]
    host.advance(50_000)
    assert list(host.core.leases) == leases
    assert [held(host, LASTING, 3), held(host, GRACEFUL, 4)] == leases


# ---- by bytes ----------------------------------------------------------------------------------


@pytest.fixture
def counted() -> Host:
    """Return a host that replaces each address from which 5000 bytes were sent."""
    limit = DailyLifetime(seconds=0, bytes=5000)
    return attached(config=config(lifetimes=Lifetimes(Lifetime(), limit, limit, limit)))


def send(host: Host, lease: Lease) -> None:
    """Use up the quota of an address."""
    assert lease.address is not None
    assert host.core.quotas()[lease.address].limit < UNLIMITED
    host.do(host.core.spent(lease.address, host.now))
    assert host.core.quotas()[lease.address].limit == UNLIMITED


def test_a_request_gets_a_new_address_when_the_bytes_of_the_old_one_are_spent(
    counted: Host,
) -> None:
    old = held(counted, LASTING, 1)
    assert counted.core.quotas() == {old.address: Quota(5000)}
    send(counted, old)
    counted.advance(100)
    assert list(counted.core.leases) == [old]
    assert state(old) is State.IN_USE
    new = held(counted, LASTING, 2)
    assert new is not old
    assert (old.state, old.sockets) == (State.RETIRING, {1})
    assert counted.core.quotas() == {old.address: Quota(UNLIMITED), new.address: Quota(5000)}


def test_what_is_renewed_regularly_is_replaced_when_its_bytes_are_spent(counted: Host) -> None:
    old = held(counted, GRACEFUL)
    send(counted, old)
    [new] = [lease for lease in counted.core.leases if lease is not old]
    assert (old.state, new.state) == (State.RETIRING, State.READY)


def test_types_without_a_limit_are_only_counted(counted: Host) -> None:
    lease = held(counted, FIXED)
    assert counted.core.quotas() == {lease.address: Quota(UNLIMITED)}


def test_bytes_of_an_earlier_life_count(counted: Host) -> None:
    lease = held(counted, LASTING)
    assert lease.address is not None
    counted.core.sent({lease.address: 1234})
    again = Host(counted.network, counted.core.known.config, counted.core.memory)
    assert again.core.quotas() == {lease.address: Quota(5000, 1234)}


def test_an_address_that_is_gone_cannot_be_spent(counted: Host) -> None:
    lease = held(counted, LASTING)
    counted.close(1)
    counted.advance(31)
    assert lease.address is not None
    assert counted.core.spent(lease.address, counted.now) == []
    counted.core.sent({lease.address: 1})


# ---- by an application -------------------------------------------------------------------------


def test_an_application_limits_its_address(host: Host) -> None:
    lease = held(host, LASTING, 1, lifetime=20)
    host.took(Tell)
    host.advance(19.9)
    assert state(lease) is State.IN_USE
    host.advance(0.2)
    assert state(lease) is State.RETIRING
    assert lease.address is not None
    [event] = told(host)
    assert isinstance(event, AddressDeprecated)
    assert (event.address, event.type) == (lease.address, LASTING)
    host.advance(10_000)
    assert lease.sockets == {1}
    assert held(host, LASTING, 2, lifetime=20) is not lease


def test_only_those_share_an_address_that_limit_it_alike(host: Host) -> None:
    unlimited = held(host, LASTING, 1)
    limited = held(host, LASTING, 2, lifetime=20)
    assert limited is not unlimited
    assert held(host, LASTING, 3, lifetime=20) is limited
    assert held(host, LASTING, 4, lifetime=30) not in (limited, unlimited)
    assert held(host, LASTING, 5) is unlimited


def test_two_that_wait_with_different_limits_get_different_addresses(host: Host) -> None:
    host.network.silent = {WL0}
    numbers = [host.setsc(LASTING, n, lifetime=lifetime) for n, lifetime in enumerate((0, 9, 9), 1)]
    host.network.silent = set()
    host.advance(1)
    first, second, third = (host.replies[number].address for number in numbers)
    assert first != second == third


@pytest.mark.parametrize("kind", [FIXED, ORDINARY, GRACEFUL])
def test_only_a_session_lasting_address_can_be_limited(host: Host, kind: ServiceType) -> None:
    assert host.ask(kind, 1, lifetime=20).status != 0


# ---- after a move ------------------------------------------------------------------------------


def move(host: Host) -> None:
    """Move to a link where a graceful address is being replaced."""
    host.network.replaced = {GRACEFUL}
    host.detach()
    host.attach(heard=THERE)


def test_the_new_address_is_there_as_soon_as_the_old_one_is_replaced(host: Host) -> None:
    old = held(host, GRACEFUL)
    host.took(Tell)
    move(host)
    [new] = [lease for lease in host.core.leases if lease is not old]
    assert (old.state, new.state) == (State.RETIRING, State.READY)
    assert old.address is not None
    assert new.address is not None
    assert told(host) == [
        AddressDeprecated(old.address, GRACEFUL, 60),
        AddressReplaced(old.address, GRACEFUL, new.address, 60),
    ]
    host.took(DestroySockets)
    host.advance(60)
    assert host.took(DestroySockets) == [DestroySockets(old.address, None)]
    host.advance(29)
    assert list(host.core.leases) == [new]
    host.advance(2)
    assert not host.core.leases


def test_no_new_address_is_asked_for_when_nobody_uses_the_old_one(host: Host) -> None:
    host.ask(GRACEFUL, None)
    host.do(host.core.client_gone("application", host.now))
    move(host)
    [old] = host.core.leases
    assert state(old) is State.RETIRING
    host.advance(31)
    assert not host.core.leases


def test_an_old_address_is_not_given_while_the_network_decides(host: Host) -> None:
    old = held(host, GRACEFUL)
    host.network.silent = {WL0}
    move(host)
    number = host.setsc(GRACEFUL, 2)
    assert number not in host.replies
    host.network.silent = set()
    host.advance(0.5)
    reply = host.replies[number]
    assert reply.status == 0
    assert reply.address != old.address
    assert len(host.core.leases) == 2


def test_the_old_address_is_given_when_it_is_not_replaced(host: Host) -> None:
    old = held(host, GRACEFUL)
    host.network.silent = {WL0}
    host.detach()
    host.attach(heard=HERE)
    number = host.setsc(GRACEFUL, 2)
    host.network.silent = set()
    host.advance(0.5)
    assert host.replies[number].address == old.address
    assert list(host.core.leases) == [old]


def test_a_new_address_is_given_when_the_old_one_is_lost(host: Host) -> None:
    old = held(host, GRACEFUL)
    host.network.silent = {WL0}
    host.network.withdrawn = {GRACEFUL}
    host.detach()
    host.attach(heard=THERE)
    number = host.setsc(GRACEFUL, 2)
    host.network.silent = set()
    host.advance(1)
    assert old not in host.core.leases
    assert host.replies[number].address not in (old.address, None)
    assert host.replies[number].status == 0


def test_the_old_address_is_given_where_nobody_decides(host: Host) -> None:
    old = held(host, GRACEFUL)
    host.network.silent = {WL0}
    host.detach()
    host.attach(heard=THERE)
    number = host.setsc(GRACEFUL, 2)
    host.advance(6)
    assert host.replies[number].address == old.address


def test_while_the_old_link_still_serves_the_new_one_decides(host: Host) -> None:
    old = held(host, GRACEFUL)
    host.advance(5)
    host.network.silent = {WL1}
    host.network.replaced = {GRACEFUL}
    host.attach(WL1, heard=THERE)
    number = host.setsc(GRACEFUL, 2)
    assert number not in host.replies
    host.network.silent = set()
    host.advance(0.5)
    assert host.replies[number].address != old.address


def test_a_successor_that_is_lost_is_asked_for_again(host: Host) -> None:
    held(host, GRACEFUL)
    host.network.replaced = {GRACEFUL}
    host.network.refuses = RefusalReason.POOL_FULL
    host.detach()
    host.attach(heard=THERE)
    assert len(host.core.leases) == 1
    host.network.refuses = None
    host.advance(59)
    assert len(host.core.leases) == 1
    host.network.lifetimes = (3600, 7200, 600, 1200)
    number = host.setsc(GRACEFUL, 2)
    assert host.replies[number].status == 0
    assert len(host.core.leases) == 2


def test_an_application_that_hangs_up_leaves_the_successor(host: Host) -> None:
    held(host, GRACEFUL)
    host.network.silent = {WL0}
    host.advance(AGE)
    host.do(host.core.client_gone("application", host.now))
    assert len(host.core.leases) == 2
    host.network.silent = set()
    host.advance(200)
    assert all(lease.alive for lease in host.core.leases)


# ---- over restarts -----------------------------------------------------------------------------


def test_what_has_expired_meanwhile_ends_with_its_sockets(host: Host) -> None:
    lease = held(host, LASTING)
    host.now += 8000
    host.restart(host.core.known.config, host.core.memory)
    assert not host.core.leases
    assert lease.address is not None
    assert DestroySockets(lease.address, None) in host.done
