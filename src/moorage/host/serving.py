"""Which interface serves a lane of the host's bindings when several are up.

The most preferred link that is up and answers serves; unless policy says otherwise the newest one
is. While the present one is still up, another one must wait until the present one has served for
the dwell time, so that flapping links do not make the host send competing Rebinds. A link that
stays silent gives way to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from moorage.host.attachment import Attachment
from moorage.service import ServiceType

ANSWER_WAIT = 1.0
"""Seconds that a link has to answer while another one is up."""
_LONGEST_WAIT = 64.0
"""Seconds to which that grows, by doubling, while no link answers."""


class Lane(NamedTuple):
    """The prefixes of one network domain and type.

    No domain: those to be asked for. No type: those of which the network chooses the type.
    """

    domain: bytes | None
    type: ServiceType | None


class Serving:
    """The present interface, and the one that is being tried."""

    def __init__(self, dwell: float) -> None:
        self.dwell = dwell
        self._since = float("-inf")
        self._silent: set[int] = set()
        self._give_up_at = 0.0
        self._wait = ANSWER_WAIT
        self.current: int | None = None
        self.trying: int | None = None

    def left(self, interface: int) -> None:
        """Note that an interface has left its link."""
        self._silent.discard(interface)
        self._wait = ANSWER_WAIT
        if self.current == interface:
            self.current = None
        if self.trying == interface:
            self.trying = None

    def stranded(self) -> None:
        """Note that the present interface no longer serves."""
        self.current = self.trying = None

    def heard(self, interface: int) -> None:
        """Note a sign of life from the link of an interface."""
        self._silent.discard(interface)

    def answered(self, interface: int, now: float) -> None:
        """Note that the network answered on an interface.

        It serves if it was being tried, or if no other one did.
        """
        self._silent.discard(interface)
        self._wait = ANSWER_WAIT
        if interface == self.trying or (self.trying is None and self.current is None):
            self.trying = None
            if self.current != interface:
                self.current, self._since = interface, now

    def choose(self, attached: Sequence[Attachment], now: float) -> int | None:
        """Return the interface on which to ask now, or none if nothing changes.

        ``attached`` has the most preferred attachment first.
        """
        present = {attachment.interface for attachment in attached}
        self.trying = self.trying if self.trying in present else None
        self.current = self.current if self.current in present else None
        gave_up = self.trying is not None and now >= self._give_up_at and len(attached) > 1
        if gave_up and self.trying is not None:
            self._silent.add(self.trying)
            self.trying = None
        best = next((a for a in attached if a.interface not in self._silent), None)
        if best is None:
            if self._silent:
                self._silent.clear()
                self._wait = min(2 * self._wait, _LONGEST_WAIT)
            best = next(iter(attached), None)
        if best is None or best.interface == self.trying:
            return None
        if best.interface == self.current:
            if not gave_up:
                return None
            # The silent link may have moved our bindings and lost the Reply: take them back.
        elif self.current is not None and now < self._since + self.dwell:
            return None
        self.trying = best.interface
        self._give_up_at = now + self._wait
        return self.trying

    def next_timer(self, attached: Sequence[Attachment]) -> float | None:
        """Return when `choose` must be asked again at the latest."""
        if self.trying is not None and len(attached) > 1:
            return self._give_up_at
        newest = next((a.interface for a in attached if a.interface not in self._silent), None)
        if self.current is not None and newest is not None and newest != self.current:
            return self._since + self.dwell
        return None
