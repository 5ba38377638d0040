"""Prefixes that are ours no longer and that their network has still to get back.

A host that is away when the last socket closes cannot say so. Without a Release the binding, and
the path to where the host was, would stay until its lifetime ends.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from moorage.host.outcome import Association
from moorage.host.serving import Lane

_MOST = 64
"""So many are remembered; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A prefix to be given back.

    Attributes:
        association: it and its IAID and type, as the network knows it.
        domain: the network domain that gave it.
        server: the DUID of the server that gave it.
        until: when its lifetime ends, on the core's clock.
    """

    association: Association
    domain: bytes
    server: bytes
    until: float

    @property
    def lane(self) -> Lane:
        """What it was served together with."""
        return Lane(self.domain, self.association.type)


class Debts:
    """What is owed to networks, by IAID."""

    def __init__(self) -> None:
        self._owed: dict[int, Owed] = {}

    def __contains__(self, iaid: int) -> bool:
        return iaid in self._owed

    def all(self) -> Collection[Owed]:
        """Return what is owed."""
        return self._owed.values()

    def add(self, owed: Owed) -> None:
        """Take one in."""
        self._owed[owed.association.iaid] = owed
        if len(self._owed) > _MOST:
            del self._owed[next(iter(self._owed))]

    def settle(self, iaid: int) -> bool:
        """Forget one that the network has, or will not take; return whether it was there."""
        return self._owed.pop(iaid, None) is not None

    def forget_expired(self, now: float) -> None:
        """Forget those that nobody can have any more."""
        self._owed = {iaid: owed for iaid, owed in self._owed.items() if now < owed.until}
