"""What becomes of one IA_PD: the rules of the service types, as changes of the binding store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Network

from moorage.router.authority import Claim, claim
from moorage.router.config import AccessLink, Keyless, RouterConfig
from moorage.router.pool import Pool
from moorage.router.request import Request, hint
from moorage.service import ServiceType
from moorage.store.model import Binding, BindingState
from moorage.store.protocol import Create, Update
from moorage.wire.dhcp6 import IaPd, RefusalReason


@dataclass(frozen=True, slots=True)
class Granted:
    """The client has the prefix of ``binding``, for so many seconds from now, and not ``gone``."""

    iaid: int
    binding: Binding
    preferred: int
    valid: int
    gone: tuple[IPv6Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The client must not use these prefixes any longer."""

    iaid: int
    type: ServiceType
    prefixes: tuple[IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The client gets nothing; ``type`` is what it asked for, or holds."""

    iaid: int
    type: ServiceType | None
    reason: RefusalReason


@dataclass(frozen=True, slots=True)
class Unbound:
    """We know of no such binding."""

    iaid: int


@dataclass(frozen=True, slots=True)
class Released:
    """The client gave the prefix back."""

    iaid: int


Outcome = Granted | Withdrawn | Refused | Unbound | Released


@dataclass(frozen=True, slots=True)
class Situation:
    """All that an answer depends on, apart from the message.

    Attributes:
        config: who we are and what we offer.
        link: the access link that the message came by.
        bindings: the bindings of the client, released ones among them.
        taken: whether a prefix has a binding, of whichever client.
        pool: what new prefixes are drawn from.
        waiting: since when keyless clients have been asking for prefixes that are served
            elsewhere.
        now: seconds since 1970.
    """

    config: RouterConfig
    link: AccessLink
    bindings: tuple[Binding, ...]
    taken: Callable[[IPv6Network], bool]
    pool: Pool
    waiting: Mapping[IPv6Network, float]
    now: float


class Lessor:
    """Judges the IA_PDs of one message, one after the other.

    Attributes:
        changes: what has to be committed before the outcomes are true.
        waiting: prefixes that a keyless client asked for too early.
    """

    def __init__(self, request: Request, situation: Situation) -> None:
        self.changes: list[Create | Update] = []
        self.waiting: set[IPv6Network] = set()
        self._request = request
        self._at = situation
        self._config = situation.config
        self._me = situation.config.id
        self._now = situation.now

    def assign(self, ia: IaPd) -> Outcome:
        """Solicit and Request: give the prefix that the client has, or a new one."""
        wanted = self._request.type_of(ia.iaid)
        if self._request.rejected:
            return Refused(ia.iaid, wanted, RefusalReason.SIGNATURE_OR_TIME)
        binding = self._held(ia.iaid)
        if binding is None:
            return self._create(ia, wanted)
        objection = self._objection(binding, wanted)
        if objection is not None:
            return objection
        if self._judge(binding) is Claim.REPEATED:
            return self._as_it_stands(binding)
        if self._must_wait(binding):
            return Refused(ia.iaid, binding.type, RefusalReason.TRY_LATER)
        if self._over(binding):
            self._retire(binding)
            return self._create(ia, wanted)
        return self._carry_on(binding)

    def extend(self, ia: IaPd) -> Outcome:
        """Renew and Rebind: the client goes on with its prefix, here, where it may have moved to.

        A keyless client whose prefix never moves is told that it is gone; the binding stays where
        it is, since nobody has proved that the client left.
        """
        wanted = self._request.type_of(ia.iaid)
        if self._request.rejected:
            return Refused(ia.iaid, wanted, RefusalReason.SIGNATURE_OR_TIME)
        binding = self._held(ia.iaid)
        if binding is None or binding.valid_until <= self._now:
            return Unbound(ia.iaid)
        objection = self._objection(binding, wanted)
        if objection is not None:
            return objection
        if self._judge(binding) is Claim.REPEATED:
            if self._is_here(binding):
                return self._as_it_stands(binding)
            return Refused(ia.iaid, binding.type, RefusalReason.SIGNATURE_OR_TIME)
        if self._must_wait(binding):
            if self._config.keyless is Keyless.NEVER:
                return Withdrawn(ia.iaid, binding.type, (binding.prefix,))
            return Refused(ia.iaid, binding.type, RefusalReason.TRY_LATER)
        if self._over(binding):
            self._retire(binding)
            return Withdrawn(ia.iaid, binding.type, (binding.prefix,))
        listed = tuple(lease.prefix for lease in ia.prefixes)
        gone = tuple(prefix for prefix in listed if prefix != binding.prefix)
        return replace(self._carry_on(binding), gone=gone)

    def release(self, ia: IaPd) -> Outcome:
        """Release: the client gives its prefix back."""
        if self._request.rejected:
            wanted = self._request.type_of(ia.iaid)
            return Refused(ia.iaid, wanted, RefusalReason.SIGNATURE_OR_TIME)
        binding = self._held(ia.iaid)
        if binding is None or binding.prefix not in {lease.prefix for lease in ia.prefixes}:
            return Unbound(ia.iaid)
        objection = self._objection(binding, binding.type)
        if objection is not None:
            return objection
        if self._judge(binding) is Claim.REPEATED:
            return Refused(ia.iaid, binding.type, RefusalReason.SIGNATURE_OR_TIME)
        if binding.key is None and binding.serving not in (self._me, None):
            return Refused(ia.iaid, binding.type, RefusalReason.NOT_AUTHORISED)
        self._retire(binding)
        return Released(ia.iaid)

    def _held(self, iaid: int) -> Binding | None:
        for binding in self._at.bindings:
            if binding.iaid == iaid and binding.held:
                return binding
        return None

    def _judge(self, binding: Binding) -> Claim:
        return claim(binding, self._request.proof)

    def _objection(self, binding: Binding, wanted: ServiceType | None) -> Refused | None:
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
        return Refused(binding.iaid, wanted, reason)

    def _is_here(self, binding: Binding) -> bool:
        return (
            binding.serving == self._me
            and binding.link == self._at.link.interface
            and binding.next_hop == self._request.source
        )

    def _must_wait(self, binding: Binding) -> bool:
        """Whether a client without a key moves before anybody saw it leave the other place."""
        if self._request.proof is not None or binding.serving is None or self._is_here(binding):
            return False
        match self._config.keyless:
            case Keyless.ALWAYS:
                return False
            case Keyless.NEVER:
                return True
        self.waiting.add(binding.prefix)
        since = self._at.waiting.get(binding.prefix, self._now)
        return self._now - since < self._config.hold

    def _over(self, binding: Binding) -> bool:
        """Whether the prefix has come to its end: by time, or since it does not move."""
        moved = binding.anchor != self._me
        return binding.valid_until <= self._now or (
            moved and binding.type is ServiceType.NON_PERSISTENT
        )

    def _create(self, ia: IaPd, wanted: ServiceType | None) -> Outcome:
        kind = wanted or self._config.default
        refusal = self._refusal(ia.iaid, kind)
        if refusal is not None:
            return Refused(ia.iaid, kind, refusal)
        prefix = self._draw(hint(ia))
        if prefix is None:
            return Refused(ia.iaid, kind, RefusalReason.POOL_FULL)
        lifetimes = self._config.lifetimes.of(kind)
        proof = self._request.proof
        binding = Binding(
            prefix=prefix,
            client=self._request.client,
            iaid=ia.iaid,
            type=kind,
            anchor=self._me,
            serving=self._me,
            link=self._at.link.interface,
            next_hop=self._request.source,
            seq=1,
            key=proof.key if proof else None,
            last_time=proof.time if proof else 0,
            state=BindingState.ACTIVE,
            preferred_until=self._now + lifetimes.preferred,
            valid_until=self._now + lifetimes.valid,
        )
        self.changes.append(Create(binding))
        return self._as_it_stands(binding)

    def _refusal(self, iaid: int, kind: ServiceType) -> RefusalReason | None:
        """Why the client gets no new prefix of this type."""
        if kind not in self._config.offered_types:
            return RefusalReason.TYPE_NOT_OFFERED
        policy = self._config.policy
        if policy is not None and kind not in policy.permitted_types:
            return RefusalReason.NOT_AUTHORISED
        proof = self._request.proof
        for binding in self._at.bindings:
            if binding.iaid == iaid and claim(binding, proof) in (Claim.STALE, Claim.REPEATED):
                # An old Solicit must not bring back what its sender has released since.
                return RefusalReason.SIGNATURE_OR_TIME
        bindings = {binding.prefix: binding for binding in self._at.bindings}
        bindings |= {change.prefix: change.binding for change in self.changes}
        # What others asked for in a keyed client's name does not count against it.
        key = proof.key if proof else None
        holds = sum(binding.held and binding.key == key for binding in bindings.values())
        return RefusalReason.QUOTA if holds >= self._config.quota else None

    def _draw(self, wish: IPv6Network | None) -> IPv6Network | None:
        mine = {change.prefix for change in self.changes}

        def taken(prefix: IPv6Network) -> bool:
            return prefix in mine or self._at.taken(prefix)

        if wish is not None and wish in self._at.pool and not taken(wish):
            return wish
        return self._at.pool.draw(taken)

    def _carry_on(self, binding: Binding) -> Granted:
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
            link=self._at.link.interface,
            next_hop=self._request.source,
            seq=binding.seq + 1,
            key=proof.key if proof else binding.key,
            last_time=proof.time if proof else binding.last_time,
            state=BindingState.ACTIVE,
            preferred_until=preferred_until,
            valid_until=valid_until,
        )
        self.changes.append(Update(changed, binding.seq))
        return self._as_it_stands(changed)

    def _as_it_stands(self, binding: Binding) -> Granted:
        def remaining(until: float) -> int:
            return max(0, round(until - self._now))

        return Granted(
            binding.iaid,
            binding,
            remaining(binding.preferred_until),
            remaining(binding.valid_until),
        )

    def _retire(self, binding: Binding) -> None:
        proof = self._request.proof
        last_time = proof.time if proof else binding.last_time
        quarantine = self._config.lifetimes.of(binding.type).quarantine
        released = replace(retired(binding, self._now, quarantine), last_time=last_time)
        self.changes.append(Update(released, binding.seq))


def retired(binding: Binding, now: float, quarantine: float) -> Binding:
    """Return ``binding`` as it is when nobody holds it any longer."""
    return replace(
        binding,
        serving=None,
        link=None,
        next_hop=None,
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
        seq=binding.seq + 1,
        state=BindingState.DETACHED,
        valid_until=min(binding.valid_until, now + kept),
    )
