"""What applications are told of the addresses that they watch."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.host.actions import DestroySockets, Notify, Reconcile
from moorage.host.config import RetireSlaac
from moorage.host.subject import Subject
from moorage.kernel.addresses import AddressFlags
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import RefusalReason
from moorage.wire.notice import (
    Attached,
    Deprecated,
    Detached,
    Gone,
    Moved,
    Notice,
    Replaced,
    Why,
)
from tests.scripted import (
    FIXED,
    GRACEFUL,
    LASTING,
    ORDINARY,
    ROUTERS,
    WL0,
    WL1,
    Host,
    advertisement,
    config,
    slaac,
)

HERE, THERE = b"link one", b"link two"
ADVERTISED = IPv6Network("2001:db8:1001::/64")
ADVERTISED_THERE = IPv6Network("2001:db8:1002::/64")
UNKNOWN = IPv6Address("2001:db8:ffff::1")


@pytest.fixture
def host() -> Host:
    host = Host()
    host.attach()
    host.hear(advertisement(HERE, ADVERTISED))
    host.do(host.core.address_changed(slaac(WL0, ADVERTISED), host.now))
    return host


def watch(host: Host, address: IPv6Address | None = None, cookie: int = 1) -> Reason:
    """Let the application watch a socket; return why it may not, or Reason.NONE."""
    number = 1_000_000 + len(host.replies)
    host.do(host.core.watch("application", number, Subject(cookie, address), host.now))
    reply = host.replies[number]
    assert reply.address == IPv6Address(0)
    return reply.reason


def told(host: Host) -> list[Notice]:
    """Return what the application was told since the last time."""
    notices, host.notices = host.notices, []
    return [notice.notice for notice in notices]


def watched(host: Host, kind: int) -> IPv6Address:
    """Return the address of a new socket that is watched from now on."""
    address = host.ask(kind).address
    assert watch(host) is Reason.NONE
    return address


# ---- who may watch what ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FIXED, LASTING, ORDINARY, GRACEFUL])
def test_a_socket_may_watch_what_it_was_given(host: Host, kind: int) -> None:
    address = watched(host, kind)
    assert told(host) == []
    host.detach()
    assert told(host) == [Detached(address)]


@pytest.mark.parametrize("kind", [LASTING, ORDINARY])
def test_a_socket_may_watch_what_it_is_bound_to(host: Host, kind: int) -> None:
    address = host.ask(kind, None).address
    assert watch(host, address, cookie=99) is Reason.NONE
    host.detach()
    assert told(host) == [Detached(address)]


def test_a_bound_socket_watches_its_own_address_alone(host: Host) -> None:
    address = host.ask(LASTING).address
    host.ask(FIXED)
    assert watch(host, address) is Reason.NONE
    host.detach()
    assert told(host) == [Detached(address)]


def test_a_socket_without_an_address_has_nothing_to_watch(host: Host) -> None:
    host.ask(LASTING, 1)
    assert watch(host, cookie=2) is Reason.NO_ADDRESS
    assert watch(host, UNKNOWN) is Reason.NO_ADDRESS
    host.detach()
    assert told(host) == []


def test_nobody_is_told_of_the_addresses_of_others(host: Host) -> None:
    watched(host, LASTING)
    host.ask(GRACEFUL, 2)
    host.close(2)
    host.advance(31)
    assert told(host) == []


def test_one_that_has_hung_up_is_told_nothing(host: Host) -> None:
    watched(host, LASTING)
    host.do(host.core.client_gone("application", host.now))
    host.detach()
    assert told(host) == []


# ---- typed addresses ---------------------------------------------------------------------------


def test_a_hard_move_detaches_and_ends_with_another_router(host: Host) -> None:
    address = watched(host, LASTING)
    host.detach()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ROUTERS, WL0, IPv6Address("fe80::b1"))
        host.attach(heard=THERE)
    assert told(host) == [Detached(address), Moved(address)]


def test_a_soft_move_detaches_nothing(host: Host) -> None:
    address = watched(host, LASTING)
    host.advance(2)
    host.attach(WL1, heard=THERE)
    assert told(host) == [Moved(address)]
    host.detach()
    assert told(host) == []


def test_the_same_link_again(host: Host) -> None:
    address = watched(host, LASTING)
    host.detach()
    host.attach(heard=HERE)
    assert told(host) == [Detached(address), Attached(address)]


def test_renewal_is_no_news(host: Host) -> None:
    watched(host, LASTING)
    host.forget()
    host.advance(601)
    assert host.network.heard
    assert told(host) == []


def test_graceful_replacement_tells_the_time_left_and_the_new_address(host: Host) -> None:
    address = watched(host, GRACEFUL)
    host.network.replaced = {GRACEFUL}
    host.detach()
    host.attach(heard=HERE)
    new = host.ask(GRACEFUL, 2).address
    assert told(host) == [
        Detached(address),
        Attached(address),
        Deprecated(address, 60),
        Replaced(address, new, 60),
    ]
    host.advance(61)
    assert told(host) == [Gone(address, Why.EXPIRED)]


def test_lost_in_the_network(host: Host) -> None:
    address = watched(host, LASTING)
    host.network.unknown = True
    host.advance(601)
    assert told(host) == [Gone(address, Why.WITHDRAWN)]


def test_a_refused_move_is_not_the_end(host: Host) -> None:
    address = watched(host, LASTING)
    host.network.refuses = RefusalReason.TRY_LATER
    host.network.busy = True
    host.detach()
    host.attach(heard=THERE)
    assert told(host) == [Detached(address)]


def test_released_since_no_socket_is_left(host: Host) -> None:
    address = watched(host, LASTING)
    host.close(1)
    host.advance(31)
    assert told(host) == [Gone(address, Why.RELEASED)]


def test_after_its_end_an_address_is_watched_no_more(host: Host) -> None:
    address = watched(host, LASTING)
    host.network.unknown = True
    host.advance(601)
    assert watch(host, address) is Reason.NO_ADDRESS


def test_the_kernel_has_changed_before_anybody_is_told(host: Host) -> None:
    watched(host, LASTING)
    host.network.unknown = True
    host.done.clear()
    host.advance(601)
    kinds = [type(action) for action in host.done]
    assert kinds.index(Reconcile) < kinds.index(Notify)


# ---- ordinary addresses ------------------------------------------------------------------------


def test_an_ordinary_address_is_gone_after_a_move(host: Host) -> None:
    address = watched(host, ORDINARY)
    host.detach()
    host.attach()
    assert told(host) == [Detached(address)]
    host.hear(advertisement(THERE, ADVERTISED_THERE))
    assert told(host) == [Gone(address, Why.LEFT)]


def test_an_ordinary_address_on_the_same_link_again(host: Host) -> None:
    address = watched(host, ORDINARY)
    host.detach()
    host.attach()
    host.hear(advertisement(HERE, ADVERTISED))
    assert told(host) == [Detached(address), Attached(address)]


def test_an_ordinary_address_of_an_interface_that_gave_way(host: Host) -> None:
    address = watched(host, ORDINARY)
    host.attach(WL1, heard=THERE)
    assert told(host) == []
    host.detach()
    assert told(host) == [Detached(address), Gone(address, Why.LEFT)]


def test_an_ordinary_address_stays_where_that_is_the_policy() -> None:
    host = Host(config=config(retire_slaac=RetireSlaac.NO))
    host.attach()
    host.hear(advertisement(HERE, ADVERTISED))
    host.do(host.core.address_changed(slaac(WL0, ADVERTISED), host.now))
    address = watched(host, ORDINARY)
    host.detach()
    host.attach()
    host.hear(advertisement(THERE, ADVERTISED_THERE))
    assert told(host) == [Detached(address)]


def test_an_ordinary_address_that_is_deprecated(host: Host) -> None:
    address = watched(host, ORDINARY)
    old = replace(slaac(WL0, ADVERTISED, valid=600), flags=AddressFlags.DEPRECATED)
    for _ in range(2):
        host.do(host.core.address_changed(old, host.now))
    assert told(host) == [Deprecated(address, 600)]


def test_an_ordinary_address_that_somebody_removed_takes_its_sockets_along(host: Host) -> None:
    address = watched(host, ORDINARY)
    host.do(host.core.address_removed(slaac(WL0, ADVERTISED), host.now))
    assert DestroySockets(address, frozenset({1})) in host.done
    assert told(host) == [Gone(address, Why.REMOVED)]


def test_an_address_on_two_interfaces_is_gone_with_the_second(host: Host) -> None:
    address = watched(host, ORDINARY)
    host.attach(WL1, heard=HERE)
    host.do(host.core.address_changed(slaac(WL1, ADVERTISED), host.now))
    host.do(host.core.address_removed(slaac(WL0, ADVERTISED), host.now))
    assert told(host) == []
    host.do(host.core.address_removed(slaac(WL1, ADVERTISED), host.now))
    assert told(host) == [Gone(address, Why.REMOVED)]


# ---- what a watch begins with ------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LASTING, ORDINARY])
def test_a_watch_begins_with_a_detachment_that_was_earlier(host: Host, kind: int) -> None:
    address = host.ask(kind).address
    host.detach()
    assert watch(host) is Reason.NONE
    assert told(host) == [Detached(address)]


def test_a_watch_begins_with_an_earlier_replacement(host: Host) -> None:
    address = host.ask(GRACEFUL).address
    host.network.replaced = {GRACEFUL}
    host.detach()
    host.attach(heard=HERE)
    new = host.ask(GRACEFUL, 2).address
    host.advance(20)
    host.forget()
    assert watch(host) is Reason.NONE
    assert told(host) == [Deprecated(address, 40), Replaced(address, new, 40)]


def test_a_watch_begins_with_an_earlier_deprecation_of_an_ordinary_address(host: Host) -> None:
    address = host.ask(ORDINARY).address
    old = replace(slaac(WL0, ADVERTISED, valid=600), flags=AddressFlags.DEPRECATED)
    host.do(host.core.address_changed(old, host.now))
    host.advance(100)
    assert watch(host) is Reason.NONE
    assert told(host) == [Deprecated(address, 500)]


def test_a_lifetime_beyond_the_record_is_its_longest(host: Host) -> None:
    address = host.ask(ORDINARY).address
    old = replace(slaac(WL0, ADVERTISED, valid=None), flags=AddressFlags.DEPRECATED)
    host.do(host.core.address_changed(old, host.now))
    assert watch(host) is Reason.NONE
    assert told(host) == [Deprecated(address, 0xFFFF_FFFF)]
