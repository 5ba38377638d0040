"""Which link carries the packets of a lease, as a table, and what goes with each of its states."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address

from moorage.host.machine import after

SETTLE = 0.05
"""Seconds that a link which still works goes on carrying our packets after a soft move: the anchor
takes them from the new router only once it has heard of the move itself."""


class Reach(StrEnum):
    """What becomes of the packets of a lease."""

    REFUSED = "refused"
    """No link carries them: they are refused at once."""
    SERVED = "served"
    """A link carries them."""
    SWITCHING = "switching"
    """A newer link serves the lease; for the settle time the old one carries them on."""
    DETACHED = "detached"
    """The link is gone; for the hold time they are dropped in silence."""


class Change(StrEnum):
    """What happens to the reach of a lease."""

    SERVE = "the network serves it"
    SERVE_NEWER = "the network serves it on another interface while the old link still works"
    SETTLE_END = "the settle time is over"
    LEAVE = "the link that carries its packets is gone"
    LEAVE_NEWER = "the newer link is gone"
    HOLD_END = "the hold time is over"
    VANISH = "the interface itself is gone"


_R, _C = Reach, Change

TABLE: dict[tuple[Reach, Change], Reach] = {
    (_R.REFUSED, _C.SERVE): _R.SERVED,
    (_R.SERVED, _C.SERVE): _R.SERVED,
    (_R.SWITCHING, _C.SERVE): _R.SERVED,
    (_R.DETACHED, _C.SERVE): _R.SERVED,
    (_R.SERVED, _C.SERVE_NEWER): _R.SWITCHING,
    (_R.SWITCHING, _C.SERVE_NEWER): _R.SWITCHING,
    (_R.SWITCHING, _C.SETTLE_END): _R.SERVED,
    (_R.SERVED, _C.LEAVE): _R.DETACHED,
    (_R.SWITCHING, _C.LEAVE): _R.SERVED,
    (_R.SWITCHING, _C.LEAVE_NEWER): _R.SERVED,
    (_R.DETACHED, _C.HOLD_END): _R.REFUSED,
    (_R.DETACHED, _C.VANISH): _R.REFUSED,
    (_R.REFUSED, _C.VANISH): _R.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Path:
    """Where a lease's packets leave: the serving router on one of our interfaces.

    ``mtu`` is the network's path MTU for the prefix in bytes, 0 if it did not say.
    """

    interface: int
    router: IPv6Address
    mtu: int

    def leads_where(self, other: Path) -> bool:
        """Whether both leave by the same router on the same interface."""
        return (self.interface, self.router) == (other.interface, other.router)


@dataclass(slots=True)
class Reachability:
    """The reach of one lease; moments are seconds on the core's clock.

    Attributes:
        path: where it is, or was last, served.
        newer: where it is served now while ``path`` still carries its packets.
        since: when the present state began.
    """

    state: Reach = Reach.REFUSED
    path: Path | None = None
    newer: Path | None = None
    since: float = 0.0

    @property
    def served(self) -> bool:
        """Whether a link that is up carries the packets."""
        return self.state in (Reach.SERVED, Reach.SWITCHING)

    def serve(self, path: Path, now: float) -> None:
        """Take in that the network serves the lease by ``path``."""
        if self.served and self.path is not None and self.path.interface != path.interface:
            self.newer = path
            self._step(Change.SERVE_NEWER, now)
        else:
            self.path, self.newer = path, None
            self._step(Change.SERVE, now)

    def leave(self, interface: int, now: float) -> bool:
        """Take in that an interface left its link; return whether that concerns the lease."""
        if self.newer is not None and self.newer.interface == interface:
            self.newer = None
            self._step(Change.LEAVE_NEWER, now)
            return True
        if not self.served or self.path is None or self.path.interface != interface:
            return False
        if self.newer is not None:
            self.path, self.newer = self.newer, None
        self._step(Change.LEAVE, now)
        return True

    def vanish(self, interface: int, now: float) -> bool:
        """Take in that an interface is gone; return whether that concerns the lease."""
        left = self.leave(interface, now)
        if self.path is None or self.path.interface != interface:
            return left
        self.path = None
        self._step(Change.VANISH, now)
        return True

    def due(self, hold: float) -> float | None:
        """Return when the state ends by itself, if it does; ``hold`` is the hold time, seconds."""
        match self.state:
            case Reach.SWITCHING:
                return self.since + SETTLE
            case Reach.DETACHED:
                return self.since + hold
            case _:
                return None

    def poll(self, hold: float, now: float) -> bool:
        """Do what is due; return whether anything was."""
        due = self.due(hold)
        if due is None or now < due:
            return False
        if self.newer is not None:
            self.path, self.newer = self.newer, None
            self._step(Change.SETTLE_END, now)
        else:
            self._step(Change.HOLD_END, now)
        return True

    def _step(self, change: Change, now: float) -> None:
        self.state, self.since = after(TABLE, self.state, change), now
