"""How leases begin, go on and end: what the network answers, and what follows from it."""

from __future__ import annotations

from moorage.host.actions import Persist, Reconcile
from moorage.host.asking import Asking
from moorage.host.attachment import Attachment
from moorage.host.events import (
    AddressDeprecated,
    AddressGone,
    AddressReleased,
    AddressServed,
    Declined,
    Why,
)
from moorage.host.known import Known
from moorage.host.lease import Lease, unwanted
from moorage.host.lifecycle import Event, State
from moorage.host.reach import Path
from moorage.host.requester import Granted, Lost, NotUnderstood, Outcome, Refused
from moorage.host.waiting import Waiter
from moorage.service import ServiceType
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import MessageType, RefusalReason

_RETRY_REFUSED = 60.0
"""Seconds until a type that policy wants is asked for again after a refusal."""


class Tenure:
    """Takes leases through their life."""

    def __init__(self, known: Known, asking: Asking) -> None:
        self._known = known
        self._asking = asking

    def take(self, outcome: Outcome, now: float) -> None:
        """Do what an answer of the network asks for."""
        attachment = self._known.attachments.get(outcome.interface)
        lease = self._known.leases.get(outcome.association.iaid)
        if attachment is None or lease is None:
            return
        if not isinstance(outcome, NotUnderstood):
            attachment.knows_service = True
        if lease.state is State.REQUESTED and not isinstance(outcome, Granted):
            self._known.retry_at[lease.type] = now + _RETRY_REFUSED
        match outcome:
            case Granted():
                self._granted(lease, outcome, now)
            case Refused():
                self._refused(lease, attachment, outcome, now)
            case Lost() if lease.address is None:
                self.refuse(lease, Reason.TRY_LATER)
            case Lost():
                self.end(lease, Why.WITHDRAWN)
            case NotUnderstood():
                self._not_understood(lease, attachment, outcome, now)

    def _granted(self, lease: Lease, granted: Granted, now: float) -> None:
        objection = self._objection(lease, granted)
        if objection:
            self._known.tell(Declined(granted.prefix, lease.type, f"refused: {objection}"))
            if lease.state is State.REQUESTED:
                self._known.retry_at[lease.type] = now + _RETRY_REFUSED
                self.refuse(lease, Reason.TRY_LATER)
            self._asking.hand_back(granted, granted.prefix, now)
            return
        if lease.address is None:
            lease.prefix = granted.prefix
            lease.address = self._known.identifiers.address(granted.prefix, lease.type)
            lease.granted_at = now
        lease.step(Event.GRANT)
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
            self.retire(lease, now)
        for waiter in self._known.waiting.take(lease.iaid):
            self.give(waiter, lease, now)
        if lease.state is State.READY:
            self.unused(lease, now)

    def _objection(self, lease: Lease, granted: Granted) -> str:
        """Return why we do not take what was granted, or an empty text."""
        if granted.preferred > granted.valid:
            return "preferred for longer than it is valid"
        if granted.type is not lease.type:
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
        if refused.reason is RefusalReason.TYPE_NOT_OFFERED:
            attachment.not_offered.add(lease.type)
        if lease.state is not State.REQUESTED:
            if lease.prefix is not None:
                why = f"not served here: {refused.reason.name}"
                self._known.tell(Declined(lease.prefix, lease.type, why))
            return
        self.refuse(lease, Reason(refused.reason))

    def _not_understood(
        self, lease: Lease, attachment: Attachment, answer: NotUnderstood, now: float
    ) -> None:
        if not attachment.knows_service:
            attachment.unsupported_until = now + self._known.config.unsupported_memory
        if lease.state is State.REQUESTED:
            self.refuse(lease, Reason.NO_SERVICE)
            if answer.given is not None:
                self._asking.hand_back(answer, answer.given, now)

    def give(self, waiter: Waiter, lease: Lease, now: float) -> None:
        """Answer an application with the address of a lease."""
        assert lease.address is not None
        self._known.out.append(waiter.granted(lease.address, lease.valid_until - now))
        if waiter.cookie is not None:
            lease.sockets.add(waiter.cookie)
            lease.step(Event.OPEN)
        elif not lease.sockets:
            self.unused(lease, now)

    def retire(self, lease: Lease, now: float) -> None:
        """Give an address to no more sockets; it goes with the last of those that have it."""
        if lease.state is not State.RETIRING:
            lease.step(Event.RETIRE)
            assert lease.address is not None
            left = lease.valid_until - now
            self._known.tell(AddressDeprecated(lease.address, lease.type, left))
            if not lease.sockets:
                self.unused(lease, now)

    def unused(self, lease: Lease, now: float) -> None:
        """Let an address that no socket uses linger, unless it is one that stays."""
        stays = lease.kept or lease.type is ServiceType.FIXED
        if stays and lease.state is not State.RETIRING:
            lease.step(Event.KEEP)
        else:
            lease.step(Event.LAST_CLOSE)
            lease.linger_until = now + self._known.config.linger

    def release(self, lease: Lease, now: float) -> None:
        """Give an address back that nobody uses; it is gone here before the network hears it."""
        lease.step(Event.LINGER_END)
        self._known.leases.remove(lease)
        assert lease.address is not None
        self._known.tell(AddressReleased(lease.address, lease.type))
        self._known.out += [Reconcile(), Persist()]
        if lease.served and lease.path is not None:
            self._known.requester.start(
                MessageType.RELEASE,
                lease.path.interface,
                [lease.association],
                now,
                server=lease.server,
            )
            self._asking.send(now)

    def refuse(self, lease: Lease, reason: Reason) -> None:
        """End a lease that has no address yet, and refuse those who wait for it."""
        self._drop(lease)
        for waiter in self._known.waiting.take(lease.iaid):
            self._known.out.append(waiter.refused(reason))

    def end(self, lease: Lease, why: Why) -> None:
        """End a lease whose address became invalid, and the sockets on it."""
        assert lease.address is not None
        self._drop(lease)
        self._known.tell(AddressGone(lease.address, lease.type, why))
        self._known.end_sockets(lease.address, None)
        self._known.out += [Reconcile(), Persist()]

    def _drop(self, lease: Lease) -> None:
        lease.step(Event.END)
        self._known.leases.remove(lease)
        self._known.requester.cancel([lease.iaid])
