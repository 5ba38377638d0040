"""Which interface serves the host's bindings when several are up.

The newest link that is up and answers serves. While the present one is still up, a newer one must
wait until the present one has served for the dwell time, so that flapping links do not make the
host send competing Rebinds. A link that stays silent gives way to the next.
"""

from __future__ import annotations

from collections.abc import Sequence

from moorage.host.attachment import Attachment

ANSWER_WAIT = 1.0
"""Seconds that a link has to answer while another one is up."""
_LONGEST_WAIT = 64.0
"""Seconds to which that grows, by doubling, while no link answers."""


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

    def doubted(self, interface: int) -> None:
        """Note that the link of an interface may no longer serve."""
        if self.current == interface:
            self.current = None

    def heard(self, interface: int) -> None:
        """Note a sign of life from the link of an interface."""
        self._silent.discard(interface)

    def answered(self, interface: int, now: float) -> None:
        """Note that the network answered on an interface: if it was being tried, it serves."""
        self._silent.discard(interface)
        self._wait = ANSWER_WAIT
        if interface == self.trying:
            self.trying = None
            if self.current != interface:
                self.current, self._since = interface, now

    def choose(self, attached: Sequence[Attachment], now: float) -> int | None:
        """Return the interface on which to ask now, or none if nothing changes.

        ``attached`` has the newest attachment first.
        """
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
