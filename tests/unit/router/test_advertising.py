"""Router advertisements: content, and timing with a hand-cranked clock (RFC 4861 section 6.2)."""

from __future__ import annotations

import random
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from moorage.router.advertising import (
    ALL_NODES,
    MAX_INITIAL_RTR_ADVERT_INTERVAL,
    MIN_DELAY_BETWEEN_RAS,
    Advertiser,
    advertisement,
)
from moorage.service import ServiceType
from moorage.wire.nd import (
    Mtu,
    OnDemandLink,
    PrefixInformation,
    RouterAdvertisement,
    SourceLinkLayerAddress,
    decode_message,
)
from tests.domain import router_config

CONFIG = router_config()
MAC = b"\x02\0\0\0\0\x01"
MESSAGE = advertisement(CONFIG, CONFIG.access[0], MAC)
HOST = IPv6Address("fe80::1")
NOBODY = IPv6Address("::")


def test_what_is_advertised() -> None:
    assert decode_message(MESSAGE.encode()) == MESSAGE
    assert (MESSAGE.managed, MESSAGE.other) == (False, False)
    assert MESSAGE.router_lifetime == 90
    assert MESSAGE.first(SourceLinkLayerAddress) == SourceLinkLayerAddress(MAC)
    assert MESSAGE.first(Mtu) == Mtu(1500)
    assert MESSAGE.every(PrefixInformation) == (
        PrefixInformation(IPv6Network("2001:db8:1001::/64"), True, True, 3600, 1800),
    )
    assert MESSAGE.first(OnDemandLink) == OnDemandLink(
        frozenset(ServiceType), CONFIG.domain_id, CONFIG.link_id(CONFIG.access[0])
    )


def test_a_link_without_a_prefix_advertises_none() -> None:
    message = advertisement(CONFIG, CONFIG.access[1], b"")
    assert message.every(PrefixInformation) == ()
    assert message.first(SourceLinkLayerAddress) is None


def test_the_flags_of_a_prefix_are_the_operators_choice() -> None:
    [link, _] = CONFIG.access
    delegating = msgspec.structs.replace(link, autonomous=False, prefer_delegation=True)
    message = advertisement(CONFIG, delegating, MAC)
    [prefix] = message.every(PrefixInformation)
    assert (prefix.autonomous, prefix.prefers_delegation) == (False, True)
    assert (message.managed, message.other) == (False, True)
    both = advertisement(CONFIG, msgspec.structs.replace(link, prefer_delegation=True), MAC)
    [prefix] = both.every(PrefixInformation)
    assert (prefix.autonomous, prefix.prefers_delegation) == (True, True)


def test_the_mtu_is_the_one_that_passes_to_every_anchor() -> None:
    config = router_config(core_mtu=1500)
    assert advertisement(config, config.access[0], MAC).first(Mtu) == Mtu(1460)


def test_a_solicitation_is_answered_at_once_and_alone() -> None:
    advertiser = Advertiser(MESSAGE, 30)
    [sent] = advertiser.timer(0.0)
    assert (sent.destination, sent.message) == (ALL_NODES, MESSAGE)
    due = advertiser.next_timer
    for tick in range(5):
        [answer] = advertiser.solicited(HOST, tick / 1000)
        assert (answer.destination, answer.message) == (HOST, MESSAGE)
    assert advertiser.next_timer == due


def test_a_host_without_an_address_is_answered_to_all_within_the_limit() -> None:
    advertiser = Advertiser(MESSAGE, 1800)
    advertiser.timer(0.0)
    assert advertiser.solicited(NOBODY, 1.0) == []
    assert advertiser.solicited(NOBODY, 2.0) == []
    assert advertiser.next_timer == MIN_DELAY_BETWEEN_RAS
    [answer] = advertiser.timer(MIN_DELAY_BETWEEN_RAS)
    assert answer.destination == ALL_NODES
    [answer] = advertiser.solicited(NOBODY, 2 * MIN_DELAY_BETWEEN_RAS)
    assert answer.destination == ALL_NODES


@given(st.floats(4, 1800), st.randoms(use_true_random=False), st.lists(st.floats(0, 100)))
def test_multicast_advertisements_keep_their_distance(
    interval: float, source: random.Random, solicitations: list[float]
) -> None:
    advertiser = Advertiser(MESSAGE, interval, source)
    pending = sorted(solicitations)
    sent: list[float] = []
    while len(sent) < 8:
        due = advertiser.next_timer
        if pending and pending[0] < due:
            now = pending.pop(0)
            sent += [now] * len(advertiser.solicited(NOBODY, now))
        else:
            sent += [due] * len(advertiser.timer(due))
    gaps = [after - before for before, after in pairwise(sent)]
    assert all(MIN_DELAY_BETWEEN_RAS - 1e-9 <= gap <= interval + 1e-9 for gap in gaps)
    assert all(gap <= MAX_INITIAL_RTR_ADVERT_INTERVAL for gap in gaps[:2])


def test_nothing_is_sent_early() -> None:
    advertiser = Advertiser(MESSAGE, 30)
    advertiser.timer(0.0)
    assert advertiser.timer(advertiser.next_timer - 0.001) == []


def test_the_last_word_is_that_we_are_no_router() -> None:
    advertiser = Advertiser(MESSAGE, 30)
    [farewell] = advertiser.stop()
    assert farewell.destination == ALL_NODES
    assert isinstance(farewell.message, RouterAdvertisement)
    assert farewell.message.router_lifetime == 0
    assert farewell.message.options == MESSAGE.options
