"""Who gets in: judges requests by policy and quotas, and remembers how, for whoever asks why."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

from moorage.host.caller import Caller
from moorage.host.config import HostConfig
from moorage.host.policy import Decision, Policy, Step
from moorage.host.quota import Holder, Quotas, Standing
from moorage.service import ServiceType
from moorage.wire.app import Reason, Reply
from moorage.wire.dhcp6 import NetworkPolicy

_REMEMBERED = 1024
_HAD = Step("quota", "one that the application has already")


@dataclass(slots=True)
class Judgement:
    """What was decided about a request.

    Attributes:
        caller: who asked.
        holder: who is answerable for what comes of it.
        cookie: the socket that it is for, none if it is for none.
        at: when, in seconds on the core's clock.
        decision: what policy says, and then what the quotas say.
        answer: what the caller was told; none: he waits, or went away.
    """

    caller: Caller
    holder: Holder
    cookie: int | None
    at: float
    decision: Decision
    answer: Reply | None = None


class Admission:
    """The policy and the quotas in force, and the last judgement about each socket."""

    def __init__(self, config: HostConfig) -> None:
        self.policy = Policy(config)
        self._quotas = Quotas(config.quota)
        self._judgements: dict[Hashable, Judgement] = {}

    @property
    def judgements(self) -> Collection[Judgement]:
        """The last judgement about each socket, and each caller that asked without one.

        The oldest comes first. So many are remembered, whether or not the sockets still live.
        """
        return self._judgements.values()

    def change(self, config: HostConfig) -> None:
        """Judge by another policy file from now on; what is in use stays so."""
        self.policy = Policy(config)
        self._quotas.change(config.quota)

    def judge(
        self,
        caller: Caller,
        cookie: int | None,
        wanted: ServiceType | None,
        network: NetworkPolicy | None,
        now: float,
        *,
        on_net: bool = False,
    ) -> Judgement:
        """Return what policy says of a request; see `Policy.decide`."""
        decision = self.policy.decide(caller, wanted, network, on_net=on_net)
        holder = Holder(caller.uid, caller.executable)
        judgement = Judgement(caller, holder, cookie, now, decision)
        key = caller if cookie is None else cookie
        self._judgements.pop(key, None)
        self._judgements[key] = judgement
        if len(self._judgements) > _REMEMBERED:
            del self._judgements[next(iter(self._judgements))]
        return judgement

    def may_have(self, judgement: Judgement, lease: int, leases: Collection[int]) -> bool:
        """Whether the caller may have the address of one of the ``leases`` as well."""
        if self.has(judgement, lease):
            return True
        return self._weigh(judgement, self._quotas.addresses(judgement.holder, leases)[:-1])

    def has(self, judgement: Judgement, lease: int) -> bool:
        """Whether the address of a lease counts for the caller already; if so, that is noted."""
        held = self._quotas.holds(lease, judgement.holder)
        if held:
            judgement.decision = judgement.decision.after(_HAD)
        return held

    def may_ask(self, judgement: Judgement, leases: Collection[int], now: float) -> bool:
        """Whether the caller may make the host ask for a lease; if he may, that is counted."""
        holder = judgement.holder
        addresses = self._quotas.addresses(holder, leases)
        requests = self._quotas.requests(holder, now)
        allowed = self._weigh(judgement, (*addresses, *requests))
        if allowed:
            self._quotas.take(holder, now)
        return allowed

    def quotas_suffice(self, leases: int) -> bool:
        """Whether of so many leases nobody can have more than he may."""
        return self._quotas.suffice(leases)

    def asked(self, judgement: Judgement, lease: int) -> None:
        """Note that the network is asked for a lease because of a request."""
        self._quotas.caused(lease, judgement.holder)

    def given(self, judgement: Judgement, lease: int) -> None:
        """Note that the caller has the address of a lease."""
        if judgement.cookie is not None:
            self._quotas.opened(lease, judgement.cookie, judgement.holder)

    def closed(self, cookie: int) -> None:
        """Note that a socket has ended."""
        self._quotas.closed(cookie)

    def _weigh(self, judgement: Judgement, standings: Sequence[Standing]) -> bool:
        exhausted = any(standing.exhausted for standing in standings)
        refusal = Reason.HOST_QUOTA if exhausted else Reason.NONE
        found = ", ".join(
            f"{standing.what} of {standing.party}: {standing.used} of {standing.limit}"
            for standing in standings
        )
        judgement.decision = judgement.decision.after(Step("quota", found, refusal))
        return not exhausted
