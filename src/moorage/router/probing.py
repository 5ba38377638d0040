"""Asks hosts now and then whether they are still there, since one may leave without a word."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from moorage.router.paths import Place

_AT_ONCE = 10
"""Hosts at most that are asked at a time."""
_PAUSE = 0.05
"""Seconds between two times. So hosts are asked less often where there are very many."""


class Probing:
    """Decides when which host is asked.

    Args:
        interval: seconds after which a host is asked again; 0: none ever is.

    Attributes:
        interval: may be changed; hosts that were not watched before have to be named again.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._queue: deque[tuple[float, Place]] = deque()
        self._known: set[Place] = set()
        self._earliest = 0.0

    @property
    def next_timer(self) -> float | None:
        """When `due` has something to do."""
        return max(self._queue[0][0], self._earliest) if self._queue else None

    def watch(self, place: Place, now: float, *, at_once: bool = False) -> None:
        """Ask the host at ``place`` from now on."""
        if not self.interval or place in self._known:
            return
        self._known.add(place)
        if at_once:
            self._queue.appendleft((now, place))
        else:
            self._queue.append((now + self.interval, place))

    def due(self, expected: Callable[[Place], bool], now: float) -> list[Place]:
        """Return whom to ask now; where no host is ``expected`` none is asked any longer."""
        asked: list[Place] = []
        while self._queue and self._queue[0][0] <= now and len(asked) < _AT_ONCE:
            _, place = self._queue.popleft()
            if self.interval and expected(place):
                asked.append(place)
                self._queue.append((now + self.interval, place))
            else:
                self._known.discard(place)
        self._earliest = now + _PAUSE if asked else now
        return asked
