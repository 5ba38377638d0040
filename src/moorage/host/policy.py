"""What the host's policy says of a request, and why (draft sections 3.4 and 7).

A pure function of the policy file, the caller, the request and what the network dictates. How much
of a quota is left is another matter (`moorage.host.quota`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from moorage.host.caller import Caller
from moorage.host.config import Authority, HostConfig, Obedience
from moorage.host.peer import unit_of
from moorage.host.rules import Rule
from moorage.kernel.hooks import Rights
from moorage.service import ServiceType
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import NetworkPolicy

_ORDINARY = ServiceType.NON_PERSISTENT
_LEFT_OVER = Rule(types=[_ORDINARY.slug])
"""For a caller that no rule fits: what every network gives by itself, and no more."""
_REMEMBERED = 1024
"""An application asks the same again and again, and waits for the answer."""


@dataclass(frozen=True, slots=True)
class Step:
    """One link in the chain of a decision.

    Attributes:
        about: what was looked at: ``rule``, ``type``, ``host``, ``network``, ``address`` or
            ``quota``.
        found: what was found, in words.
        refusal: why the request fails here; `Reason.NONE` if it does not.
    """

    about: str
    found: str
    refusal: Reason = Reason.NONE


@dataclass(frozen=True, slots=True)
class Decision:
    """What a caller gets, and how that was decided.

    Attributes:
        type: what he gets; none: the network chooses (5.2-d), among ``permitted``.
        permitted: the types that he may have.
        fresh: whether it has to be an address of its own although there may be one.
        steps: what was looked at, in order; the last one is the one that failed, if any did.
    """

    type: ServiceType | None
    permitted: frozenset[ServiceType]
    fresh: bool
    steps: tuple[Step, ...]

    @property
    def refusal(self) -> Reason:
        """Why he gets nothing; `Reason.NONE` if he gets it."""
        return self.steps[-1].refusal

    def after(self, step: Step) -> Decision:
        """Return the decision when one more thing was looked at."""
        return Decision(self.type, self.permitted, self.fresh, (*self.steps, step))


class Policy:
    """The policy file in force."""

    def __init__(self, config: HostConfig) -> None:
        self._rules = config.rules
        self._obedience = config.network_policy
        self._default = config.type_by_default
        self._at_boot = config.types_at_boot
        self._kept = config.types_kept
        self._fresh = config.types_fresh
        self._authority = config.authority
        self.rights = lru_cache(1)(self._rights_of_users)
        self._remembered = lru_cache(_REMEMBERED)(self._decide)

    def decide(
        self,
        caller: Caller,
        wanted: ServiceType | None,
        network: NetworkPolicy | None,
        *,
        on_net: bool = False,
    ) -> Decision:
        """Return what ``caller`` gets who asks for the type ``wanted``, or names none.

        Args:
            caller: who asks.
            wanted: the type that he names; none: he leaves it to policy.
            network: what the operator of the present network dictates, if anything.
            on_net: whether the address has to be new from the present network (draft 6.2).
        """
        return self._remembered(caller, wanted, network, on_net)

    def _decide(
        self,
        caller: Caller,
        wanted: ServiceType | None,
        network: NetworkPolicy | None,
        on_net: bool,
    ) -> Decision:
        name, rule = self._rule(caller)
        kind, origin = self._type(caller, wanted, name, rule, network)
        by_network = self._permitted_by(network)
        fresh, why = self._freshness(kind, name, rule, on_net=on_net)
        steps = (
            Step("rule", f"{name} fits"),
            Step("type", origin),
            _permission("host", name, rule.permitted, kind, Reason.HOST_NOT_AUTHORISED),
            _permission("network", "the network", by_network, kind, Reason.NOT_AUTHORISED),
            Step("address", why),
        )
        return Decision(kind, rule.permitted & by_network, fresh, _until_refused(steps))

    def at_boot(self, network: NetworkPolicy | None) -> list[ServiceType]:
        """Return the types to have an address of whenever there is a network; never Non-persistent.

        The default type is among them, since whoever names none may need it at any moment.
        """
        wanted = set(self._at_boot)
        default = self.default_type(network)
        if default is not None:
            wanted.add(default)
        if network is not None and self._obedience is Obedience.FOLLOW:
            wanted |= network.boot
        return sorted((wanted & self._permitted_by(network)) - {_ORDINARY})

    def default_type(self, network: NetworkPolicy | None) -> ServiceType | None:
        """Return the type for everybody who names none, if somebody has decided on one."""
        if self._default is None and network is not None and self._obedience is Obedience.FOLLOW:
            return network.default
        return self._default

    @property
    def knows_groups(self) -> bool:
        """Whether there are control groups with a default of their own; see `default_within`."""
        return any(rule.by_group_alone and rule.default for rule in self._rules)

    def default_within(self, cgroup: str) -> ServiceType | None:
        """Return the type for programs in a control group that do not ask, if a rule gives one.

        It is the default of the first rule that fits by the group alone, if each before it that may
        be about somebody there permits the type: nobody gets what he would be refused.
        """
        unit = unit_of(cgroup)
        permitted = frozenset(ServiceType)
        for rule in self._rules:
            if not rule.may_fit(unit, cgroup):
                continue
            permitted &= rule.permitted
            if rule.by_group_alone:
                return rule.default_type if rule.default_type in permitted else None
            if rule.by_user_alone and not rule.users:  # it is about everybody
                break
        return None

    def keeps(self, kind: ServiceType) -> bool:
        """Whether an address of this type stays when its last socket has closed (3.4-e)."""
        return kind in self._kept

    def restricted(self, network: NetworkPolicy | None) -> frozenset[ServiceType]:
        """Return the types whose addresses not every user may use without ``setsc()``."""
        return frozenset().union(
            *(frozenset(ServiceType) - each.by_himself for each in self.rights(network).values())
        )

    def _rights_of_users(self, network: NetworkPolicy | None) -> dict[int | None, Rights]:
        """Return what can be said of users; none stands for all whom no rule names."""
        named = {uid for rule in self._rules for uid in rule.users}
        return {user: self._rights_of(user, network) for user in (None, *sorted(named))}

    def _rights_of(self, user: int | None, network: NetworkPolicy | None) -> Rights:
        """Return what a user may have for sure, and what if other things are in his favour."""
        surely = self._permitted_by(network)
        perhaps: frozenset[ServiceType] = frozenset()
        for rule in (*self._rules, _LEFT_OVER):
            if rule.users and user not in rule.users:
                continue
            own = rule.types_fresh
            surely &= rule.permitted - (self._fresh if own is None else own)
            perhaps |= rule.permitted
            if rule.by_user_alone:
                break
        return Rights(surely, perhaps if self._authority is Authority.USER else frozenset())

    def _rule(self, caller: Caller) -> tuple[str, Rule]:
        for number, rule in enumerate(self._rules):
            if rule.fits(caller):
                return f"rule[{number}]", rule
        return "no rule", _LEFT_OVER

    def _type(
        self,
        caller: Caller,
        wanted: ServiceType | None,
        name: str,
        rule: Rule,
        network: NetworkPolicy | None,
    ) -> tuple[ServiceType | None, str]:
        """Return the type, and who chose it."""
        if wanted is not None:
            who = "a rule for the control group" if caller.is_group else "the application"
            return wanted, f"{wanted.slug}, named by {who}"
        if rule.default_type is not None:
            return rule.default_type, f"{rule.default_type.slug}, default of {name}"
        kind = self.default_type(network)
        if kind is not None:
            whose = "network" if self._default is None else "host"
            return kind, f"{kind.slug}, default of the {whose}"
        return None, "left to the network"

    def _permitted_by(self, network: NetworkPolicy | None) -> frozenset[ServiceType]:
        if network is None or self._obedience is Obedience.IGNORE:
            return frozenset(ServiceType)
        # An ordinary address is not asked for, so nobody has to permit it.
        return network.permitted | {_ORDINARY}

    def _freshness(
        self, kind: ServiceType | None, name: str, rule: Rule, *, on_net: bool
    ) -> tuple[bool, str]:
        """Return whether an address of its own is due, and why."""
        if on_net:
            return True, "a new one of the present network, as the application requires"
        own = rule.types_fresh
        if kind in (self._fresh if own is None else own):
            return True, f"a fresh one for each socket, by {'fresh' if own is None else name}"
        return False, "one that is there may be used"


def _permission(
    about: str,
    who: str,
    permitted: frozenset[ServiceType],
    kind: ServiceType | None,
    refusal: Reason,
) -> Step:
    allowed = ", ".join(each.slug for each in sorted(permitted)) or "nothing"
    if kind is None or kind in permitted:
        return Step(about, f"{who} permits {allowed}")
    return Step(about, f"{who} permits {allowed}, not {kind.slug}", refusal)


def _until_refused(steps: Iterable[Step]) -> tuple[Step, ...]:
    taken: list[Step] = []
    for step in steps:
        taken.append(step)
        if step.refusal is not Reason.NONE:
            break
    return tuple(taken)
