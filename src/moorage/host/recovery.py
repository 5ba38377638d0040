"""The Fixed prefixes of a host that has lost its state, recovered from the network by Rebind.

Their IAIDs are the lowest numbers that are free, so that a host which knows nothing but its key can
ask for all that there may be. Each network is asked once it has said which one it is.
"""

from __future__ import annotations

from moorage.host.known import Known
from moorage.host.lease import Lease
from moorage.host.leases import FIXED_IAIDS
from moorage.host.outcome import Association, Granted, Outcome
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType

_PORTION = 16
"""Associations of one message, which has to fit into a packet."""


class Recovery:
    """Asks every network that the host comes to, one after the other."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._needed = False
        self._done: set[bytes] = set()
        self._domain = b""
        self._first = 0
        self._asked: set[int] = set()
        self._found = False

    def begin(self) -> None:
        """Take in that the state of an earlier life is lost."""
        self._needed = True

    def ask(self, now: float) -> None:
        """Ask the network of a link that has not been asked yet."""
        pending = self._known.requester.pending
        if not self._needed or any(pending(iaid) is not None for iaid in self._asked):
            return
        for link in self._known.attachments.newest_first():
            announced = link.on_demand
            if announced is None or announced.domain_id in self._done:
                continue
            if announced.domain_id != self._domain:
                self._domain, self._first, self._found = announced.domain_id, 0, False
            portion = range(self._first, min(self._first + _PORTION, FIXED_IAIDS))
            self._asked = {
                iaid for iaid in portion if iaid not in self._known.leases and pending(iaid) is None
            }
            wanted = [Association(iaid, ServiceType.FIXED) for iaid in sorted(self._asked)]
            if not wanted:
                self._portion_over()
                continue
            self._known.requester.start(
                MessageType.REBIND, link.interface, wanted, now, domain=self._domain, urgent=True
            )
            return

    def take(self, outcome: Outcome) -> Lease | None:
        """Return the lease that an answer about no lease of ours brings back, if it does."""
        iaid = outcome.association.iaid
        if iaid not in self._asked:
            return None
        self._asked.remove(iaid)
        lease = None
        if isinstance(outcome, Granted):
            self._found = True
            lease = Lease(iaid, domain=self._domain, type=ServiceType.FIXED)
            self._known.leases.add(lease)
        if not self._asked:
            self._portion_over()
        return lease

    def _portion_over(self) -> None:
        """Go on to the next portion, if this one had any: numbers are given from the lowest on."""
        self._first += _PORTION
        if not self._found or self._first >= FIXED_IAIDS:
            self._done.add(self._domain)
        self._found = False
