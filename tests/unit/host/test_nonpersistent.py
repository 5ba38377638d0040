"""Non-persistent addresses of links that advertise prefixes: the kernel's, and our own."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.host.actions import CountSockets, DestroySockets, Tell
from moorage.host.config import HostConfig
from moorage.host.events import (
    AddressClash,
    AddressDeprecated,
    AddressFormed,
    AddressGone,
    AddressReleased,
    AddressReplaced,
    HostEvent,
)
from moorage.host.lifetimes import DailyLifetime, Lifetimes
from moorage.kernel.addresses import AddressFlags
from moorage.kernel.send_quotas import Quota
from tests.scripted import ORDINARY, WL0, WL1, Host, advertisement, config, own, slaac

HERE, THERE = b"link one", b"link two"
PREFIX = IPv6Network("2001:db8:1001::/64")
ELSEWHERE = IPv6Network("2001:db8:1002::/64")
KERNELS = slaac(WL0, PREFIX)
AGE = 1000


def lifetimes(**limits: int) -> HostConfig:
    return config(lifetimes=Lifetimes(non_persistent=DailyLifetime(**limits)))


def on_link(settings: HostConfig, valid: int | None = 7200) -> Host:
    """Return a host on a link whose kernel has formed an address."""
    host = Host(config=settings)
    host.attach()
    host.hear(advertisement(HERE, PREFIX))
    host.do(host.core.address_changed(slaac(WL0, PREFIX, valid), host.now))
    return host


@pytest.fixture
def host() -> Host:
    return on_link(lifetimes(seconds=AGE))


@pytest.fixture
def renewed(host: Host) -> IPv6Address:
    """Return an address of our own that a socket has, since the kernel's is over."""
    host.advance(AGE)
    return given(host, 1)


def given(host: Host, cookie: int | None = 1) -> IPv6Address:
    """Return what a socket gets that asks for a Non-persistent address."""
    reply = host.ask(ORDINARY, cookie)
    assert reply.status == 0
    return reply.address


def formed(host: Host) -> list[IPv6Address]:
    """Return the addresses of our own that the kernel has."""
    return [address for _, address in host.formed]


def told(host: Host) -> list[HostEvent]:
    return [action.event for action in host.took(Tell)]


# ---- renewal -----------------------------------------------------------------------------------


def test_an_answer_tells_what_is_left_of_the_lifetime() -> None:
    host = on_link(config(), valid=3600)
    host.advance(600)
    assert host.ask(ORDINARY).valid_for == 3000


def test_the_kernels_address_is_given_until_its_lifetime_is_over(host: Host) -> None:
    host.advance(AGE - 1)
    assert given(host) == KERNELS.address
    assert formed(host) == []


def test_an_address_was_there_before_the_daemon() -> None:
    host = Host(config=lifetimes(seconds=AGE))
    host.attach()
    host.hear(advertisement(HERE, PREFIX))
    host.do(host.core.address_changed(replace(KERNELS, valid=7200, age=AGE - 10), host.now))
    host.advance(9)
    assert given(host) == KERNELS.address
    host.advance(1)
    assert given(host, 2) in formed(host)


def test_then_a_request_gets_an_address_of_our_own_from_the_same_prefix(host: Host) -> None:
    host.advance(AGE)
    host.took(Tell)
    address = given(host)
    assert address != KERNELS.address
    assert address in PREFIX
    assert formed(host) == [address]
    assert host.formed[WL0, address] == 1000.0 + 7200
    assert [event for event in told(host) if isinstance(event, AddressFormed)] == [
        AddressFormed(address, PREFIX, "wl0", 7200 - AGE)
    ]
    assert given(host, 2) == address


def test_it_waits_for_duplicate_address_detection(host: Host) -> None:
    host.advance(AGE)
    host.clashes = 1
    assert given(host) in formed(host)
    assert [type(event) for event in told(host)].count(AddressClash) == 1


def test_after_three_clashes_the_kernels_address_has_to_do(host: Host) -> None:
    host.advance(AGE)
    host.clashes = 9
    number = host.setsc(ORDINARY)
    assert host.clashes == 6
    host.advance(6)
    assert host.replies[number].address == KERNELS.address
    assert given(host, 2) == KERNELS.address
    assert (host.clashes, formed(host)) == (6, [])
    host.detach()
    host.clashes = 0
    host.attach()
    host.hear(advertisement(HERE, PREFIX))
    assert given(host, 3) in formed(host)


def test_an_optimistic_address_that_clashes_is_replaced(host: Host, renewed: IPv6Address) -> None:
    found = own(WL0, renewed, 7200)
    optimistic = replace(found, flags=found.flags | AddressFlags.OPTIMISTIC)
    assert host.sockets[renewed] == {1}
    host.do(host.core.address_changed(optimistic, host.now))
    host.do(host.core.address_removed(optimistic, host.now))
    assert host.sockets[renewed] == set()
    [other] = formed(host)
    assert other != renewed
    assert given(host, 2) == other


def test_one_in_use_is_replaced_without_a_request(host: Host, renewed: IPv6Address) -> None:
    host.took(Tell)
    host.advance(AGE)
    [old, new] = formed(host)
    assert old == renewed
    left = 7200 - 2 * AGE
    events = told(host)
    assert AddressDeprecated(old, ORDINARY, left) in events
    assert events[-1] == AddressReplaced(old, ORDINARY, new, left)
    assert given(host, 2) == new
    host.advance(500)
    assert formed(host) == [old, new]


def test_the_kernels_address_in_use_is_replaced_and_stays(host: Host) -> None:
    assert given(host) == KERNELS.address
    host.took(Tell)
    host.advance(AGE)
    [new] = formed(host)
    replaced = [event for event in told(host) if isinstance(event, AddressReplaced)]
    assert [(event.address, event.by) for event in replaced] == [(KERNELS.address, new)]
    host.advance(AGE - 1)
    assert not [event for event in told(host) if isinstance(event, AddressReplaced)]


def test_the_old_one_goes_with_its_last_socket(host: Host, renewed: IPv6Address) -> None:
    host.advance(AGE)
    [_, new] = formed(host)
    host.took(CountSockets)
    host.close(1)
    host.do(host.core.poll(host.now))
    assert CountSockets(renewed, 30.0) in host.done
    assert formed(host) == [new]
    assert AddressReleased(renewed, ORDINARY) in told(host)
    assert not any(isinstance(event, AddressGone) for event in told(host))


def test_sockets_that_never_asked_keep_the_old_one(host: Host, renewed: IPv6Address) -> None:
    host.sockets[renewed] = {1, 77}
    host.advance(AGE)
    host.close(1)
    host.advance(100)
    assert renewed in formed(host)
    host.close(77)
    host.advance(1)
    assert renewed not in formed(host)


def test_one_that_nobody_uses_stays_for_its_lifetime(host: Host, renewed: IPv6Address) -> None:
    host.close(1)
    host.advance(AGE - 1)
    assert formed(host) == [renewed]
    assert given(host, 2) == renewed
    host.close(2)
    host.advance(1)
    assert formed(host) == []


def test_without_a_limit_nothing_is_formed() -> None:
    host = on_link(lifetimes(seconds=0))
    given(host)
    host.advance(7000)
    assert given(host, 2) == KERNELS.address
    assert formed(host) == []
    assert host.core.quotas() == {}


def test_by_bytes() -> None:
    host = on_link(lifetimes(seconds=0, bytes=5000))
    assert host.core.quotas() == {KERNELS.address: Quota(5000)}
    assert given(host) == KERNELS.address
    host.do(host.core.spent(KERNELS.address, host.now))
    [new] = formed(host)
    assert host.core.quotas() == {new: Quota(5000)}
    assert given(host, 2) == new


# ---- lifetimes ---------------------------------------------------------------------------------


def test_it_is_valid_no_longer_than_what_it_was_formed_from(
    host: Host, renewed: IPv6Address
) -> None:
    host.do(host.core.address_changed(slaac(WL0, PREFIX, 3600), host.now))
    assert host.formed[WL0, renewed] == host.now + 3600
    host.sockets[renewed] = {1}
    host.took(DestroySockets)
    host.advance(3599)
    assert renewed in formed(host)
    host.advance(2)
    assert renewed not in formed(host)
    assert DestroySockets(renewed, frozenset({1})) in host.done


def test_it_is_valid_for_longer_when_the_router_says_so(host: Host, renewed: IPv6Address) -> None:
    host.advance(4000)
    host.do(host.core.address_changed(slaac(WL0, PREFIX, 7200), host.now))
    assert host.formed[WL0, renewed] == host.now + 7200


def test_one_without_end() -> None:
    host = on_link(lifetimes(seconds=AGE), None)
    host.advance(AGE)
    address = given(host)
    assert host.formed[WL0, address] == float("inf")


# ---- links -------------------------------------------------------------------------------------


def test_it_goes_after_a_move(host: Host, renewed: IPv6Address) -> None:
    host.detach()
    host.attach()
    host.hear(advertisement(THERE, ELSEWHERE))
    host.advance(1)
    assert formed(host) == []
    assert DestroySockets(renewed, frozenset({1})) in host.done
    host.do(host.core.address_changed(slaac(WL0, ELSEWHERE), host.now))
    assert given(host, 2) in ELSEWHERE


def test_it_stays_on_the_same_link(host: Host, renewed: IPv6Address) -> None:
    host.detach()
    host.attach()
    host.hear(advertisement(HERE, PREFIX))
    host.advance(1)
    assert formed(host) == [renewed]
    assert given(host, 2) == renewed


def test_it_goes_when_another_interface_has_a_link(host: Host, renewed: IPv6Address) -> None:
    host.detach()
    host.attach(WL1)
    host.hear(advertisement(THERE, ELSEWHERE), WL1)
    host.advance(1)
    assert renewed not in formed(host)


def test_what_somebody_removes_is_to_be_put_back(host: Host, renewed: IPv6Address) -> None:
    removed = own(WL0, renewed, 7200)
    host.do(host.core.address_removed(removed, host.now))
    assert host.core.keeps(removed)
    assert host.sockets[renewed] == {1}
    assert not host.core.keeps(slaac(WL0, PREFIX))


def test_addresses_of_an_earlier_life_stay_for_their_sockets(host: Host) -> None:
    used, unused = PREFIX[77], PREFIX[78]
    host.sockets[used] = {5}
    host.formed = {(WL0, used): 0.0, (WL0, unused): 0.0}
    for address in (used, unused):
        host.do(host.core.address_changed(own(WL0, address, 3600), host.now))
    host.advance(0)
    assert formed(host) == [used]
    assert given(host) == KERNELS.address
    host.close(5)
    host.advance(31)
    assert formed(host) == []
