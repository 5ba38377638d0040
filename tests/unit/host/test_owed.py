"""What was released while its network could not be reached."""

from __future__ import annotations

import pytest

from moorage.host.outcome import Association
from moorage.host.owed import Debts, Owed
from moorage.wire.dhcp6 import IaPd, MessageType
from tests.scripted import FIXED, LASTING, SERVER, WL0, Host, advertisement, config

HERE, THERE = b"link one", b"link two"
MINUTE = 60.0
RELEASE = MessageType.RELEASE


@pytest.fixture
def host() -> Host:
    """A host that has lost its last socket, and then its linger time, without a link."""
    host = Host(config=config(keep=[]))
    host.attach(heard=HERE)
    host.ask(LASTING)
    host.detach()
    host.close(1)
    host.advance(MINUTE)
    assert not host.core.leases
    host.forget()
    return host


def test_it_is_given_back_when_its_network_is_there_again(host: Host) -> None:
    [prefix] = host.network.bindings.values()
    host.attach(heard=THERE)
    assert host.network.released == [prefix]
    host.advance(10 * MINUTE)
    assert host.network.types() == [RELEASE]


def test_no_other_network_hears_of_it(host: Host) -> None:
    host.attach()
    host.hear(advertisement(THERE, domain=b"competitor"))
    host.advance(10 * MINUTE)
    assert host.network.heard == []
    host.detach()
    host.attach(heard=HERE)
    assert host.network.types() == [RELEASE]


def test_it_is_given_back_when_the_link_goes_before_the_answer(host: Host) -> None:
    host.network.silent = {WL0}
    host.attach(heard=HERE)
    host.detach()
    host.network.silent = set()
    host.attach(heard=THERE)
    assert len(host.network.released) == 1


def test_a_network_that_does_not_answer_is_not_bothered_for_ever(host: Host) -> None:
    host.network.silent = {WL0}
    host.attach(heard=HERE)
    host.advance(10 * MINUTE)
    host.detach()
    host.attach(heard=THERE)
    assert host.network.types() == [RELEASE] * 4


def test_what_has_expired_is_not_given_back(host: Host) -> None:
    host.advance(7200)
    host.attach(heard=HERE)
    assert host.network.heard == []


def test_it_is_given_back_by_the_next_life(host: Host) -> None:
    host.restart(host.core.known.config, host.core.memory)
    host.attach(heard=HERE)
    assert len(host.network.released) == 1
    assert not host.core.memory.owed


def test_several_go_in_one_message() -> None:
    host = Host(config=config(keep=[]))
    host.attach(heard=HERE)
    for cookie in range(3):
        host.ask(LASTING, cookie, on_net=True)
    host.ask(FIXED, 3)
    host.detach()
    for cookie in range(4):
        host.close(cookie)
    host.advance(MINUTE)
    host.forget()
    prefixes = set(host.network.bindings.values())
    host.attach(heard=HERE)
    [(_, release)] = host.network.heard
    assert {ia.prefixes[0].prefix for ia in release.every(IaPd)} == prefixes
    assert len(prefixes) == 4


def test_a_new_fixed_address_is_not_given_back_with_the_old_one() -> None:
    host = Host(config=config(keep=[]))
    host.attach(heard=HERE)
    host.ask(FIXED)
    host.detach()
    host.close(1)
    host.advance(MINUTE)
    host.attach()
    host.setsc(FIXED, 2)
    host.hear(advertisement(HERE))
    host.advance(MINUTE)
    [lease] = host.core.leases
    assert host.network.bindings == {lease.iaid: lease.prefix}


def test_only_so_many_are_remembered() -> None:
    debts = Debts()
    for iaid in range(100):
        debts.add(Owed(Association(iaid, LASTING), b"operator", SERVER, 7200.0))
    assert [owed.association.iaid for owed in debts.all()] == list(range(36, 100))
