"""Moves at random, while the flows of the demo run."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from moorage.demo.flows import Flow, History
from moorage.demo.observations import Observer
from moorage.lab.control import Moved
from moorage.lab.lab import Lab
from moorage.service import ServiceType

_PATIENCE: Final = 10.0
_PAUSE_SECONDS: Final = (0.2, 0.8)
"""The shortest and the longest time between a flow's resumption and the next move."""


@dataclass(frozen=True, slots=True)
class Wandered:
    """A move, and the names of the flows that did not come along."""

    router: str
    moved: Moved
    lost: tuple[str, ...]


def route(routers: Sequence[str], here: str, count: int, source: random.Random) -> Iterator[str]:
    """Where to move, ``count`` times, each time to a router other than the one before."""
    for _ in range(count):
        here = source.choice([router for router in routers if router != here])
        yield here


def wander(
    lab: Lab,
    observer: Observer,
    host: str,
    flows: Sequence[Flow],
    targets: Iterator[str],
    source: random.Random,
    *,
    soft: bool,
) -> Iterator[Wandered]:
    """Move the host to each of ``targets``, and yield what became of the flows."""
    for router in targets:
        begun = time.monotonic_ns()
        moved = lab.move(host, router, soft=soft)
        came_along = partial(
            _came_along,
            begun=begun,
            over=max(moved.up, moved.down),
            observer=observer,
            router=router,
        )
        lost = tuple(flow.name for flow in flows if not flow.wait(came_along, _PATIENCE))
        yield Wandered(router, moved, lost)
        until = time.monotonic_ns() + round(source.uniform(*_PAUSE_SECONDS) * 1e9)
        for flow in flows:
            flow.wait(partial(History.arrived_after, moment=until), _PATIENCE)


def _came_along(
    history: History, *, begun: int, over: int, observer: Observer, router: str
) -> bool:
    """Whether a flow goes on after a move that lasted from ``begun`` to ``over``.

    With a Non-persistent address it has to have a new connection from the new router's prefix, and
    with any other one the same connection as before.
    """
    current = history.current
    if current is None or not history.arrived_after(max(over, current.start)):
        return False
    if current.service is ServiceType.NON_PERSISTENT:
        return observer.router_of(current.address) == router
    return current.start < begun
