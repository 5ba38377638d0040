"""How long setsc() takes in each case, by the times of ``docs/protocol.md``."""

from __future__ import annotations

import pytest

from moorage.host.attachment import DOMAIN_WAIT
from moorage.numbers import EAI_REQUIREDIPFAILED, EAI_REQUIREDIPNOTSUPPORTED
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import RefusalReason
from tests.scripted import FIXED, LASTING, WL0, Host, Network, advertisement, config

HERE, THERE = b"link one", b"link two"
FAILED, UNSUPPORTED = EAI_REQUIREDIPFAILED, EAI_REQUIREDIPNOTSUPPORTED
SUPPORT, WAIT, MEMORY = 1.0, 5.0, 60.0


def detached() -> Host:
    return Host()


def silent() -> Host:
    host = Host(Network(silent={WL0}))
    host.attach()
    return host


def without_option() -> Host:
    host = silent()
    host.hear(advertisement(None))
    return host


def losing_replies() -> Host:
    host = Host(Network(silent={WL0}))
    host.attach(heard=HERE)
    return host


def refusing() -> Host:
    host = Host(Network(refuses=RefusalReason.POOL_FULL))
    host.attach(heard=HERE)
    return host


def not_offering() -> Host:
    host = Host(Network(refuses=RefusalReason.TYPE_NOT_OFFERED))
    host.attach(heard=HERE)
    return host


def plain() -> Host:
    """Return a host where a DHCPv6 server gives prefixes that knows nothing of types."""
    host = Host(Network(knows_service=False))
    host.attach()
    return host


@pytest.mark.parametrize(
    ("where", "after", "status", "reason"),
    [
        (detached, 0.0, FAILED, Reason.DETACHED),
        (silent, SUPPORT, UNSUPPORTED, Reason.NO_SERVICE),
        (without_option, SUPPORT, UNSUPPORTED, Reason.NO_SERVICE),
        (losing_replies, WAIT, FAILED, Reason.TIMEOUT),
        (refusing, 0.0, FAILED, Reason.POOL_FULL),
        (not_offering, 0.0, UNSUPPORTED, Reason.TYPE_NOT_OFFERED),
        (plain, DOMAIN_WAIT, UNSUPPORTED, Reason.NO_SERVICE),
    ],
)
def test_a_request_ends(where: object, after: float, status: int, reason: Reason) -> None:
    assert callable(where)
    host: Host = where()
    number = host.setsc(LASTING)
    if after:
        host.advance(after - 0.01)
        assert number not in host.replies
        host.advance(0.02)
    reply = host.replies[number]
    assert (reply.status, reply.reason) == (status, reason)
    assert not host.core.leases
    host.advance(1)
    host.forget()
    host.advance(1000)
    assert host.network.heard == []


@pytest.mark.parametrize("lost", [1, 2, 5])
def test_a_lost_reply_costs_a_tenth_of_a_second_and_ever_more(lost: int) -> None:
    host = losing_replies()
    number = host.setsc(LASTING)
    while len(host.network.heard) < lost:
        host.advance(0.01)
    host.network.silent = set()
    host.advance(0.12 * 2 ** (lost - 1))
    assert host.replies[number].status == 0


def test_a_link_that_goes_while_somebody_waits() -> None:
    host = losing_replies()
    number = host.setsc(LASTING)
    host.detach()
    host.advance(WAIT - 0.01)
    assert number not in host.replies
    host.advance(0.02)
    reply = host.replies[number]
    assert (reply.status, reply.reason) == (FAILED, Reason.DETACHED)


def test_a_link_that_comes_while_somebody_waits() -> None:
    host = losing_replies()
    number = host.setsc(LASTING)
    host.detach()
    host.network.silent = set()
    host.attach(heard=THERE)
    assert host.replies[number].status == 0


@pytest.mark.parametrize("where", [silent, without_option, plain])
def test_not_supported_is_remembered_for_the_link(where: object) -> None:
    assert callable(where)
    host: Host = where()
    host.setsc(LASTING)
    host.advance(SUPPORT + 0.01)
    host.forget()
    assert host.ask(FIXED, 2).reason is Reason.NO_SERVICE
    host.advance(MEMORY - 2 * SUPPORT)
    assert host.ask(LASTING, 3).reason is Reason.NO_SERVICE
    assert host.network.heard == []


@pytest.mark.parametrize("where", [silent, without_option, plain])
def test_not_supported_is_forgotten_in_time(where: object) -> None:
    assert callable(where)
    host: Host = where()
    host.setsc(LASTING)
    host.advance(SUPPORT + MEMORY + 0.01)
    host.network.silent, host.network.knows_service = set(), True
    assert host.ask(LASTING, 2).status == 0


@pytest.mark.parametrize("where", [silent, without_option, plain])
def test_not_supported_is_forgotten_when_our_option_is_heard(where: object) -> None:
    assert callable(where)
    host: Host = where()
    host.setsc(LASTING)
    host.advance(SUPPORT + 0.01)
    host.network.silent, host.network.knows_service = set(), True
    host.hear(advertisement(HERE))
    assert host.ask(LASTING, 2).status == 0


@pytest.mark.parametrize("where", [silent, without_option, plain])
def test_not_supported_is_no_matter_on_another_link(where: object) -> None:
    assert callable(where)
    host: Host = where()
    host.setsc(LASTING)
    host.advance(SUPPORT + 0.01)
    host.detach()
    host.network.silent, host.network.knows_service = set(), True
    host.attach(heard=THERE)
    assert host.ask(LASTING, 2).status == 0


def test_the_times_are_configured() -> None:
    host = Host(Network(silent={WL0}), config(support_wait=0.5, wait=2.0, unsupported_memory=5.0))
    host.attach()
    number = host.setsc(LASTING)
    host.advance(0.51)
    assert host.replies[number].reason is Reason.NO_SERVICE
    host.advance(5.01)
    host.hear(advertisement(HERE))
    number = host.setsc(LASTING)
    host.advance(1.99)
    assert number not in host.replies
    host.advance(0.02)
    assert host.replies[number].reason is Reason.TIMEOUT
