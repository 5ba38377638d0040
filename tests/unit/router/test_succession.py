"""When pools are taken over and given back: the table, and the time that goes by before."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network
from math import inf

import pytest

from moorage.router.settings import Standby
from moorage.router.succession import Situation, Succession, situation
from moorage.store.model import Anchor
from moorage.store.protocol import Hold
from tests.domain import router_config

AFTER, HAND_BACK = 3.0, 20.0
OWN = router_config(2).anchor()
OTHERS = router_config(1).anchor()
TAKEN = replace(OTHERS, holder="ar2", epoch=2)
LENT = replace(OWN, holder="ar3", epoch=2)
FOREIGN = router_config(4).anchor()
CONFIG = router_config(2, standby=Standby(routers=["ar1"], after=AFTER, hand_back=HAND_BACK))
ALL = frozenset({"ar1", "ar2", "ar3", "ar4"})
POOL = IPv6Network("2001:db8:b000::/40")


@pytest.mark.parametrize(
    ("anchor", "gone", "found"),
    [
        (OWN, "", Situation.OURS),
        (replace(OWN, pool=POOL), "", Situation.ANOTHER),
        (LENT, "", Situation.LENT),
        (LENT, "ar3", Situation.LOST),
        (OTHERS, "", Situation.GUARDED),
        (OTHERS, "ar1", Situation.ORPHANED),
        (replace(OTHERS, holder="ar3"), "ar1", Situation.GUARDED),
        (replace(OTHERS, holder="ar3"), "ar3", Situation.ORPHANED),
        (TAKEN, "ar1", Situation.TAKEN),
        (TAKEN, "", Situation.CLAIMED),
        (replace(FOREIGN, holder="ar2"), "", Situation.CLAIMED),
        (FOREIGN, "ar4", None),
    ],
)
def test_every_situation(anchor: Anchor, gone: str, found: Situation | None) -> None:
    assert situation(anchor, CONFIG, ALL - {gone}) is found


@pytest.mark.parametrize(
    ("anchor", "gone", "delay", "hold"),
    [
        (OWN, "", inf, None),
        (LENT, "", inf, None),
        (OTHERS, "", inf, None),
        (TAKEN, "ar1", inf, None),
        (FOREIGN, "ar4", inf, None),
        (replace(OWN, pool=POOL), "", 0, Hold(replace(OWN, epoch=2), 1)),
        (LENT, "ar3", 0, Hold(replace(OWN, epoch=3), 2, gone="ar3")),
        (OTHERS, "ar1", AFTER, Hold(TAKEN, 1, gone="ar1")),
        (
            replace(OTHERS, holder="ar3"),
            "ar3",
            AFTER,
            Hold(replace(OTHERS, holder="ar2", epoch=2), 1, gone="ar3"),
        ),
        (TAKEN, "", HAND_BACK, Hold(replace(OTHERS, epoch=3), 2)),
    ],
)
def test_what_is_tried_in_each_and_when(
    anchor: Anchor, gone: str, delay: float, hold: Hold | None
) -> None:
    succession = Succession(CONFIG)
    succession.look([anchor], ALL - {gone}, 100.0)
    assert succession.next_timer == 100.0 + delay
    assert succession.due(100.0 + delay - 0.001) == []
    if hold is not None:
        assert succession.due(100.0 + delay) == [hold]


def test_time_begins_anew_when_the_router_was_back_in_between() -> None:
    succession = Succession(CONFIG)
    for now, present in ((0.0, ALL - {"ar1"}), (2.0, ALL), (2.5, ALL - {"ar1"})):
        succession.look([OTHERS], present, now)
    assert succession.next_timer == 2.5 + AFTER


def test_other_news_does_not_put_it_off() -> None:
    succession = Succession(CONFIG)
    succession.look([OTHERS, FOREIGN], ALL - {"ar1"}, 0.0)
    succession.look([OTHERS, replace(FOREIGN, epoch=2)], ALL - {"ar1", "ar4"}, 2.0)
    assert succession.next_timer == AFTER


def test_what_the_store_does_not_take_is_tried_again_until_something_changes() -> None:
    succession = Succession(CONFIG)
    succession.look([OTHERS], ALL - {"ar1"}, 0.0)
    for _ in range(3):
        now = succession.next_timer
        assert len(succession.due(now)) == 1
        assert now < succession.next_timer < inf
    succession.look([TAKEN], ALL - {"ar1"}, 10.0)
    assert succession.next_timer == inf


def test_who_is_gone_himself_takes_nothing() -> None:
    succession = Succession(CONFIG)
    succession.look([OTHERS], ALL - {"ar1", "ar2"}, 0.0)
    assert succession.next_timer == inf
    succession.look([OTHERS], ALL - {"ar1"}, 5.0)
    assert succession.next_timer == 5.0 + AFTER


def test_without_end_a_pool_is_not_handed_back() -> None:
    config = router_config(2, standby=Standby(routers=["ar1"], hand_back=inf))
    succession = Succession(config)
    succession.look([TAKEN], ALL, 0.0)
    assert succession.next_timer == inf


def test_another_configuration_holds_at_once() -> None:
    succession = Succession(CONFIG)
    succession.look([OTHERS], ALL - {"ar1"}, 0.0)
    succession.reconfigure(router_config(2))
    succession.look([OTHERS], ALL - {"ar1"}, 1.0)
    assert succession.next_timer == inf
