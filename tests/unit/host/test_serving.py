from __future__ import annotations

from ipaddress import IPv6Address
from itertools import pairwise

import pytest

from moorage.host.attachment import Attachment
from moorage.host.serving import ANSWER_WAIT, Serving
from tests.scripted import WL0, WL1

DWELL = 2.0


def attached(*interfaces: int) -> list[Attachment]:
    """Return attachments, the newest first."""
    address = IPv6Address("fe80::1")
    return [Attachment(interface, -float(age), address) for age, interface in enumerate(interfaces)]


@pytest.fixture
def serving() -> Serving:
    """Return one that is served on wl0 since 100."""
    serving = Serving(DWELL)
    assert serving.choose(attached(WL0), 100.0) == WL0
    serving.answered(WL0, 100.0)
    return serving


def test_first_link_is_tried_at_once_and_once() -> None:
    serving = Serving(DWELL)
    assert serving.choose([], 1.0) is None
    assert serving.choose(attached(WL0), 1.0) == WL0
    assert (serving.trying, serving.current) == (WL0, None)
    assert serving.choose(attached(WL0), 50.0) is None
    serving.answered(WL0, 51.0)
    assert (serving.trying, serving.current) == (None, WL0)
    assert serving.choose(attached(WL0), 52.0) is None
    assert serving.next_timer(attached(WL0)) is None


def test_newer_link_waits_for_the_dwell_time(serving: Serving) -> None:
    both = attached(WL1, WL0)
    assert serving.choose(both, 100.5) is None
    assert serving.next_timer(both) == 100.0 + DWELL
    assert serving.choose(both, 100.0 + DWELL) == WL1
    assert serving.current == WL0
    serving.answered(WL1, 102.1)
    assert (serving.trying, serving.current) == (None, WL1)


def test_other_link_is_taken_at_once_when_the_present_one_is_gone(serving: Serving) -> None:
    serving.left(WL0)
    assert serving.choose(attached(WL1), 100.1) == WL1


def test_silent_link_gives_way_and_the_old_one_is_asked_again(serving: Serving) -> None:
    both = attached(WL1, WL0)
    assert serving.choose(both, 110.0) == WL1
    assert serving.next_timer(both) == 110.0 + ANSWER_WAIT
    assert serving.choose(both, 110.9) is None
    assert serving.choose(both, 110.0 + ANSWER_WAIT) == WL0
    serving.answered(WL0, 111.1)
    assert serving.choose(both, 200.0) is None
    assert serving.next_timer(both) is None


def test_silent_link_is_tried_again_after_a_sign_of_life(serving: Serving) -> None:
    both = attached(WL1, WL0)
    serving.choose(both, 110.0)
    serving.choose(both, 111.0)
    serving.answered(WL0, 111.1)
    serving.heard(WL1)
    assert serving.choose(both, 120.0) == WL1


def test_only_link_is_not_given_up(serving: Serving) -> None:
    serving.left(WL0)
    assert serving.choose(attached(WL0), 110.0) == WL0
    assert serving.choose(attached(WL0), 999.0) is None
    assert serving.trying == WL0


def test_when_all_are_silent_they_are_tried_in_turn() -> None:
    serving = Serving(DWELL)
    both = attached(WL1, WL0)
    tried = [serving.choose(both, now) for now in (0.0, 1.0, 2.0, 4.0)]
    assert tried == [WL1, WL0, WL1, WL0]


def test_the_longer_all_are_silent_the_longer_each_is_waited_for(serving: Serving) -> None:
    both = attached(WL1, WL0)
    times = [110.0]
    serving.choose(both, times[0])
    while times[-1] < 1000.0:
        due = serving.next_timer(both)
        assert due is not None
        times.append(due)
        serving.choose(both, due)
    waits = [round(after - before) for before, after in pairwise(times)]
    assert waits[:8] == [1, 1, 2, 2, 4, 4, 8, 8]
    assert max(waits) == 64
    serving.left(WL1)
    serving.choose(both, times[-1])
    assert serving.next_timer(both) == times[-1] + ANSWER_WAIT


def test_link_that_leaves_while_it_is_tried(serving: Serving) -> None:
    both = attached(WL1, WL0)
    serving.choose(both, 110.0)
    serving.left(WL1)
    assert (serving.trying, serving.current) == (None, WL0)
    assert serving.choose(attached(WL0), 110.1) is None


def test_an_answer_on_another_link_decides_nothing(serving: Serving) -> None:
    serving.choose(attached(WL1, WL0), 110.0)
    serving.answered(WL0, 110.1)
    assert (serving.trying, serving.current) == (WL1, WL0)
