"""How leases begin and go on: what the network answers, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable

from moorage.host.actions import Persist, Reconcile
from moorage.host.asking import Asking
from moorage.host.attachment import Attachment
from moorage.host.events import AddressServed, Declined
from moorage.host.known import Known
from moorage.host.lease import Lease, unwanted
from moorage.host.lifecycle import Event, State
from moorage.host.occupancy import Occupancy
from moorage.host.outcome import Granted, Lost, NotUnderstood, Outcome, Refused, Released
from moorage.host.reach import Path
from moorage.host.recovery import Recovery
from moorage.host.renewal import Renewal
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import RefusalReason
from moorage.wire.notice import Why

_RETRY_REFUSED = 60.0
"""Seconds until what policy wants is asked for again after a refusal."""


class Tenure:
    """Does what the answers of the network ask for."""

    def __init__(
        self,
        known: Known,
        asking: Asking,
        recovery: Recovery,
        occupancy: Occupancy,
        renewal: Renewal,
    ) -> None:
        self._known = known
        self._asking = asking
        self._recovery = recovery
        self._occupancy = occupancy
        self._renewal = renewal

    def take(self, outcomes: Iterable[Outcome], now: float) -> None:
        """Do what answers of the network ask for."""
        for outcome in outcomes:
            self._take(outcome, now)

    def _take(self, outcome: Outcome, now: float) -> None:
        if isinstance(outcome, Released):
            if self._known.debts.settle(outcome.association.iaid):
                self._known.out.append(Persist())
            return
        attachment = self._known.attachments.get(outcome.interface)
        lease = self._known.leases.get(outcome.association.iaid) or self._recovery.take(outcome)
        if attachment is None or lease is None:
            return
        if not isinstance(outcome, NotUnderstood):
            attachment.knows_service = True
        asked = lease.asked
        if lease.state is State.REQUESTED and isinstance(outcome, Refused | Lost):
            attachment.retry_at[asked.type] = now + _RETRY_REFUSED
        match outcome:
            case Granted():
                self._granted(lease, attachment, outcome, now)
            case Refused():
                self._refused(lease, attachment, outcome, now)
            case Lost() if lease.address is None:
                self.refuse(lease, Reason.TRY_LATER, now)
            case Lost(forgotten=True) if lease.usable and not lease.reclaimed:
                # What RFC 8415 section 18.2.10.1 calls for: ask anew, naming what we have.
                self._asking.reclaim(lease, outcome.interface, now)
            case Lost():
                self._lose(lease, now)
            case NotUnderstood():
                self._not_understood(lease, attachment, outcome, now)
                return
        # Only now it is known which type the network has chosen, if that was left to it.
        self._known.lanes.answered((lease.lane, asked), outcome.interface, now)

    def _granted(self, lease: Lease, attachment: Attachment, granted: Granted, now: float) -> None:
        objection = self._objection(lease, granted)
        if objection:
            self._known.tell(Declined(granted.prefix, lease.type, f"refused: {objection}"))
            if lease.state is State.REQUESTED:
                attachment.retry_at[lease.asked.type] = now + _RETRY_REFUSED
                self.refuse(lease, Reason.TRY_LATER, now)
            elif lease.reclaimed:
                self._lose(lease, now)
            self._asking.hand_back(lease, granted, granted.prefix, now)
            return
        new = lease.address is None
        if lease.address is None:
            assert granted.type is not None
            lease.type = granted.type
            lease.prefix = granted.prefix
            lease.address = self._known.identifiers.address(granted.prefix, lease.type)
            lease.granted_at = now
        lease.step(Event.GRANT)
        lease.reclaimed = False
        lease.server = granted.server
        path = Path(granted.interface, granted.router, granted.mtu)
        moved = lease.path is not None and not lease.path.leads_where(path)
        lease.reach.serve(path, now)
        lease.preferred_until = now + granted.preferred
        lease.valid_until = now + granted.valid
        lease.renew_at = now + (granted.t1 or granted.preferred * 0.5 or granted.valid)
        lease.rebind_at = now + (granted.t2 or granted.preferred * 0.8 or granted.valid)
        self._known.tell(
            AddressServed(
                lease.address,
                lease.type,
                granted.prefix,
                self._known.attachments.name(granted.interface),
                granted.router,
                moved,
                granted.preferred,
                granted.valid,
            )
        )
        self._known.out += [Reconcile(), Persist()]
        if granted.preferred == 0:
            self._occupancy.retire(lease, now)
            self._renewal.redirect(lease, now)
        for waiter in self._known.waiting.take(lease.iaid):
            self._occupancy.give(waiter, lease, now)
        if new:
            self._renewal.granted(lease, now)
        if lease.state is State.READY:
            self._occupancy.unused(lease, now)

    def _objection(self, lease: Lease, granted: Granted) -> str:
        """Return why we do not take what was granted, or an empty text."""
        if granted.preferred > granted.valid:
            return "preferred for longer than it is valid"
        if granted.type is None or (granted.type is not lease.type and not lease.undecided):
            return "not of the type that was asked for"
        if lease.prefix is not None and granted.prefix != lease.prefix:
            return f"another prefix than {lease.prefix}"
        other = self._known.leases.overlapping(granted.prefix, lease.iaid)
        if other is not None:
            return f"already ours as {other.type.slug}"
        if lease.state is State.REQUESTED and granted.preferred == 0:
            return "given for a grace time only"
        return unwanted(granted.prefix)

    def _refused(self, lease: Lease, attachment: Attachment, refused: Refused, now: float) -> None:
        if refused.reason is RefusalReason.TYPE_NOT_OFFERED and not lease.undecided:
            attachment.not_offered.add(lease.type)
        if lease.state is not State.REQUESTED:
            if lease.prefix is not None:
                why = f"not served here: {refused.reason.name}"
                self._known.tell(Declined(lease.prefix, lease.type, why))
            self._disappoint(lease, Reason(refused.reason), now)
            if lease.reclaimed:
                self._lose(lease, now)
            return
        self.refuse(lease, Reason(refused.reason), now)

    def _not_understood(
        self, lease: Lease, attachment: Attachment, answer: NotUnderstood, now: float
    ) -> None:
        if answer.given is not None:
            self._asking.hand_back(lease, answer, answer.given, now)
        if not answer.alone or attachment.knows_service:
            return
        attachment.unsupported_until = now + self._known.config.unsupported_memory
        if lease.state is State.REQUESTED:
            self.refuse(lease, Reason.NO_SERVICE, now)

    def refuse(self, lease: Lease, reason: Reason, now: float) -> None:
        """End a lease that has no address yet, and refuse those who wait for it."""
        self.drop(lease)
        self._disappoint(lease, reason, now)

    def drop(self, lease: Lease) -> None:
        """End a lease that has no address yet and that nobody wants."""
        lease.step(Event.END)
        self._known.leases.remove(lease)
        self._known.requester.cancel([lease.iaid])

    def _lose(self, lease: Lease, now: float) -> None:
        """End a lease that the network no longer has."""
        self._renewal.redirect(lease, now)
        self._occupancy.end(lease, Why.WITHDRAWN, now)

    def _disappoint(self, lease: Lease, reason: Reason, now: float) -> None:
        for waiter in self._known.waiting.take(lease.iaid):
            self._occupancy.fail(waiter, reason, now)
