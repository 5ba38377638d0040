"""When a router takes a pool over from one that is gone, and when it gives it back.

No I/O: who is there and who holds what comes in, holds to be tried at the store come out. The
store refuses those whose premises do not hold; what it accepts comes in again as news.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from math import inf
from typing import Final

from moorage.router.config import RouterConfig
from moorage.router.settings import Standby
from moorage.store.model import Anchor
from moorage.store.protocol import Hold

_AGAIN: Final = 1.0
"""Seconds until a hold is tried again that the store did not take, if nothing has changed."""


class Situation(Enum):
    """How a pool stands that concerns a router."""

    OURS = auto()
    """It is configured to us, and we hold it."""
    ANOTHER = auto()
    """So it is, but with another network than the one that is in the store."""
    LENT = auto()
    """It is configured to us, and another router holds it."""
    LOST = auto()
    """It is configured to us, and the other router that holds it is gone."""
    GUARDED = auto()
    """We are the standby, and somebody holds it."""
    ORPHANED = auto()
    """We are the standby, and who holds it is gone."""
    TAKEN = auto()
    """We hold it for another router, which is gone."""
    CLAIMED = auto()
    """We hold it for another router, which is there."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What is tried once a situation has lasted: to give the pool back, or to hold it ourselves."""

    gives_back: bool
    delay: Callable[[Standby], float]


_STEPS: Final[Mapping[Situation, _Step]] = {
    Situation.ANOTHER: _Step(gives_back=False, delay=lambda _: 0.0),
    Situation.LOST: _Step(gives_back=False, delay=lambda _: 0.0),
    Situation.ORPHANED: _Step(gives_back=False, delay=lambda standby: standby.after),
    Situation.CLAIMED: _Step(gives_back=True, delay=lambda standby: standby.hand_back),
}
"""In all other situations there is nothing to do."""


def situation(anchor: Anchor, config: RouterConfig, present: Container[str]) -> Situation | None:
    """Return how a pool stands for the router of ``config``; None: it does not concern it.

    ``present`` are the routers whose lease lasts.
    """
    if anchor.id == config.id:
        if anchor.holder == config.id:
            return Situation.OURS if anchor.pool == config.pool else Situation.ANOTHER
        return Situation.LENT if anchor.holder in present else Situation.LOST
    if anchor.holder == config.id:
        return Situation.CLAIMED if anchor.id in present else Situation.TAKEN
    if anchor.id in config.standby.routers:
        return Situation.GUARDED if anchor.holder in present else Situation.ORPHANED
    return None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to do about a pool, unless something changes before it is due."""

    anchor: Anchor
    situation: Situation
    due: float


class Succession:
    """Decides who is to hold the pools that concern a router.

    A router whose own lease has ended decides nothing: the others take it for gone.
    """

    def __init__(self, config: RouterConfig) -> None:
        self._config = config
        self._plans: dict[str, _Plan] = {}

    def reconfigure(self, config: RouterConfig) -> None:
        """Go by another configuration from the next `look` on."""
        self._config = config
        self._plans = {}

    def look(self, anchors: Iterable[Anchor], present: Container[str], now: float) -> None:
        """Consider who holds what, and who is there, as it is now."""
        before, self._plans = self._plans, {}
        if self._config.id not in present:
            return
        for anchor in anchors:
            found = situation(anchor, self._config, present)
            if found is None or found not in _STEPS:
                continue
            plan = before.get(anchor.id)
            if plan is None or (plan.anchor, plan.situation) != (anchor, found):
                plan = _Plan(anchor, found, now + _STEPS[found].delay(self._config.standby))
            self._plans[anchor.id] = plan

    @property
    def next_timer(self) -> float:
        """When `due` has something to do, by the clock of ``now``."""
        return min((plan.due for plan in self._plans.values()), default=inf)

    def due(self, now: float) -> list[Hold]:
        """Return what to try at the store now."""
        holds = []
        for plan in self._plans.values():
            if plan.due <= now:
                holds.append(self._hold(plan))
                self._plans[plan.anchor.id] = replace(plan, due=now + _AGAIN)
        return holds

    def _hold(self, plan: _Plan) -> Hold:
        anchor, me = plan.anchor, self._config.id
        holder = anchor.id if _STEPS[plan.situation].gives_back else me
        pool = self._config.pool if anchor.id == me else anchor.pool
        following = replace(anchor, pool=pool, holder=holder, epoch=anchor.epoch + 1)
        return Hold(following, anchor.epoch, None if anchor.holder == me else anchor.holder)
