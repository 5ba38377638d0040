"""A host whose links change, and whose routers come and go: a hand turns the clock."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from moorage.host.actions import (
    Action,
    AddLinkLocal,
    Answer,
    DestroySockets,
    Persist,
    ProbeRouter,
    RetireLink,
    SolicitRouters,
)
from moorage.host.events import (
    AddressClash,
    LinkAttached,
    LinkLeft,
    PrefixesWithdrawn,
    Resumed,
    RouterLost,
)
from moorage.host.findings import Lack
from moorage.host.lease import Lease
from moorage.host.serving import ANSWER_WAIT
from moorage.host.state import StateFile
from moorage.kernel.addresses import AddressFlags
from moorage.service import ServiceType
from moorage.wire.dhcp6 import IaPd, MessageType
from tests.scripted import (
    LASTING,
    ORDINARY,
    ROUTERS,
    WL0,
    WL1,
    Host,
    advertisement,
    link,
    link_local,
    slaac,
)

HERE, THERE = b"link one", b"link two"
PREFIX, PREFIX_THERE = IPv6Network("2001:db8:1001::/64"), IPv6Network("2001:db8:1002::/64")
ROUTER, NEIGHBOUR = ROUTERS[WL0], IPv6Address("fe80::b1")
REBIND = MessageType.REBIND


@pytest.fixture
def host() -> Host:
    """Return a host that has heard a router, and has a Session-lasting address in use."""
    host = Host()
    host.attach()
    host.hear(advertisement(HERE, PREFIX))
    host.do(host.core.address_changed(slaac(WL0, PREFIX), host.now))
    host.ask(LASTING)
    host.advance(5)
    host.forget()
    return host


def lease(host: Host) -> Lease:
    [found] = host.core.leases
    return found


def rebound(host: Host) -> list[tuple[int, IPv6Network]]:
    """Return interface and prefix of each Rebind since the last time."""
    heard, host.network.heard = host.network.heard, []
    return [
        (interface, ia.prefixes[0].prefix)
        for interface, message in heard
        if message.type is REBIND
        for ia in message.every(IaPd)
    ]


def kinds(actions: list[Action]) -> list[type[Action]]:
    return [type(action) for action in actions]


# ---- routers -----------------------------------------------------------------------------------


def test_a_router_that_does_not_answer_gets_no_more_packets_and_another_is_asked(
    host: Host,
) -> None:
    host.network.silent = {WL0}
    host.do(host.core.router_unreachable(WL0, ROUTER, host.now))
    assert SolicitRouters in kinds(host.done)
    assert rebound(host) == [(WL0, lease(host).prefix)]
    assert not lease(host).served
    assert host.told(RouterLost) == [RouterLost("wl0", ROUTER, Lack.UNREACHABLE)]
    host.network.silent = set()
    host.advance(0.2)
    assert lease(host).served


def test_who_names_the_link_is_asked_when_another_router_contradicts(host: Host) -> None:
    host.hear(advertisement(THERE, PREFIX_THERE), router=NEIGHBOUR)
    assert ProbeRouter(WL0, NEIGHBOUR) not in host.done
    host.hear(advertisement(HERE, PREFIX))
    assert ProbeRouter(WL0, NEIGHBOUR) in host.done
    assert host.told(LinkLeft) == [LinkLeft("wl0")]
    host.do(host.core.router_unreachable(WL0, NEIGHBOUR, host.now))
    host.hear(advertisement(HERE, PREFIX))
    assert host.told(LinkLeft) == [LinkLeft("wl0")]


def test_an_unreachable_router_is_silenced_until_it_is_heard_again(host: Host) -> None:
    host.network.silent = {WL0}
    host.do(host.core.router_unreachable(WL0, ROUTER, host.now))
    assert host.core.silenced() == {(WL0, ROUTER)}
    host.hear(advertisement(HERE, PREFIX))
    assert host.core.silenced() == set()


def test_another_router_of_the_link_serves(host: Host) -> None:
    host.network.silent = {WL0}
    host.hear(advertisement(HERE, PREFIX), router=NEIGHBOUR)
    host.do(host.core.router_unreachable(WL0, ROUTER, host.now))
    [(_, rebind)] = host.network.heard
    host.network.silent = set()
    reply = host.network.answer(WL0, rebind)
    assert reply is not None
    host.do(host.core.dhcp_received(WL0, NEIGHBOUR, reply, host.now))
    path = lease(host).path
    assert path is not None
    assert path.router == NEIGHBOUR
    assert lease(host).served


def test_the_other_interface_serves_when_a_router_is_gone(host: Host) -> None:
    host.network.silent = {WL1}
    host.attach(WL1, heard=THERE)
    host.advance(5)
    path = lease(host).path
    assert path is not None
    assert path.interface == WL0
    host.network.silent = {WL0}
    host.do(host.core.router_unreachable(WL0, ROUTER, host.now))
    host.advance(2 * ANSWER_WAIT + 0.2)
    assert lease(host).served
    path = lease(host).path
    assert path is not None
    assert path.interface == WL1


def test_an_unreachable_neighbour_that_serves_nobody_changes_nothing(host: Host) -> None:
    host.do(host.core.router_unreachable(WL0, NEIGHBOUR, host.now))
    host.hear(advertisement(HERE, PREFIX), router=NEIGHBOUR)
    host.do(host.core.router_unreachable(WL0, NEIGHBOUR, host.now))
    assert rebound(host) == []
    assert lease(host).served


@pytest.mark.parametrize("resigns", [True, False])
def test_a_router_that_goes_serves_until_another_does(host: Host, resigns: bool) -> None:
    host.network.silent = {WL0}
    if resigns:
        host.hear(advertisement(HERE, lifetime=0))
    else:
        host.hear(advertisement(HERE, PREFIX, lifetime=1800))
        host.advance(1800)
    assert lease(host).served
    assert rebound(host)[0] == (WL0, lease(host).prefix)
    why = Lack.RESIGNED if resigns else Lack.SILENT
    assert host.told(RouterLost) == [RouterLost("wl0", ROUTER, why)]
    host.network.silent = set()
    host.advance(10)
    assert lease(host).served


# ---- prefixes ----------------------------------------------------------------------------------


def test_prefix_that_is_no_longer_advertised_is_retired_once_that_is_certain(host: Host) -> None:
    """RFC 9096: the router has started anew, with another prefix."""
    address = slaac(WL0, PREFIX).address
    host.ask(ORDINARY, 7)
    host.forget()
    for _ in range(2):
        host.hear(advertisement(HERE, PREFIX_THERE))
    assert kinds(host.done).count(SolicitRouters) == 1
    assert RetireLink not in kinds(host.done)
    host.hear(advertisement(HERE, PREFIX_THERE))
    assert RetireLink(WL0, frozenset({address}), frozenset({ROUTER})) in host.done
    assert DestroySockets(address, frozenset({7})) in host.done
    assert host.told(PrefixesWithdrawn) == [PrefixesWithdrawn("wl0", [PREFIX])]
    assert lease(host).served


# ---- what the last link left -------------------------------------------------------------------


def test_nothing_is_retired_before_the_reply_that_traffic_waits_for(host: Host) -> None:
    host.network.silent = {WL0}
    host.hear(advertisement(THERE, PREFIX_THERE))
    assert RetireLink not in kinds(host.done)
    host.network.silent = set()
    host.advance(0.2)
    done = kinds(host.done)
    assert done.index(RetireLink) > 0
    assert lease(host).served
    assert RetireLink(WL0, frozenset({PREFIX[0x1234]}), frozenset({ROUTER})) in host.done


def test_no_reply_keeps_the_last_link_for_longer(host: Host) -> None:
    host.network.silent = {WL0}
    host.hear(advertisement(THERE, PREFIX_THERE))
    host.advance(0.09)
    assert RetireLink not in kinds(host.done)
    host.advance(0.02)
    assert RetireLink in kinds(host.done)


def test_a_restart_during_a_move_forgets_nothing(host: Host, tmp_path: Path) -> None:
    assert Persist not in kinds(host.done)
    file = StateFile(tmp_path / "leases.json", 1e9)
    file.save(host.core.memory, host.core.interface_name)
    again = Host(host.network, memory=file.load({"wl0": WL0}.get, host.now))
    again.do(again.core.address_changed(slaac(WL0, PREFIX), again.now))
    again.attach()
    again.do(again.core.address_changed(slaac(WL0, PREFIX), again.now))
    again.hear(advertisement(THERE, PREFIX_THERE))
    assert RetireLink(WL0, frozenset({PREFIX[0x1234]}), frozenset({ROUTER})) in again.done
    assert Persist in kinds(again.done)


def test_addresses_of_a_link_that_nobody_remembers_are_retired_when_all_routers_are_heard() -> None:
    host = Host()
    host.attach()
    for prefix in (PREFIX, PREFIX_THERE):
        host.do(host.core.address_changed(slaac(WL0, prefix), host.now))
    host.forget()
    host.hear(advertisement(HERE, PREFIX_THERE))
    assert SolicitRouters in kinds(host.done)
    assert RetireLink not in kinds(host.done)
    host.advance(4)
    assert RetireLink(WL0, frozenset({PREFIX[0x1234]}), frozenset({ROUTER})) in host.done


def test_addresses_of_another_router_of_the_link_stay() -> None:
    host = Host()
    host.attach()
    for prefix in (PREFIX, PREFIX_THERE):
        host.do(host.core.address_changed(slaac(WL0, prefix), host.now))
    host.hear(advertisement(HERE, PREFIX_THERE))
    host.hear(advertisement(HERE, PREFIX), router=NEIGHBOUR)
    host.forget()
    host.advance(10)
    assert all(not action.addresses for action in host.took(RetireLink))


# ---- interfaces --------------------------------------------------------------------------------


def test_removed_interface_is_told_by_its_name(host: Host) -> None:
    host.do(host.core.link_removed(WL0, host.now))
    assert host.told(LinkLeft) == [LinkLeft("wl0")]


def test_interface_that_comes_back_under_another_index(host: Host) -> None:
    host.do(host.core.link_removed(WL0, host.now))
    assert lease(host).path is None
    new = 17
    ROUTERS[new] = NEIGHBOUR
    host.do(host.core.link_changed(replace(link(WL0), index=new), host.now))
    host.do(host.core.address_changed(replace(link_local(WL0), interface=new), host.now))
    del ROUTERS[new]
    assert lease(host).served


def test_after_sleep_all_is_asked_for_again_at_once(host: Host) -> None:
    host.resume(3000.0)
    assert SolicitRouters in kinds(host.done)
    assert rebound(host) == [(WL0, lease(host).prefix)]
    assert lease(host).served
    assert host.told(Resumed) == [Resumed(3000.0)]


def test_what_expired_during_sleep_is_gone(host: Host) -> None:
    host.network.silent = {WL0}
    host.resume(9000.0)
    host.advance(0)
    assert not host.core.leases


# ---- clashes -----------------------------------------------------------------------------------


def test_link_local_address_that_somebody_else_has_is_replaced(host: Host) -> None:
    failed = AddressFlags.DAD_FAILED | AddressFlags.TENTATIVE
    host.do(host.core.address_changed(replace(link_local(WL0), flags=failed), host.now))
    assert not lease(host).served
    [added] = [action for action in host.done if isinstance(action, AddLinkLocal)]
    assert added.interface == WL0
    assert added.address.is_link_local
    assert host.told(AddressClash) == [AddressClash("wl0", link_local(WL0).address)]
    host.do(host.core.address_changed(replace(link_local(WL0), address=added.address), host.now))
    assert lease(host).served


def test_link_where_every_address_is_taken_is_given_up(host: Host) -> None:
    failed = AddressFlags.DAD_FAILED | AddressFlags.TENTATIVE
    clashing, tried = link_local(WL0), 0
    while True:
        host.do(host.core.address_changed(replace(clashing, flags=failed), host.now))
        added = host.took(AddLinkLocal)
        if not added:
            break
        tried += 1
        clashing = replace(clashing, address=added[0].address)
    assert tried == 3


def test_clash_of_an_ordinary_address_is_told(host: Host) -> None:
    clashed = replace(slaac(WL0, PREFIX), flags=AddressFlags.DAD_FAILED)
    host.do(host.core.address_changed(clashed, host.now))
    assert host.told(AddressClash) == [AddressClash("wl0", clashed.address)]
    assert lease(host).served


# ---- routers that are asked --------------------------------------------------------------------


def test_routers_are_asked_for_until_one_is_heard() -> None:
    host = Host()
    host.attach()
    host.advance(1)
    assert 3 <= kinds(host.done).count(SolicitRouters) <= 6
    host.forget()
    host.hear(advertisement(HERE))
    host.advance(100)
    assert SolicitRouters not in kinds(host.done)


def test_a_host_that_waits_before_the_first_advertisement_gets_a_delegated_address() -> None:
    host = Host()
    host.attach()
    number = host.setsc(ORDINARY)
    assert number not in host.replies
    host.hear(advertisement(HERE))
    assert host.replies[number].status == 0
    assert [lease.type for lease in host.core.leases] == [ServiceType.NON_PERSISTENT]


def test_link_attached_is_told(host: Host) -> None:
    host.detach()
    host.attach()
    assert host.told(LinkAttached) == [LinkAttached("wl0")]
    assert Answer not in kinds(host.done)
