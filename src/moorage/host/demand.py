"""What applications ask for, and who gets what when."""

from __future__ import annotations

from collections.abc import Hashable

from moorage.host.actions import CountSockets, Reconcile
from moorage.host.asking import Asking
from moorage.host.caller import Caller
from moorage.host.known import Known
from moorage.host.lease import Lease
from moorage.host.nonpersistent import NonPersistent
from moorage.host.occupancy import Occupancy
from moorage.host.renewal import Renewal
from moorage.host.tenure import Tenure
from moorage.host.waiting import Waiter, refusal
from moorage.service import ServiceType
from moorage.wire.app import Operation, Reason, Request


class Demand:
    """Serves applications from what there is, or lets them wait for it."""

    def __init__(
        self,
        known: Known,
        asking: Asking,
        nonpersistent: NonPersistent,
        occupancy: Occupancy,
        renewal: Renewal,
        tenure: Tenure,
    ) -> None:
        self._known = known
        self._asking = asking
        self._nonpersistent = nonpersistent
        self._occupancy = occupancy
        self._renewal = renewal
        self._tenure = tenure

    def request(
        self, client: Hashable, caller: Caller, request: Request, cookie: int | None, now: float
    ) -> bool:
        """Take in a request of ``caller``; ``cookie`` is that of its socket, if it has one.

        Return whether it changed more than the number of sockets on an address in use.
        """
        known = self._known
        try:
            wanted = None if request.operation is Operation.DEFAULT else ServiceType(request.type)
        except ValueError:
            known.out.append(refusal(client, request.id, Reason.BAD_REQUEST))
            return False
        judgement = known.admission.judge(
            caller, cookie, wanted, known.networks.policy, now, on_net=request.on_net
        )
        decision = judgement.decision
        reason = decision.refusal
        if request.lifetime and decision.type is not ServiceType.SESSION_LASTING:
            reason = Reason.BAD_REQUEST
        timeout = request.timeout_ms / 1000 or known.config.wait
        waiter = Waiter(
            client,
            request.id,
            judgement,
            decision.type,
            now + known.config.support_wait,
            now + timeout,
            decision.fresh,
            request.lifetime or None,
            holds=request.operation in (Operation.HOLD, Operation.RUN),
        )
        if reason is Reason.NONE:
            return self._take(waiter, now)
        known.out.append(waiter.refused(reason))
        return False

    def _take(self, waiter: Waiter, now: float) -> bool:
        lease = None
        if not waiter.fresh:
            lease = self._renewal.fitting(waiter.type, waiter.lifetime, now)
        if lease is not None:
            return self._occupancy.give(waiter, lease, now)
        if waiter.type is not ServiceType.NON_PERSISTENT or self._delegated_anew(waiter, now):
            self._ask_for(waiter, now)
        elif not self._nonpersistent.give(waiter, now, advertised=True):
            self._await_ordinary(waiter, now)
        return True

    def _delegated_anew(self, waiter: Waiter, now: float) -> bool:
        """Whether a new Non-persistent prefix is asked for, although the link has one for all.

        Where the network cannot give one, the link's own is the newest that there is.
        """
        attachment = self._known.lanes.asked(waiter.type, now)
        if not waiter.fresh or attachment is None or not attachment.knows_service:
            return False
        return attachment.offers(ServiceType.NON_PERSISTENT)

    def _ask_for(self, waiter: Waiter, now: float) -> None:
        """Let ``waiter`` wait for a lease that the network is asked for, if that has a point."""
        attachment = self._known.lanes.asked(waiter.type, now)
        if attachment is None:
            self._occupancy.fail(waiter, Reason.DETACHED, now)
        elif waiter.type is not None and not attachment.offers(waiter.type):
            self._occupancy.fail(waiter, Reason.TYPE_NOT_OFFERED, now)
        elif now < attachment.unsupported_until and not attachment.knows_service:
            self._occupancy.fail(waiter, Reason.NO_SERVICE, now)
        else:
            lease = None
            if not waiter.fresh:
                lease = self._renewal.pending(waiter.type, waiter.lifetime)
            if lease is None:
                lease = self._new_lease(waiter, now)
            if lease is not None:
                waiter.iaid = lease.iaid
                self._known.waiting.add(waiter)
                self._asking.request_missing(now)
                self._asking.send(now)

    def _new_lease(self, waiter: Waiter, now: float) -> Lease | None:
        """Return a lease to ask for, unless the application may not make us ask."""
        known = self._known
        if not known.admission.may_ask(waiter.judgement, known.leases.iaids(), now):
            self._occupancy.fail(waiter, Reason.HOST_QUOTA, now)
            return None
        lease = Lease(
            known.new_iaid(waiter.type),
            type=waiter.type or ServiceType.SESSION_LASTING,
            lifetime=waiter.lifetime,
            untyped=waiter.type is None,
        )
        known.leases.add(lease)
        known.admission.asked(waiter.judgement, lease.iaid)
        return lease

    def _await_ordinary(self, waiter: Waiter, now: float) -> None:
        """Let ``waiter`` wait for an ordinary address, or for one delegated in its place."""
        attachment = self._known.lanes.asked(waiter.type, now)
        if attachment is None:
            self._known.out.append(waiter.refused(Reason.DETACHED))
        elif attachment.delegates_only:
            self._ask_for(waiter, now)
        else:
            self._known.waiting.add(waiter)

    def serve_ordinary(self, now: float) -> None:
        """Answer those who wait for an ordinary address, now that one may have come."""
        for waiter in self._known.waiting.take(None):
            if not self._nonpersistent.give(waiter, now, advertised=True):
                self._await_ordinary(waiter, now)

    def give_up(self, waiter: Waiter, reason: Reason, now: float) -> None:
        """Answer a waiter whose time is over."""
        if not self._known.lanes.allowed(waiter.type):
            reason = Reason.DETACHED
        if waiter.iaid is None:
            if not self._nonpersistent.give(waiter, now, advertised=False):
                self._known.out.append(waiter.refused(reason))
            return
        self._occupancy.fail(waiter, reason, now)
        if reason is Reason.NO_SERVICE:
            for attachment in self._known.lanes.allowed(waiter.type):
                attachment.unsupported_until = now + self._known.config.unsupported_memory
        self._drop_unwanted()

    def forget(self, client: Hashable) -> bool:
        """Forget the requests of an application that has hung up.

        Return whether the network is asked for less because of it.
        """
        self._known.waiting.forget(client)
        return self._drop_unwanted()

    def policy_changed(self, now: float) -> None:
        """Keep and ask for what policy wants by now; nobody loses what he has."""
        wanted = self._known.types_at_boot
        for lease in self._known.leases.awaited():
            lease.kept = lease.kept and lease.type in wanted
        self._occupancy.keep(wanted, now)
        for lease in self._known.leases.alive():
            if lease.address is not None and lease.type in self._known.restricted_types:
                linger = self._known.config.linger.of(lease.type)
                self._known.out.append(CountSockets(lease.address, linger))
        self._drop_unwanted()
        self._known.out.append(Reconcile())

    def _drop_unwanted(self) -> bool:
        """End what is asked for in vain; return whether there was any."""
        unwanted = [
            lease
            for lease in self._known.leases.awaited()
            if not (lease.wanted or self._known.waiting.awaits(lease.iaid))
        ]
        for lease in unwanted:
            self._tenure.drop(lease)
        return bool(unwanted)
