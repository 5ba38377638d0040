"""A host between the networks of two operators: each knows it by another identity."""

from __future__ import annotations

import pytest

from moorage.host.actions import SendDhcp
from moorage.host.attachment import DOMAIN_WAIT
from moorage.host.lease import Lease
from moorage.wire.dhcp6 import ClientId, MessageType
from tests.scripted import (
    DOMAIN,
    DUID,
    LASTING,
    WL0,
    WL1,
    Host,
    advertisement,
    config,
    duid_of,
)

OTHERS = b"stranger"
SOLICIT, REBIND = MessageType.SOLICIT, MessageType.REBIND


@pytest.fixture
def host() -> Host:
    """Return a host that has a Session-lasting address of one network."""
    host = Host()
    host.attach()
    host.hear(advertisement(b"ours", domain=DOMAIN))
    host.ask(LASTING)
    host.advance(5)
    host.forget()
    return host


def sent(host: Host) -> list[tuple[int, MessageType, bytes]]:
    """Return interface, type and client of each message since the last time."""
    heard, host.network.heard = host.network.heard, []
    found = []
    for interface, message in heard:
        client = message.first(ClientId)
        assert client is not None
        found.append((interface, message.type, client.duid))
    return found


def lease(host: Host, domain: bytes = DOMAIN) -> Lease:
    [found] = [lease for lease in host.core.leases if lease.domain == domain]
    return found


def go_abroad(host: Host) -> None:
    """Move to the other network, which knows nothing of our prefixes."""
    host.detach()
    host.network.unknown = True
    host.attach()
    host.hear(advertisement(b"theirs", domain=OTHERS))
    host.network.unknown = False


def test_a_prefix_is_asked_for_by_the_name_that_the_network_knows(host: Host) -> None:
    host.ask(LASTING, 2, on_net=True)
    assert sent(host) == [(WL0, SOLICIT, duid_of(DOMAIN))]


def test_new_prefixes_wait_until_the_network_has_said_which_one_it_is() -> None:
    host = Host()
    host.attach()
    host.setsc(LASTING)
    assert sent(host) == []
    host.hear(advertisement(b"ours", domain=DOMAIN))
    assert sent(host) == [(WL0, SOLICIT, duid_of(DOMAIN))]


def test_a_network_without_a_name_is_not_waited_for_long() -> None:
    host = Host()
    host.attach()
    host.setsc(LASTING)
    host.advance(DOMAIN_WAIT)
    assert sent(host) == [(WL0, SOLICIT, duid_of(b""))]
    assert lease(host, b"").served


def test_a_network_that_names_itself_late_is_asked_by_its_name() -> None:
    host = Host()
    host.network.silent = {WL0}
    host.attach()
    host.setsc(LASTING)
    host.advance(DOMAIN_WAIT)
    sent(host)
    host.network.silent = set()
    host.hear(advertisement(b"ours", domain=DOMAIN))
    assert sent(host) == [(WL0, SOLICIT, duid_of(DOMAIN))]


def test_a_move_waits_for_no_name(host: Host) -> None:
    host.detach()
    host.attach()
    assert sent(host) == [(WL0, REBIND, duid_of(DOMAIN))]
    assert lease(host).served


def test_nothing_is_lost_where_others_know_nothing_of_it(host: Host) -> None:
    go_abroad(host)
    assert lease(host).alive
    assert not lease(host).served
    sent(host)
    host.advance(100)
    assert sent(host) == []
    host.detach()
    host.attach()
    host.hear(advertisement(b"ours", domain=DOMAIN))
    assert lease(host).served


def test_a_network_that_has_lost_a_prefix_is_believed(host: Host) -> None:
    host.network.unknown = True
    host.detach()
    host.attach()
    assert lease(host).alive
    host.hear(advertisement(b"ours", domain=DOMAIN))
    assert not host.core.leases


def test_abroad_a_new_address_is_given(host: Host) -> None:
    old = lease(host)
    go_abroad(host)
    sent(host)
    reply = host.ask(LASTING, 2)
    assert sent(host) == [(WL0, SOLICIT, duid_of(OTHERS))]
    assert reply.address == lease(host, OTHERS).address
    assert reply.address != old.address


def test_without_any_link_the_old_address_is_given(host: Host) -> None:
    host.detach()
    assert host.ask(LASTING, 2).address == lease(host).address


def test_boot_types_are_had_in_every_network() -> None:
    host = Host(config=config(at_boot=["session-lasting"]))
    host.attach()
    host.hear(advertisement(b"ours", domain=DOMAIN))
    host.detach()
    host.attach()
    host.hear(advertisement(b"theirs", domain=OTHERS))
    assert {lease.domain for lease in host.core.leases} == {DOMAIN, OTHERS}


def test_each_network_serves_its_own_on_two_interfaces_at_once(host: Host) -> None:
    host.attach(WL1)
    host.hear(advertisement(b"theirs", domain=OTHERS), WL1)
    host.advance(5)
    assert lease(host).path is not None
    host.ask(LASTING, 2, on_net=True)
    sent(host)
    host.advance(3600)
    messages = {(interface, client) for interface, _, client in sent(host)}
    assert messages == {(WL0, duid_of(DOMAIN)), (WL1, duid_of(OTHERS))}
    assert [lease(host).served, lease(host, OTHERS).served] == [True, True]


def test_a_message_holds_the_prefixes_of_one_network_only(host: Host) -> None:
    go_abroad(host)
    host.ask(LASTING, 2)
    host.detach()
    sent(host)
    host.network.silent = {WL0}
    host.attach()
    assert {client for _, _, client in sent(host)} == {duid_of(DOMAIN), duid_of(OTHERS)}
    for action in host.took(SendDhcp):
        assert duid_of(action.transmission.domain).startswith(DUID)


# ---- several interfaces ------------------------------------------------------------------------


def path(host: Host) -> int:
    found = lease(host).path
    assert found is not None
    return found.interface


def test_policy_keeps_a_type_off_an_interface() -> None:
    host = Host(config=config(serving={"session-lasting": ["wl0"]}))
    host.attach(heard=b"ours")
    host.ask(LASTING)
    host.advance(5)
    host.attach(WL1, heard=b"theirs")
    host.advance(5)
    assert path(host) == WL0
    host.detach()
    host.advance(5)
    assert not lease(host).served


def test_policy_prefers_an_interface() -> None:
    host = Host(config=config(serving={"session-lasting": ["wl0", "wl1"]}))
    host.attach(WL1, heard=b"theirs")
    host.ask(LASTING)
    host.advance(5)
    host.attach(WL0, heard=b"ours")
    host.advance(5)
    assert path(host) == WL0
    host.detach(WL0)
    host.advance(0.2)
    assert path(host) == WL1


def test_policy_takes_effect_when_it_changes() -> None:
    host = Host()
    host.attach(WL0, heard=b"ours")
    host.advance(5)
    host.attach(WL1, heard=b"theirs")
    host.ask(LASTING)
    host.advance(5)
    assert path(host) == WL1
    host.core.known.config = config(serving={"session-lasting": ["wl0"]})
    host.do(host.core.poll(host.now))
    host.advance(5)
    assert path(host) == WL0


def test_a_request_goes_on_elsewhere_when_a_link_is_silent() -> None:
    host = Host()
    host.network.silent = {WL1}
    host.attach(WL0)
    host.attach(WL1)
    number = host.setsc(LASTING, timeout=4)
    host.hear(advertisement(b"ours"), WL0)
    host.hear(advertisement(b"theirs"), WL1)
    host.advance(3)
    assert host.replies[number].status == 0
    assert path(host) == WL0


def test_what_was_asked_for_on_a_newer_link_comes_back_when_that_is_gone(host: Host) -> None:
    host.attach(WL1, heard=b"other")
    host.network.silent = {WL0}
    host.ask(LASTING, 2, on_net=True)
    host.network.silent = set()
    host.advance(5)
    host.detach(WL1)
    host.advance(1)
    assert all(each.served for each in host.core.leases)
