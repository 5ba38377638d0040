"""What a router has done and for whom: counted cheaply, shown when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from enum import StrEnum
from time import perf_counter

from moorage.management.metrics import Distribution
from moorage.router.events import HostMoved, Refused, RouterEvent, of_change
from moorage.service import ServiceType
from moorage.store.model import Binding
from moorage.wire.dhcp6 import MessageType, RefusalReason

_SILENCE = 60.0
"""Seconds for which a refusal of the same host for the same reason is not told again."""
_REMEMBERED = 1024


class Phase(StrEnum):
    """A part of the work for one message."""

    DECIDE = "decide"
    """Decode it, look at its signature, decide."""
    COMMIT = "commit"
    """Wait until the changes are in the store."""
    KERNEL = "kernel"
    """Change routes and filter."""
    REPLY = "reply"
    """Encode the answer."""


class Place(StrEnum):
    """Where a prefix is, as this router sees it."""

    HERE = "here"
    """From a pool of ours, and its host is on one of our links."""
    AWAY = "away"
    """From a pool of ours, and another router serves its host."""
    VISITING = "visiting"
    """From another router's pool, and its host is on one of our links."""
    DETACHED = "detached"
    """From a pool of ours, and nobody serves its host."""
    RELEASED = "released"
    """From a pool of ours, given back, and not to be given out again yet."""


def place_of(binding: Binding, holder: str, me: str) -> Place | None:
    """Return where a prefix is, as the router ``me`` sees it; none if it has no part in it.

    ``holder`` is the router that acts for the binding's anchor.
    """
    if holder != me:
        return Place.VISITING if binding.serving == me and binding.held else None
    if not binding.held:
        return Place.RELEASED
    if binding.serving is None:
        return Place.DETACHED
    return Place.HERE if binding.serving == me else Place.AWAY


class Account:
    """The work of one router.

    Args:
        me: its id.
        holder: tells which router acts for an anchor.
        tell: told what happened.
        clock: seconds since 1970.

    Attributes:
        phases: how long the parts of the work for a message took.
        bindings: how many there are, by type and place.
        handoffs: prefixes whose hosts came to our links from elsewhere, or came back.
        refusals: how often a host did not get what it asked for.
        answered: how often a message of a type was answered.
        postponed: messages that are not answered before something else has happened.
    """

    def __init__(
        self,
        me: str,
        holder: Callable[[str], str],
        tell: Callable[[RouterEvent], None],
        clock: Callable[[], float],
    ) -> None:
        self._me = me
        self._holder = holder
        self._tell = tell
        self._clock = clock
        self._told: dict[tuple[bytes, RefusalReason], float] = {}
        self.phases = {phase: Distribution() for phase in Phase}
        self.bindings: Counter[tuple[ServiceType, Place]] = Counter()
        self.handoffs = 0
        self.refusals: Counter[RefusalReason] = Counter()
        self.answered: Counter[MessageType] = Counter()
        self.postponed = 0

    def took(self, phase: Phase, started: float) -> float:
        """Note that a phase, which began then by `perf_counter`, is over; return when that was."""
        now = perf_counter()
        self.phases[phase].observe(now - started)
        return now

    def listed(self, bindings: Iterable[Binding]) -> None:
        """Begin with these bindings, and no others."""
        self.bindings.clear()
        for binding in bindings:
            self._count(binding, 1)

    def changed(self, before: Binding | None, after: Binding | None) -> None:
        """Take in the change of a binding."""
        counted = (self._count(before, -1), self._count(after, 1))
        event = of_change(before, after) if any(counted) else None
        if event is not None:
            self.handoffs += isinstance(event, HostMoved) and event.at == self._me
            self._tell(event)

    def refused(
        self, host: bytes, kind: ServiceType | None, reason: RefusalReason, link: str
    ) -> None:
        """Count a refusal, and tell of it if the host was not refused the same way lately."""
        self.refusals[reason] += 1
        now, key = self._clock(), (host, reason)
        if now - self._told.get(key, -_SILENCE) < _SILENCE:
            return
        self._told.pop(key, None)
        self._told[key] = now
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        self._tell(Refused(host, kind, reason, link))

    def _count(self, binding: Binding | None, by: int) -> bool:
        if binding is None:
            return False
        place = place_of(binding, self._holder(binding.anchor), self._me)
        if place is None:
            return False
        self.bindings[binding.type, place] += by
        return True
