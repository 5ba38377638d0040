"""The schedule of RFC 8415 section 15, its quicker start, and the rate limit of section 14.1."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.host.retransmission import SCHEDULES, RateLimit, Retransmission, Schedule
from moorage.wire.dhcp6 import MessageType


def timeouts(clock: Retransmission, count: int) -> list[float]:
    """Return the waits between transmissions that are made exactly when they are due."""
    times = [clock.due]
    for _ in range(count):
        clock.sent(times[-1])
        times.append(clock.due)
    return [after - before for before, after in pairwise(times)]


@pytest.mark.parametrize("kind", SCHEDULES)
def test_first_timeout_is_irt_then_doubles_up_to_mrt(kind: MessageType) -> None:
    schedule = SCHEDULES[kind]
    waits = timeouts(Retransmission(schedule, False, 50.0, Random(1)), 16)
    assert schedule.initial * 0.9 <= waits[0] <= schedule.initial * 1.1
    for before, after in pairwise(waits):
        doubled = before * 1.9 <= after <= before * 2.1
        limited = schedule.maximum * 0.9 <= after <= schedule.maximum * 1.1
        assert doubled or limited


def test_it_is_sent_at_once_without_a_delay() -> None:
    assert Retransmission(Schedule(1.0), False, 50.0, Random(1)).due == 50.0


def test_urgent_start_is_100_ms_doubling_to_1_s_for_10_s() -> None:
    clock = Retransmission(SCHEDULES[MessageType.REBIND], True, 50.0, Random(1))
    waits = timeouts(clock, 14)
    assert 0.09 <= waits[0] <= 0.11
    at = 50.0
    for before, after in pairwise(waits):
        at += before
        if at >= 60.0:
            assert after >= 9.0
            break
        assert after <= 1.1
        assert after >= min(before * 1.9, 0.9)
    else:
        pytest.fail("the urgent start does not end")


def test_exhausted_after_mrc_transmissions_and_their_timeout() -> None:
    clock = Retransmission(SCHEDULES[MessageType.RELEASE], False, 0.0, Random(1))
    for _ in range(3):
        clock.sent(clock.due)
        assert not clock.exhausted
    last = clock.due
    clock.sent(last)
    assert clock.exhausted
    assert clock.due > last


def test_no_mrc_is_never_exhausted() -> None:
    clock = Retransmission(SCHEDULES[MessageType.SOLICIT], False, 0.0, Random(1))
    timeouts(clock, 50)
    assert not clock.exhausted


def test_at_once() -> None:
    clock = Retransmission(SCHEDULES[MessageType.SOLICIT], False, 0.0, Random(1))
    clock.sent(0.0)
    clock.at_once(0.25)
    assert clock.due == 0.25


@given(st.lists(st.floats(0, 0.5), min_size=20, max_size=60))
def test_never_more_than_ten_in_any_second(gaps: list[float]) -> None:
    limit = RateLimit(10, 1.0)
    now, sent = 100.0, list[float]()
    for gap in gaps:
        now = max(now + gap, limit.earliest(now + gap))
        limit.note(now)
        sent.append(now)
    assert all(later - first >= 1.0 - 1e-9 for first, later in zip(sent, sent[10:], strict=False))


def test_a_burst_below_the_limit_is_not_delayed() -> None:
    limit = RateLimit(10, 1.0)
    for _ in range(10):
        assert limit.earliest(5.0) == 5.0
        limit.note(5.0)
    assert limit.earliest(5.0) == 6.0
