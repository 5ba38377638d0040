"""What becomes of an association: the rules of the service types, as changes of the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Network

from moorage.router.authority import Claim, claim
from moorage.router.config import Keyless, RouterConfig
from moorage.router.exclusion import excluded_from, names_another_part
from moorage.router.outcomes import (
    Association,
    Elsewhere,
    Granted,
    OffLink,
    Outcome,
    Refused,
    Released,
    Unbound,
    Withdrawn,
)
from moorage.router.reconfigure import ReconfigureKeys
from moorage.router.request import Request
from moorage.router.supply import Supply, Taken, listed, on_link
from moorage.router.terms import Terms
from moorage.service import ServiceType
from moorage.store.model import Binding, BindingState
from moorage.store.protocol import Create, Update
from moorage.wire.dhcp6 import IaNa, IaPd, MessageType, RefusalReason


@dataclass(frozen=True, slots=True)
class Situation:
    """All that an answer depends on, apart from the message.

    Attributes:
        config: who we are and how we treat clients.
        terms: what it comes to for all of them.
        bindings: the bindings of the client, released ones among them.
        taken: whether a prefix or address has a binding, of whichever client.
        prefixes: what new prefixes are taken from.
        epoch: of our pool's anchor; None: another router holds it, and we give no prefixes.
        given: how many leases of a type, or (None) in all, this router has given.
        keys: the reconfigure keys; None: no client is reconfigured.
        waiting: since when keyless clients have been asking for what is served elsewhere.
        now: seconds since 1970.
    """

    config: RouterConfig
    terms: Terms
    bindings: tuple[Binding, ...]
    taken: Taken
    prefixes: Supply
    epoch: int | None
    given: Callable[[ServiceType | None], int]
    keys: ReconfigureKeys | None
    waiting: Mapping[IPv6Network, float]
    now: float


class Lessor:
    """Judges the associations of one message, one after the other.

    Single addresses are Non-persistent: they are of use on their link alone.

    Attributes:
        changes: what has to be committed before the outcomes are true.
        waiting: leases that a keyless client asked for too early.
    """

    def __init__(self, request: Request, situation: Situation) -> None:
        self.changes: list[Create | Update] = []
        self.waiting: set[IPv6Network] = set()
        self._request = request
        self._at = situation
        self._config = situation.config
        self._me = situation.config.id
        self._now = situation.now
        self._segment = request.place.segment
        self._reconfigurable = situation.keys is not None and request.reconfigurable

    def assign(self, ia: Association) -> Outcome:
        """Solicit and Request: give the lease that the client has, or a new one."""
        wanted = self._wanted(ia)
        if self._request.rejected:
            return Refused(ia, wanted, RefusalReason.SIGNATURE_OR_TIME)
        if self._request.message.type is MessageType.REQUEST and self._is_off_link(ia):
            return OffLink(ia)
        binding = self._held(ia)
        if binding is None:
            return self._create(ia, wanted)
        if self._is_squatted(binding, wanted):
            self._retire(binding)
            return self._create(ia, wanted)
        objection = self._objection(ia, binding, wanted)
        if objection is not None:
            return objection
        if self._judge(binding) is Claim.REPEATED:
            return self._repeat(ia, binding)
        if self._must_wait(binding):
            return Refused(ia, binding.type, RefusalReason.TRY_LATER)
        if self._is_over(ia, binding):
            self._retire(binding)
            return self._create(ia, wanted)
        return self._exchange(ia, binding, wanted) or self._carry_on(ia, binding)

    def extend(self, ia: Association) -> Outcome:
        """Renew and Rebind: the client goes on with its lease, here, where it may have moved to.

        A keyless client whose prefix never moves is told that it is gone; the binding stays where
        it is, since nobody has proved that the client left.
        """
        wanted = self._wanted(ia)
        if self._request.rejected:
            return Refused(ia, wanted, RefusalReason.SIGNATURE_OR_TIME)
        binding = self._held(ia)
        if binding is None or binding.valid_until <= self._now:
            if self._is_off_link(ia):
                return Withdrawn(ia, ServiceType.NON_PERSISTENT, listed(ia))
            return Unbound(ia)
        objection = self._objection(ia, binding, wanted)
        if objection is not None:
            return objection
        if self._judge(binding) is Claim.REPEATED:
            return self._repeat(ia, binding)
        if self._must_wait(binding):
            if self._config.keyless is Keyless.NEVER:
                return Withdrawn(ia, binding.type, (binding.prefix,))
            return Refused(ia, binding.type, RefusalReason.TRY_LATER)
        if self._is_over(ia, binding):
            self._retire(binding)
            return Withdrawn(ia, binding.type, (binding.prefix,))
        gone = tuple([prefix for prefix in listed(ia) if prefix != binding.prefix])
        return replace(self._carry_on(ia, binding), gone=gone)

    def postpone(self, ia: Association) -> Refused:
        """Solicit and Request when nothing can be decided now."""
        return Refused(ia, self._wanted(ia), RefusalReason.TRY_LATER)

    def release(self, ia: Association) -> Outcome:
        """Release: the client gives its lease back."""
        return self._end(ia)

    def decline(self, ia: Association) -> Outcome:
        """Decline: somebody else on the link uses the address. Prefixes cannot be declined."""
        if isinstance(ia, IaNa):
            return self._end(ia, self._config.dhcp.declined)
        return Unbound(ia) if self._held(ia) is None else Released(ia)

    def _end(self, ia: Association, quarantine: float | None = None) -> Outcome:
        if self._request.rejected:
            return Refused(ia, self._wanted(ia), RefusalReason.SIGNATURE_OR_TIME)
        binding = self._held(ia)
        if binding is None or binding.prefix not in listed(ia) or names_another_part(ia, binding):
            return Unbound(ia)
        objection = self._objection(ia, binding, binding.type)
        if objection is not None:
            return objection
        if self._judge(binding) is Claim.REPEATED:
            return Refused(ia, binding.type, RefusalReason.SIGNATURE_OR_TIME)
        if binding.key is None and not (self._is_here(binding) or self._is_free_to_go(binding)):
            return Refused(ia, binding.type, RefusalReason.NOT_AUTHORISED)
        self._retire(binding, quarantine)
        return Released(ia)

    def _wanted(self, ia: Association) -> ServiceType | None:
        if isinstance(ia, IaNa):
            return ServiceType.NON_PERSISTENT
        return self._request.type_of(ia.iaid)

    def _held(self, ia: Association) -> Binding | None:
        for binding in self._at.bindings:
            if binding.held and _is_of(binding, ia):
                return binding
        return None

    def _is_off_link(self, ia: Association) -> bool:
        """Whether it lists addresses that are not of the client's link, as far as we know that."""
        networks = self._segment.networks
        return isinstance(ia, IaNa) and bool(networks) and not on_link(listed(ia), networks)

    def _supply(self, ia: Association) -> Supply | None:
        return self._segment.addresses if isinstance(ia, IaNa) else self._at.prefixes

    def _judge(self, binding: Binding) -> Claim:
        return claim(binding, self._request.proof)

    def _objection(
        self, ia: Association, binding: Binding, wanted: ServiceType | None
    ) -> Refused | None:
        """Why this message may do nothing with the binding."""
        match self._judge(binding):
            case Claim.FOREIGN:
                reason = RefusalReason.NOT_AUTHORISED
            case Claim.STALE:
                reason = RefusalReason.SIGNATURE_OR_TIME
            case _:
                if wanted in (None, binding.type):
                    return None
                # A prefix keeps its type; another type needs another IAID.
                reason = RefusalReason.NOT_AUTHORISED
        return Refused(ia, wanted, reason)

    def _is_here(self, binding: Binding) -> bool:
        return (
            binding.serving == self._me
            and binding.link == self._segment.link.interface
            and binding.next_hop == self._request.place.next_hop
        )

    def _is_squatted(self, binding: Binding, wanted: ServiceType | None) -> bool:
        """Whether somebody without the client's key asked for another type in its name."""
        return (
            binding.key is None
            and self._request.proof is not None
            and wanted not in (None, binding.type)
        )

    def _repeat(self, ia: Association, binding: Binding) -> Granted | Elsewhere | Refused:
        """Answer a message that was acted on: somewhere else, unless the signature tells better.

        One that names no link may be a copy that reached us, or another router, by somebody else.
        """
        proof = self._request.proof
        if self._is_here(binding):
            return self._as_it_stands(ia, binding)
        if proof is not None and proof.names_link:
            # The host sends by the router whose answer it takes.
            return Elsewhere(ia)
        return Refused(ia, binding.type, RefusalReason.SIGNATURE_OR_TIME)

    def _is_free_to_go(self, binding: Binding) -> bool:
        """Whether whoever knows a keyless client's names may take its lease elsewhere."""
        match self._config.keyless:
            case Keyless.ALWAYS:
                return True
            case Keyless.AFTER_DEPARTURE:
                return binding.serving is None
            case Keyless.NEVER:
                # It was here that the client left, and here it comes back.
                return binding.serving is None and binding.anchor == self._me

    def _must_wait(self, binding: Binding) -> bool:
        """Whether a client without a key moves before anybody saw it leave the other place."""
        if self._request.proof is not None or self._is_here(binding):
            return False
        if self._is_free_to_go(binding):
            return False
        if self._config.keyless is Keyless.NEVER:
            return True
        self.waiting.add(binding.prefix)
        since = self._at.waiting.get(binding.prefix, self._now)
        return self._now - since < self._config.hold

    def _is_over(self, ia: Association, binding: Binding) -> bool:
        """Whether the lease has come to its end: by time, or since it is not for this place."""
        supply = self._supply(ia)
        return binding.valid_until <= self._now or supply is None or supply.ends(binding)

    def _create(self, ia: Association, wanted: ServiceType | None) -> Outcome:
        kind = wanted or self._at.terms.default
        refusal = self._refusal(ia, kind)
        if refusal is not None:
            return Refused(ia, kind, refusal)
        prefix = self._draw(ia)
        if prefix is None:
            return Refused(ia, kind, RefusalReason.POOL_FULL)
        lifetimes = self._config.lifetimes.of(kind)
        proof = self._request.proof
        binding = Binding(
            prefix=prefix,
            client=self._request.client,
            iaid=ia.iaid,
            type=kind,
            anchor=self._me,
            serving=self._me,
            link=self._segment.link.interface,
            next_hop=self._request.place.next_hop,
            mac=self._request.mac,
            seq=1,
            key=proof.key if proof else None,
            last_time=proof.time if proof else 0,
            state=BindingState.ACTIVE,
            preferred_until=self._now + lifetimes.preferred,
            valid_until=self._now + lifetimes.valid,
            reconfigurable=self._reconfigurable,
            excluded=excluded_from(prefix, self._request, self._config.dhcp.exclude),
        )
        # An address is of its link; who acts for our pool does not matter to it.
        self.changes.append(Create(binding, None if binding.is_address else self._at.epoch))
        return self._as_it_stands(ia, binding)

    def _exchange(
        self, ia: Association, binding: Binding, wanted: ServiceType | None
    ) -> Outcome | None:
        """Give another lease for one that does not suit, if there is one that does."""
        supply = self._supply(ia)
        if supply is None or supply.suits(ia, binding.prefix):
            return None
        before = len(self.changes)
        self._retire(binding)
        outcome = self._create(ia, wanted or binding.type)
        if isinstance(outcome, Granted) and supply.suits(ia, outcome.binding.prefix):
            return outcome
        del self.changes[before:]
        return None

    def _refusal(self, ia: Association, kind: ServiceType) -> RefusalReason | None:
        """Why the client gets no new lease of this type."""
        proof = self._request.proof
        if isinstance(ia, IaPd):
            if kind not in self._at.terms.offered:
                return RefusalReason.TYPE_NOT_OFFERED
            if kind not in self._at.terms.permitted:
                return RefusalReason.NOT_AUTHORISED
            if self._at.epoch is None:
                return RefusalReason.TRY_LATER
        for binding in self._at.bindings:
            if _is_of(binding, ia) and claim(binding, proof) in (Claim.STALE, Claim.REPEATED):
                # An old Solicit must not bring back what its sender has released since.
                return RefusalReason.SIGNATURE_OR_TIME
        return self._excess(kind)

    def _excess(self, kind: ServiceType) -> RefusalReason | None:
        """Whether one more lease is too many: for this client, or for this router."""
        bindings = {binding.prefix: binding for binding in self._at.bindings}
        bindings |= {change.prefix: change.binding for change in self.changes}
        # What others asked for in a keyed client's name does not count against it.
        key = self._request.proof.key if self._request.proof else None
        held = [each.type for each in bindings.values() if each.held and each.key == key]
        limits = self._config.limits.of(kind)
        if len(held) >= self._config.quota or (
            limits.per_host is not None and held.count(kind) >= limits.per_host
        ):
            return RefusalReason.QUOTA
        new = [change.binding.type for change in self.changes if isinstance(change, Create)]
        if self._at.given(None) + len(new) >= self._config.capacity or (
            limits.in_all is not None and self._at.given(kind) + new.count(kind) >= limits.in_all
        ):
            return RefusalReason.POOL_FULL
        return None

    def _draw(self, ia: Association) -> IPv6Network | None:
        supply = self._supply(ia)
        return None if supply is None else supply.draw(self._request.client, ia, self._is_taken)

    def _is_taken(self, prefix: IPv6Network) -> bool:
        mine = (*self.changes, *self._at.bindings)
        return any(each.prefix == prefix for each in mine) or self._at.taken(prefix)

    def _carry_on(self, ia: Association, binding: Binding) -> Granted:
        """Serve the binding here and from now."""
        now, proof = self._now, self._request.proof
        lifetimes = self._config.lifetimes.of(binding.type)
        preferred_until = now + lifetimes.preferred
        valid_until = now + lifetimes.valid
        if binding.type is ServiceType.GRACEFUL_REPLACEMENT and (
            binding.anchor != self._me or binding.preferred_until <= now
        ):
            # Once it is being replaced, nothing makes it last longer.
            preferred_until = min(binding.preferred_until, now)
            valid_until = min(binding.valid_until, now + self._config.grace)
        changed = replace(
            binding,
            serving=self._me,
            link=self._segment.link.interface,
            next_hop=self._request.place.next_hop,
            mac=self._request.mac,
            seq=binding.seq + 1,
            key=proof.key if proof else binding.key,
            last_time=proof.time if proof else binding.last_time,
            state=BindingState.ACTIVE,
            preferred_until=preferred_until,
            valid_until=valid_until,
            reconfigurable=self._reconfigurable,
            excluded=excluded_from(binding.prefix, self._request, self._config.dhcp.exclude),
        )
        self.changes.append(Update(changed, binding.seq))
        return self._as_it_stands(ia, changed)

    def _as_it_stands(self, ia: Association, binding: Binding) -> Granted:
        preferred = max(0, round(binding.preferred_until - self._now))
        valid = max(0, round(binding.valid_until - self._now))
        return Granted(ia, binding, preferred, valid)

    def _retire(self, binding: Binding, quarantine: float | None = None) -> None:
        proof = self._request.proof
        last_time = proof.time if proof else binding.last_time
        if quarantine is None:
            quarantine = self._config.lifetimes.of(binding.type).quarantine
        released = replace(retired(binding, self._now, quarantine), last_time=last_time)
        self.changes.append(Update(released, binding.seq))


def _is_of(binding: Binding, ia: Association) -> bool:
    return binding.iaid == ia.iaid and binding.is_address == isinstance(ia, IaNa)


def retired(binding: Binding, now: float, quarantine: float) -> Binding:
    """Return ``binding`` as it is when nobody holds it any longer."""
    return replace(
        binding,
        serving=None,
        link=None,
        next_hop=None,
        mac=None,
        seq=binding.seq + 1,
        state=BindingState.RELEASED,
        preferred_until=min(binding.preferred_until, now),
        valid_until=now + quarantine,
    )


def detached(binding: Binding, now: float, kept: float) -> Binding:
    """Return ``binding`` as it is when its client has left and the anchor keeps it for a while."""
    return replace(
        binding,
        serving=None,
        link=None,
        next_hop=None,
        mac=None,
        seq=binding.seq + 1,
        state=BindingState.DETACHED,
        valid_until=min(binding.valid_until, now + kept),
    )
