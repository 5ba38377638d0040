"""What legacy applications get on links without ordinary addresses."""

from __future__ import annotations

from ipaddress import IPv6Network

import pytest

from moorage.host.lease import Lease
from moorage.kernel.routes import Route
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType, OnDemand, RefusalReason
from tests.scripted import (
    ELSEWHERE,
    ETH0,
    FIXED,
    GRACEFUL,
    LASTING,
    WL0,
    WL1,
    Host,
    Network,
    advertisement,
    config,
    slaac,
)

HERE, THERE = b"link one", b"link two"
PREFIX = IPv6Network("2001:db8:1001::/64")
SOLICIT, REBIND, RELEASE = MessageType.SOLICIT, MessageType.REBIND, MessageType.RELEASE
MINUTE = 60.0


def bare(network: Network | None = None, **changes: object) -> Host:
    """Return a host without any ordinary address, on a link that only delegates prefixes."""
    host = Host(network, config(**changes), bare=True)
    host.attach(heard=HERE)
    return host


def everybodys(host: Host) -> Route | None:
    """Return the route that chooses the source of sockets without one, if there is such a route."""
    found = [route for route in host.core.desired_routes() if route.preferred_source is not None]
    assert len(found) <= 1
    return next(iter(found), None)


def stopgap(host: Host) -> Lease:
    """Return the lease whose address sockets without one get."""
    route = everybodys(host)
    assert route is not None
    assert route.preferred_source is not None
    lease = host.lease(route.preferred_source)
    assert lease is not None
    return lease


def gain_an_ordinary_address(host: Host, interface: int = WL0) -> None:
    host.do(host.core.address_changed(slaac(interface, PREFIX), host.now))


def test_the_network_is_asked_for_what_it_chooses() -> None:
    host = bare(Network(default=GRACEFUL))
    [(_, solicit)] = host.network.heard
    found = OnDemand.of(solicit)
    assert found is not None
    assert found.sub_options == ()
    assert stopgap(host).type is GRACEFUL
    host.advance(10 * MINUTE)
    assert len(host.core.leases) == 1


@pytest.mark.parametrize("kind", [FIXED, LASTING])
def test_it_is_none_that_was_asked_for_by_its_type(kind: ServiceType) -> None:
    host = Host(bare=False)
    host.attach(heard=HERE)
    typed = host.ask(kind).address
    host.do(host.core.address_removed(slaac(ETH0, ELSEWHERE, None), host.now))
    assert stopgap(host).address != typed
    assert stopgap(host).untyped


def test_who_names_no_type_shares_it() -> None:
    host = bare()
    assert host.ask(None).address == stopgap(host).address


def test_one_that_was_asked_for_without_a_type_serves() -> None:
    host = Host(bare=False)
    host.attach(heard=HERE)
    address = host.ask(None).address
    host.do(host.core.address_removed(slaac(ETH0, ELSEWHERE, None), host.now))
    assert stopgap(host).address == address
    host.close(1)
    host.advance(10 * MINUTE)
    assert stopgap(host).address == address


def test_nothing_is_asked_for_where_there_is_an_ordinary_address() -> None:
    host = Host(bare=False)
    host.attach(heard=HERE)
    host.advance(MINUTE)
    assert host.network.heard == []


def test_nothing_is_asked_for_where_an_ordinary_address_is_about_to_come() -> None:
    host = Host(bare=True)
    host.attach()
    host.hear(advertisement(HERE, PREFIX))
    host.advance(MINUTE)
    assert host.network.heard == []


def test_nothing_is_asked_for_where_there_is_a_default_type() -> None:
    host = bare(default_type="session-lasting")
    assert [lease.untyped for lease in host.core.leases] == [False]


def test_a_default_type_that_every_network_gives_is_none() -> None:
    assert stopgap(bare(default_type="non-persistent")).untyped


def test_on_a_link_without_the_service_nothing_is_asked_for() -> None:
    host = Host(Network(knows_service=False), bare=True)
    host.attach()
    host.hear(advertisement())
    host.advance(MINUTE)
    assert host.network.heard == []


@pytest.mark.parametrize("interface", [WL0, ETH0])
def test_it_is_released_where_there_is_an_ordinary_address(interface: int) -> None:
    host = bare()
    host.forget()
    gain_an_ordinary_address(host, interface)
    assert everybodys(host) is None
    host.advance(MINUTE)
    assert host.network.types() == [RELEASE]
    assert not host.core.leases


def test_it_stays_while_legacy_sockets_are_on_it() -> None:
    host = bare()
    address = stopgap(host).address
    assert address is not None
    host.sockets[address] = {7}
    gain_an_ordinary_address(host)
    host.advance(10 * MINUTE)
    assert [lease.address for lease in host.core.leases] == [address]
    host.close(7)
    host.advance(MINUTE)
    assert not host.core.leases


def test_it_moves_with_the_host_and_is_the_choice_in_between() -> None:
    host = bare()
    before = stopgap(host).address
    host.detach()
    assert stopgap(host).address == before
    host.attach(heard=THERE)
    assert stopgap(host).address == before
    assert stopgap(host).served


def test_another_network_gives_another() -> None:
    host = bare(serving={"session-lasting": ["wl0", "wl1"]})
    before = stopgap(host)
    host.detach()
    host.attach()
    host.hear(advertisement(THERE, domain=b"competitor"))
    assert stopgap(host).address != before.address
    assert not before.stopgap


def test_the_newest_link_serves_it() -> None:
    host = bare()
    before = stopgap(host).address
    host.advance(1)
    host.attach(WL1, heard=THERE)
    host.advance(5)
    assert stopgap(host).address == before
    route = everybodys(host)
    assert route is not None
    assert route.interface == WL1


def test_a_refusal_is_accepted_for_a_minute() -> None:
    host = bare(Network(refuses=RefusalReason.POOL_FULL))
    assert host.network.types() == [SOLICIT]
    host.advance(MINUTE - 1)
    assert host.network.types() == []
    host.network.refuses = None
    host.advance(2)
    assert host.network.types() == [SOLICIT]
    assert stopgap(host).served


def test_a_request_is_given_up_when_an_ordinary_address_comes() -> None:
    host = Host(Network(silent={WL0}), bare=True)
    host.attach(heard=HERE)
    gain_an_ordinary_address(host)
    assert not host.core.leases


def test_another_takes_its_place_when_the_network_takes_it_back() -> None:
    host = bare()
    before = stopgap(host).address
    host.network.withdrawn = {LASTING}
    host.detach()
    host.network.default = LASTING
    host.attach(heard=THERE)
    assert stopgap(host).address not in (None, before)


def test_it_outlives_the_daemon() -> None:
    host = bare()
    before = stopgap(host).address
    host.restart(host.core.known.config, host.core.memory)
    host.attach(heard=HERE)
    assert stopgap(host).address == before
    assert len(host.core.leases) == 1
