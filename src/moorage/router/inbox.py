"""Messages of one link that wait to be answered: few, and those of known clients first.

Anybody on a link can send as many messages as it carries, in the names of as many clients as he
likes. What clients without any binding may cost is bounded by a rate; what they may delay, by
their own queue, which is served when there is nothing else; and what one client may occupy, by a
number.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address
from typing import Final

UNDER_WAY: Final = 256
"""Messages at most that are being answered: decided, and waiting for the store."""
STRANGERS_UNDER_WAY: Final = 64
"""How many of them may be of clients without any binding."""
_QUEUED: Final = 256
"""Messages at most that wait, of known clients and of others apart."""
_OF_ONE_CLIENT: Final = 8
"""Messages of one client that wait or are being answered."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A datagram, the address that it came from, and whether it was sent to us alone."""

    data: bytes
    source: IPv6Address
    unicast: bool = False


class TooMany(StrEnum):
    """Why an arrival is not looked at."""

    IN_ALL = "more than can be answered"
    OF_ONE_CLIENT = "more of one client than can be answered"
    OF_STRANGERS = "more of clients without a binding than are looked at"


class Bucket:
    """Lets a number of things a second happen, and after a pause as many at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._size = max(1.0, rate)
        self._tokens = self._size
        self._last = 0.0

    def take(self, now: float) -> bool:
        """Tell whether one more may happen at ``now``, seconds on any clock."""
        self._tokens = min(self._size, self._tokens + max(0.0, now - self._last) * self._rate)
        self._last = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


@dataclass(frozen=True, slots=True)
class Work:
    """An arrival that is to be answered now; give it back to `Inbox.done`."""

    arrival: Arrival
    client: bytes
    known: bool


class Inbox:
    """What waits on one link.

    Args:
        rate: how many messages a second of clients without any binding are looked at.
    """

    def __init__(self, rate: float) -> None:
        self._bucket = Bucket(rate)
        self._known: deque[Work] = deque()
        self._strangers: deque[Work] = deque()
        self._of_client: dict[bytes, int] = {}
        self._under_way = 0
        self._strangers_under_way = 0

    def refuses(self, client: bytes, known: bool, now: float) -> TooMany | None:
        """Tell whether there is no room for an arrival; if there is, `put` it in.

        Args:
            client: the DUID in it; empty: there is none.
            known: whether that client has a binding.
            now: seconds on any clock.
        """
        if not (known or self._bucket.take(now)):
            return TooMany.OF_STRANGERS
        if len(self._known if known else self._strangers) >= _QUEUED:
            return TooMany.IN_ALL
        if client and self._of_client.get(client, 0) >= _OF_ONE_CLIENT:
            return TooMany.OF_ONE_CLIENT
        return None

    def limit(self, rate: float) -> None:
        """Look at so many messages a second of clients without any binding."""
        self._bucket = Bucket(rate)

    def put(self, arrival: Arrival, client: bytes, known: bool) -> None:
        """Take in an arrival that is not refused."""
        if client:
            self._of_client[client] = self._of_client.get(client, 0) + 1
        (self._known if known else self._strangers).append(Work(arrival, client, known))

    def take(self) -> Work | None:
        """Return what is to be answered next, if something is."""
        if self._under_way >= UNDER_WAY:
            return None
        if self._known:
            work = self._known.popleft()
        elif self._strangers and self._strangers_under_way < STRANGERS_UNDER_WAY:
            work = self._strangers.popleft()
            self._strangers_under_way += 1
        else:
            return None
        self._under_way += 1
        return work

    def done(self, work: Work) -> None:
        """Something that was taken is answered, or never will be."""
        self._under_way -= 1
        if not work.known:
            self._strangers_under_way -= 1
        if work.client:
            left = self._of_client.pop(work.client) - 1
            if left:
                self._of_client[work.client] = left
