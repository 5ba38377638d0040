"""When a DHCPv6 client sends again (RFC 8415 section 15), and our quicker start.

The RFC's first timeouts (one second and more) would be the interruption at a hand-off. While an
application waits or after a move, the first timeout is 100 ms, doubling up to 1 s for the first
10 s; from then on the RFC's schedule rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from moorage.wire.dhcp6 import MessageType

URGENT_FIRST = 0.1
URGENT_MAXIMUM = 1.0
URGENT_PERIOD = 10.0
_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Schedule:
    """IRT, MRT (seconds, 0: no limit) and MRC (transmissions, 0: no limit) of a message."""

    initial: float
    maximum: float = 0.0
    count: int = 0


SCHEDULES = {
    MessageType.SOLICIT: Schedule(1.0, 3600.0),
    MessageType.REQUEST: Schedule(1.0, 30.0, 10),
    MessageType.RENEW: Schedule(10.0, 600.0),
    MessageType.REBIND: Schedule(10.0, 600.0),
    MessageType.RELEASE: Schedule(1.0, 0.0, 4),
    MessageType.INFORMATION_REQUEST: Schedule(1.0, 3600.0),
}
"""RFC 8415 section 7.6."""


class Retransmission:
    """The clock of one message that is sent until it is answered; times are seconds."""

    def __init__(self, schedule: Schedule, urgent: bool, now: float, random: Random) -> None:
        self._schedule = schedule
        self._random = random
        self._urgent_until = now + URGENT_PERIOD if urgent else now
        self._timeout = 0.0
        self._sent = 0
        self.started = now
        self.due = now

    @property
    def exhausted(self) -> bool:
        """Whether it was sent as often as it may be; at `due` the wait for an answer is over."""
        return 0 < self._schedule.count <= self._sent

    @property
    def repeated(self) -> bool:
        """Whether it was sent more than once."""
        return self._sent > 1

    def sent(self, now: float) -> None:
        """Note a transmission at ``now``; `due` becomes the time of the next."""
        self._sent += 1
        jitter = self._random.uniform(-_JITTER, _JITTER)
        if now < self._urgent_until:
            first, maximum = URGENT_FIRST, URGENT_MAXIMUM
        else:
            first, maximum = self._schedule.initial, self._schedule.maximum
        if self._timeout < first * (1 - _JITTER):
            self._timeout = first * (1 + jitter)
        else:
            self._timeout = self._timeout * (2 + jitter)
        if maximum and self._timeout > maximum:
            self._timeout = maximum * (1 + jitter)
        self.due = now + self._timeout

    def relax(self, now: float) -> None:
        """Keep to the RFC's schedule from ``now`` on."""
        self._urgent_until = min(self._urgent_until, now)

    def at_once(self, now: float) -> None:
        """Send again at ``now``, whatever the schedule says."""
        self.due = now


class RateLimit:
    """At most ``limit`` events in any ``period`` seconds (RFC 8415 section 14.1)."""

    def __init__(self, limit: int, period: float) -> None:
        self._limit = limit
        self._period = period
        self._times: list[float] = []

    def earliest(self, now: float) -> float:
        """Return the first moment from ``now`` on at which an event is allowed."""
        self._times = [time for time in self._times if time > now - self._period]
        if len(self._times) < self._limit:
            return now
        return self._times[0] + self._period

    def note(self, now: float) -> None:
        """Count an event at ``now``."""
        self._times.append(now)
