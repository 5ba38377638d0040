"""When to ask which routers there are (RFC 4861 section 6.3.7, RFC 7559).

Until a router is heard on a link it is asked for again and again, at first quickly, since a host
that has moved is silent until then.
"""

from __future__ import annotations

from random import Random

from moorage.host.retransmission import Retransmission, Schedule

_SCHEDULE = Schedule(4.0, 3600.0)
"""RFC 7559 section 2."""
_PAUSE = 3.0
"""Seconds at least between two solicitations of a router that has been heard."""


class Soliciting:
    """The solicitations of all links."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._unheard: dict[int, Retransmission] = {}
        self._again: dict[int, float] = {}
        self._earliest: dict[int, float] = {}

    def attached(self, interface: int, now: float) -> None:
        """Ask on a link that may be new."""
        self._unheard[interface] = Retransmission(_SCHEDULE, True, now, self._random)

    def left(self, interface: int) -> None:
        """Ask there no longer."""
        for times in (self._unheard, self._again, self._earliest):
            times.pop(interface, None)

    def heard(self, interface: int) -> None:
        """Note that a router was heard."""
        self._unheard.pop(interface, None)

    def again(self, interface: int, now: float) -> None:
        """Ask once more where a router has been heard: at once, if that is not too soon."""
        if interface not in self._unheard:
            self._again[interface] = max(now, self._earliest.get(interface, now))

    def next_timer(self) -> float | None:
        """Return when `poll` must be called at the latest."""
        times = [clock.due for clock in self._unheard.values()]
        return min([*times, *self._again.values()], default=None)

    def poll(self, now: float) -> list[int]:
        """Return the interfaces to ask on now."""
        due = [interface for interface, clock in self._unheard.items() if clock.due <= now]
        for interface in due:
            self._unheard[interface].sent(now)
        again = [interface for interface, time in self._again.items() if time <= now]
        for interface in again:
            del self._again[interface]
            self._earliest[interface] = now + _PAUSE
        return due + again
