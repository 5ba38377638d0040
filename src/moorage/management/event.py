"""What the events of all daemons have in common."""

from __future__ import annotations

from typing import Final

import msgspec

TOO_SLOW: Final = "too-slow"
"""The ``event`` of the line that ends a stream which its reader does not keep up with."""


def _words(name: str) -> str:
    """Return a class name as words: ``LinkLeft`` is ``link-left``."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


class Event(msgspec.Struct, frozen=True, tag_field="event", tag=_words):
    """Something that happened: one sentence by `str()`, one JSON object with its name in it."""


class TooSlow(Event, frozen=True, tag=TOO_SLOW):
    """The last line for a reader of events that does not keep up.

    Attributes:
        missed: how many events he did not get.
    """

    missed: int

    def __str__(self) -> str:
        return f"read too slowly: {self.missed} events are forgotten"


class ConfigurationTaken(Event, frozen=True):
    """The configuration file was read again and holds from now on.

    Attributes:
        changed: the keys that have another value than before.
    """

    changed: list[str]

    def __str__(self) -> str:
        return f"the configuration was read again; changed: {', '.join(self.changed) or 'nothing'}"


class ConfigurationRefused(Event, frozen=True):
    """The configuration file was read again and is of no use; the one of before still holds."""

    why: str

    def __str__(self) -> str:
        return f"the configuration stays as it was: {self.why}"
