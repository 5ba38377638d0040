"""Which pools the network is told to route here: what to tell it, and when to try again.

No I/O: what we act for and how attempts ended come in, attempts come out. Whatever an earlier life
of the daemon has told is told again, so that a command has to be one that may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Network
from math import inf


class Verb(StrEnum):
    """What the network is told of a pool."""

    ANNOUNCE = "announce"
    """Route it here."""
    WITHDRAW = "withdraw"
    """Do not route it here any longer."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """To tell the network one thing of a pool."""

    verb: Verb
    pool: IPv6Network


@dataclass(slots=True)
class _Progress:
    """Of one pool: what is to be told, what was told with success, what is under way."""

    wanted: Verb
    told: Verb | None = None
    trying: bool = False
    failures: int = 0
    due: float = 0.0


class Announcements:
    """What the network is told of the pools that concern a router, one thing at a time for each.

    Args:
        retry: seconds until something is tried again that failed.
    """

    def __init__(self, retry: float) -> None:
        self._retry = retry
        self._pools: dict[IPv6Network, _Progress] = {}

    def want(self, ours: Iterable[IPv6Network], others: Iterable[IPv6Network], now: float) -> None:
        """The network is to route ``ours`` here, and not ``others``, nor what we had before."""
        wanted = dict.fromkeys((*self._pools, *others), Verb.WITHDRAW)
        wanted |= dict.fromkeys(ours, Verb.ANNOUNCE)
        for pool, verb in wanted.items():
            progress = self._pools.setdefault(pool, _Progress(verb, due=now))
            if progress.wanted is not verb:
                progress.wanted, progress.due, progress.failures = verb, now, 0

    @property
    def next_timer(self) -> float:
        """When `due` has something to do, by the clock of ``now``."""
        waiting = [each.due for each in self._pools.values() if self._is_open(each)]
        return min(waiting, default=inf)

    def due(self, now: float) -> list[Attempt]:
        """Return what to try now; `ended` is to be told how that ended."""
        attempts = []
        for pool, progress in self._pools.items():
            if self._is_open(progress) and progress.due <= now:
                progress.trying = True
                attempts.append(Attempt(progress.wanted, pool))
        return attempts

    def ended(self, attempt: Attempt, now: float, *, well: bool) -> None:
        """An attempt ended, well or not."""
        progress = self._pools[attempt.pool]
        progress.trying = False
        # Half done or not at all: of what failed nothing is known.
        progress.told = attempt.verb if well else None
        if not well and progress.wanted is attempt.verb:
            progress.failures += 1
            progress.due = now + self._retry

    def shown(self) -> Mapping[IPv6Network, str]:
        """Return for each pool how far its announcement is, as operators read it."""
        return {pool: _shown(progress) for pool, progress in self._pools.items()}

    @staticmethod
    def _is_open(progress: _Progress) -> bool:
        return not progress.trying and progress.told is not progress.wanted


def _shown(progress: _Progress) -> str:
    if progress.told is progress.wanted:
        return "announced" if progress.told is Verb.ANNOUNCE else "withdrawn"
    failed = f", failed {progress.failures} times" if progress.failures else ""
    return f"to {progress.wanted}{failed}"
