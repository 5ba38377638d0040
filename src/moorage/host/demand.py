"""What applications ask for, and who gets what when."""

from __future__ import annotations

from moorage.host.asking import Asking
from moorage.host.known import Known
from moorage.host.lease import Lease
from moorage.host.tenure import Tenure
from moorage.host.waiting import Waiter
from moorage.wire.app import Reason

_NEVER = float("inf")


class Demand:
    """Serves applications from what there is, or lets them wait for it."""

    def __init__(self, known: Known, asking: Asking, tenure: Tenure) -> None:
        self._known = known
        self._asking = asking
        self._tenure = tenure

    def ask_for(self, waiter: Waiter, fresh: bool, now: float) -> None:
        """Let ``waiter`` wait for a lease that the network is asked for, if that has a point."""
        attachment = self._asking.attachment() or next(
            iter(self._known.attachments.newest_first()), None
        )
        if attachment is None:
            self._known.out.append(waiter.refused(Reason.DETACHED))
        elif not attachment.offers(waiter.type):
            self._known.out.append(waiter.refused(Reason.TYPE_NOT_OFFERED))
        elif now < attachment.unsupported_until and not attachment.knows_service:
            self._known.out.append(waiter.refused(Reason.NO_SERVICE))
        else:
            lease = None if fresh else self._known.leases.requested(waiter.type)
            if lease is None:
                lease = Lease(self._known.new_iaid(), type=waiter.type)
                self._known.leases.add(lease)
            waiter.iaid = lease.iaid
            self._known.waiting.add(waiter)
            self._asking.request_missing(attachment, now)
            self._asking.send(now)

    def await_ordinary(self, waiter: Waiter, now: float) -> None:
        """Let ``waiter`` wait for an ordinary address, or for one delegated in its place."""
        attachment = self._asking.attachment()
        if not self._known.attachments.newest_first():
            self._known.out.append(waiter.refused(Reason.DETACHED))
        elif attachment is not None and attachment.delegates_only:
            self.ask_for(waiter, False, now)
        else:
            self._known.waiting.add(waiter)

    def give_ordinary(self, waiter: Waiter, *, advertised: bool) -> bool:
        """Answer with an ordinary address, if there is one."""
        attached = self._known.attachments.newest_first()
        found = self._known.ordinary.best(attached, advertised=advertised)
        if found is None:
            return False
        if waiter.cookie is not None:
            self._known.ordinary.opened(found.address, waiter.cookie)
        valid_for = _NEVER if found.valid is None else found.valid
        self._known.out.append(waiter.granted(found.address, valid_for))
        return True

    def serve_ordinary(self) -> None:
        """Answer those who wait for an ordinary address, now that one may have come."""
        for waiter in self._known.waiting.take(None):
            if not self.give_ordinary(waiter, advertised=True):
                self._known.waiting.add(waiter)

    def give_up(self, waiter: Waiter, reason: Reason, now: float) -> None:
        """Answer a waiter whose time is over."""
        if waiter.iaid is None:
            if not self.give_ordinary(waiter, advertised=False):
                self._known.out.append(waiter.refused(Reason.TIMEOUT))
            return
        self._known.out.append(waiter.refused(reason))
        if reason is Reason.NO_SERVICE:
            for attachment in self._known.attachments.newest_first():
                attachment.unsupported_until = now + self._known.config.unsupported_memory
        lease = self._known.leases.get(waiter.iaid)
        if lease is not None and not lease.kept and not self._known.waiting.awaits(lease.iaid):
            self._tenure.refuse(lease, reason)
