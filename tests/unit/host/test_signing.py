"""The times of signatures: rising, and by the network's clock if need be."""

from __future__ import annotations

import pytest

from moorage.host.signing import SignatureClock

NOW = 1_700_000_000_000_000
SECOND = 1_000_000


@pytest.mark.parametrize("network", [None, NOW - 20 * SECOND, NOW, NOW + 20 * SECOND])
def test_our_own_clock_is_used_as_long_as_it_is_about_right(network: int | None) -> None:
    assert SignatureClock().time(NOW, network) == NOW


@pytest.mark.parametrize("off", [-31, 31, 86_400])
def test_the_networks_clock_is_used_where_ours_is_wrong(off: int) -> None:
    assert SignatureClock().time(NOW, NOW + off * SECOND) == NOW + off * SECOND


@pytest.mark.parametrize("seconds", [0, 1, 45])
def test_a_clock_that_was_set_back_a_little_does_not_look_like_a_replay(seconds: int) -> None:
    clock = SignatureClock()
    first = clock.time(NOW, None)
    assert clock.time(NOW - seconds * SECOND, None) == first + 1
    assert clock.time(NOW - seconds * SECOND, None) == first + 2
    assert clock.time(NOW + SECOND, None) == NOW + SECOND


def test_a_clock_that_was_set_right_is_right() -> None:
    clock = SignatureClock()
    clock.time(NOW + 86_400 * SECOND, None)
    assert clock.time(NOW, None) == NOW


def test_the_networks_clock_does_not_go_back_either() -> None:
    clock = SignatureClock()
    first = clock.time(NOW, NOW + 3600 * SECOND)
    assert clock.time(NOW, NOW + 3599 * SECOND) == first + 1
