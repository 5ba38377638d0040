"""What a host gets back that has lost its state, or that a network has forgotten."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from moorage.host.actions import DestroySockets
from moorage.host.leases import FIXED_IAIDS
from moorage.host.lifetimes import Linger
from moorage.host.state import Memory
from moorage.wire.dhcp6 import IaPd, MessageType, RefusalReason
from tests.scripted import (
    FIXED,
    GRACEFUL,
    LASTING,
    WL0,
    Host,
    advertisement,
    config,
)

HERE = b"link one"
LOST = Memory(whole=False)
SOLICIT, REBIND, RELEASE = MessageType.SOLICIT, MessageType.REBIND, MessageType.RELEASE


@pytest.fixture
def host() -> Host:
    host = Host()
    host.attach(heard=HERE)
    return host


def addresses(host: Host) -> set[IPv6Address | None]:
    return {lease.address for lease in host.core.leases}


def again(host: Host, memory: Memory = LOST, **changes: object) -> Host:
    """Return the host's next life, on the same network."""
    host.forget()
    return Host(host.network, config(**changes), memory, seed=2)


# ---- the host forgets --------------------------------------------------------------------------


def test_fixed_addresses_come_back_to_a_host_that_has_lost_its_state(host: Host) -> None:
    before = {host.ask(FIXED, 1).address, host.ask(FIXED, 2, on_net=True).address}
    host.ask(LASTING, 3)
    after = again(host)
    after.attach(heard=HERE)
    assert addresses(after) == before
    assert after.network.types() == [REBIND, REBIND]
    assert all(lease.kept is False and lease.served for lease in after.core.leases)
    after.advance(1000)
    assert addresses(after) == before


def test_nothing_is_asked_back_where_nothing_was_lost(host: Host) -> None:
    host.ask(FIXED)
    after = again(host, Memory())
    after.attach(heard=HERE)
    after.advance(100)
    assert after.network.heard == []


def test_a_network_is_asked_back_once(host: Host) -> None:
    host.ask(FIXED)
    after = again(host)
    for _ in range(3):
        after.attach(heard=HERE)
        after.advance(10)
        after.detach()
    assert sum(len(message.every(IaPd)) for _, message in after.network.heard[:1]) == 16
    assert [len(m.every(IaPd)) for _, m in after.network.heard[1:]] == [16, 1, 1]


def test_a_silent_network_is_asked_again(host: Host) -> None:
    before = {host.ask(FIXED).address}
    after = again(host)
    after.network.silent = {WL0}
    after.attach(heard=HERE)
    after.detach()
    after.attach(heard=HERE)
    after.network.silent = set()
    after.advance(1)
    assert addresses(after) == before


def test_a_host_of_many_fixed_addresses_gets_them_all_back(host: Host) -> None:
    network = host.network
    network.bindings = {iaid: network._fresh() for iaid in range(20)}
    after = again(host)
    after.attach(heard=HERE)
    after.advance(2)
    assert {lease.prefix for lease in after.core.leases} == set(network.bindings.values())


def test_what_is_asked_for_meanwhile_is_what_was_lost(host: Host) -> None:
    before = host.ask(FIXED).address
    after = again(host, at_boot=["fixed"])
    after.attach()
    number = after.setsc(FIXED)
    after.hear(advertisement(HERE))
    assert after.replies[number].address == before
    after.advance(10)
    assert addresses(after) == {before}


def test_each_network_is_asked_for_its_own(host: Host) -> None:
    host.ask(FIXED)
    after = again(host)
    after.network.silent = {WL0}
    after.attach()
    after.hear(advertisement(b"theirs", domain=b"stranger"))
    after.detach()
    after.network.silent = set()
    after.attach(heard=HERE)
    after.advance(1)
    assert len(after.core.leases) == 1
    assert [lease.domain for lease in after.core.leases] == [b"operator"]


def test_numbers_of_fixed_prefixes_are_the_lowest_and_no_others_have_them(host: Host) -> None:
    for cookie in range(1, 4):
        host.ask(FIXED, cookie, on_net=True)
        host.ask(LASTING, 10 + cookie, on_net=True)
    numbers = {lease.iaid for lease in host.core.leases if lease.type is FIXED}
    assert numbers == {0, 1, 2}
    assert min({lease.iaid for lease in host.core.leases} - numbers) >= FIXED_IAIDS


def test_a_number_that_is_being_given_back_is_not_used() -> None:
    host = Host(config=config(keep=[], linger=Linger(fixed=0.0)))
    host.attach(heard=HERE)
    host.ask(FIXED, 1)
    host.network.silent = {WL0}
    host.close(1)
    host.advance(0.1)
    assert host.network.types()[-1] is RELEASE
    host.network.silent = set()
    host.ask(FIXED, 2)
    assert [lease.iaid for lease in host.core.leases] == [1]


# ---- the network forgets -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FIXED, LASTING, GRACEFUL])
def test_a_prefix_that_the_network_has_forgotten_is_asked_for_anew(host: Host, kind: int) -> None:
    before = host.ask(kind).address
    host.network.bindings.clear()
    host.network.forgetful = True
    host.forget()
    host.hear(advertisement(b"link two"))
    assert host.network.types() == [REBIND, SOLICIT]
    assert addresses(host) == {before}
    assert not host.took(DestroySockets)
    host.network.forgetful = False
    host.advance(700)
    assert addresses(host) == {before}


@pytest.mark.parametrize("how", ["refuses", "gives another", "knows nothing"])
def test_a_prefix_that_cannot_be_had_again_is_gone(host: Host, how: str) -> None:
    before = host.ask(LASTING).address
    network = host.network
    network.bindings.clear()
    network.forgetful = True
    if how == "refuses":
        network.refuses = RefusalReason.POOL_FULL
    elif how == "gives another":
        network.gives = [network._fresh()]
    else:
        network.unknown = True
    host.forget()
    host.hear(advertisement(b"link two"))
    assert addresses(host) == set()
    assert host.took(DestroySockets) == [DestroySockets(before, None)]
    assert network.bindings == {}


def test_boot_types_are_asked_for_when_the_network_has_another_prefix() -> None:
    host = Host(config=config(at_boot=["session-lasting"]))
    host.attach(heard=HERE)
    [before] = addresses(host)
    host.network.bindings.clear()
    host.network.forgetful = True
    host.network.gives = [host.network._fresh()]
    host.hear(advertisement(b"link two"))
    [after] = addresses(host)
    assert after not in (None, before)
