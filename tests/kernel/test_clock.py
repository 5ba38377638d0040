from __future__ import annotations

import select
from contextlib import closing

import pytest

from moorage.kernel.clock import ClockWatch


def test_nothing_to_read_while_the_clock_goes_on() -> None:
    with closing(ClockWatch()) as watch:
        assert select.select([watch], [], [], 0)[0] == []
        assert watch.read() == pytest.approx(0, abs=0.05)
        assert select.select([watch], [], [], 0)[0] == []
