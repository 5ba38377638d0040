"""What happened lately, in bounded memory.

Whoever tells an event pays for one append: numbers and times are kept beside it, and text is made
only when somebody reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import msgspec

from moorage.management.event import Event
from moorage.management.plain import plain


@dataclass(frozen=True, slots=True)
class Record:
    """An event, its number in this daemon's life and when it happened, seconds since 1970."""

    number: int
    time: float
    event: Event

    def encode(self) -> bytes:
        """Return one line of JSON: the event's own keys, behind ``number``, ``time``, ``text``."""
        moment = datetime.fromtimestamp(self.time, UTC).isoformat(timespec="microseconds")
        fields = {
            "number": self.number,
            "time": moment.replace("+00:00", "Z"),
            "text": str(self.event),
            **plain(self.event),
        }
        return msgspec.json.encode(fields) + b"\n"


class Missed(Exception):
    """Records were forgotten before they were read.

    Attributes:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} events were forgotten before they were read")
        self.count = count


class Journal:
    """The last events; ``capacity`` of them."""

    def __init__(self, capacity: int) -> None:
        self._records: deque[Record] = deque(maxlen=capacity)
        self._listeners: list[Callable[[], None]] = []
        self.last = 0
        """The number of the newest record; 0: there is none."""

    @property
    def oldest(self) -> int:
        """The number of the oldest record that is remembered."""
        return self.last - len(self._records) + 1

    def append(self, event: Event, time: float) -> None:
        """Remember an event and tell the listeners that there is one more."""
        self.last += 1
        self._records.append(Record(self.last, time, event))
        for listener in self._listeners:
            listener()

    def after(self, number: int, limit: int) -> list[Record]:
        """Return the records that are newer than the one of this number, ``limit`` at most.

        Raises:
            Missed: some of them are no longer remembered.
        """
        if number + 1 < self.oldest:
            raise Missed(self.oldest - number - 1)
        start = number + 1 - self.oldest
        return list(islice(self._records, start, start + limit))

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after every append, until what is returned is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
