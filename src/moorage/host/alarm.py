"""The one timer of the host daemon's shell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import isinf


class Alarm:
    """Calls ``ring`` at a moment of ``clock``, in seconds; what runs meanwhile may move it.

    The event loop's own clock stands still during suspend: then it has to be set anew.
    """

    def __init__(self, clock: Callable[[], float], ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due: float | None) -> None:
        """Ring at ``due`` and at no other time; none, or infinity: not at all."""
        if due == self._due:
            return
        self.cancel()
        if due is not None and not isinf(due):
            self._due = due
            self._timer = self._loop.call_later(max(0.0, due - self._clock()), self._rings)

    def cancel(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
        self._due = self._timer = None

    def _rings(self) -> None:
        self._due = self._timer = None
        self._ring()
