from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.accounts import UserId
from moorage.host.config import Obedience
from moorage.host.policy import Decision, Policy
from moorage.host.rules import Rule
from moorage.service import ServiceType
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import NetworkPolicy
from tests.scripted import CALLER, FIXED, GRACEFUL, LASTING, ORDINARY, USER, config
from tests.unit.host.test_rules import callers, rules

ALL = frozenset(ServiceType)


def policy(**changes: Any) -> Policy:
    return Policy(config(**changes))


def dictates(
    *permitted: ServiceType,
    boot: Iterable[ServiceType] = (),
    default: ServiceType | None = None,
) -> NetworkPolicy:
    return NetworkPolicy(frozenset(permitted or ALL), frozenset(boot), default)


def chain(decision: Decision) -> list[str]:
    return [step.about for step in decision.steps]


# ---- rules -------------------------------------------------------------------------------------


def test_the_first_rule_that_fits_decides() -> None:
    ordered = policy(
        rules=[
            Rule(users=[UserId(0)], types=["fixed"]),
            Rule(executables=["/usr/bin/*"], types=["session-lasting"]),
            Rule(),
        ]
    )
    assert ordered.decide(CALLER, FIXED, None).refusal is Reason.NONE
    refused = ordered.decide(USER, FIXED, None)
    assert refused.refusal is Reason.HOST_NOT_AUTHORISED
    assert refused.steps[0].found == "rule[1] fits"
    assert refused.steps[-1].found == "rule[1] permits session-lasting, not fixed"
    elsewhere = replace(USER, executable="/opt/agent")
    assert ordered.decide(elsewhere, FIXED, None).refusal is Reason.NONE


def test_who_fits_no_rule_has_the_ordinary_address_only() -> None:
    strict = policy(rules=[Rule(users=[UserId(0)])])
    assert strict.decide(USER, ORDINARY, None).refusal is Reason.NONE
    for kind in (FIXED, LASTING, GRACEFUL):
        assert strict.decide(USER, kind, None).refusal is Reason.HOST_NOT_AUTHORISED


@given(st.lists(rules, max_size=4), callers, st.sampled_from(ServiceType))
def test_a_caller_gets_what_his_rule_permits(
    ordered: list[Rule], caller: Any, kind: ServiceType
) -> None:
    decision = policy(rules=ordered).decide(caller, kind, None)
    fitting = [rule for rule in ordered if rule.fits(caller)]
    permitted = fitting[0].permitted if fitting else {ORDINARY}
    assert (decision.refusal is Reason.NONE) == (kind in permitted)
    assert decision.type is kind


def test_the_chain_is_whole_or_ends_where_the_request_does() -> None:
    assert chain(policy().decide(CALLER, FIXED, None)) == [
        "rule",
        "type",
        "host",
        "network",
        "address",
    ]
    assert chain(policy().decide(USER, FIXED, None)) == ["rule", "type", "host"]
    limited = policy().decide(CALLER, FIXED, dictates(LASTING))
    assert chain(limited) == ["rule", "type", "host", "network"]


# ---- the type of those who name none ---------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "host", "network", "kind", "whose"),
    [
        ("fixed", "session-lasting", GRACEFUL, FIXED, "default of rule[0]"),
        ("", "session-lasting", GRACEFUL, LASTING, "default of the host"),
        ("", "", GRACEFUL, GRACEFUL, "default of the network"),
        ("", "", None, None, "left to the network"),
    ],
)
def test_who_chooses_the_type(
    rule: str, host: str, network: ServiceType | None, kind: ServiceType | None, whose: str
) -> None:
    followed = policy(
        rules=[Rule(default=rule)], default_type=host, network_policy=Obedience.FOLLOW
    )
    decision = followed.decide(USER, None, dictates(default=network))
    assert (decision.type, decision.refusal) == (kind, Reason.NONE)
    assert decision.steps[1].found.endswith(whose)


def test_a_default_that_a_caller_may_not_have_is_refused() -> None:
    decision = policy(default_type="fixed").decide(USER, None, None)
    assert (decision.type, decision.refusal) == (FIXED, Reason.HOST_NOT_AUTHORISED)


def test_the_networks_choice_is_among_what_is_permitted() -> None:
    decision = policy().decide(USER, None, dictates(FIXED, LASTING))
    assert decision.refusal is Reason.NONE
    assert decision.permitted == {LASTING, ORDINARY}


# ---- what the network dictates ---------------------------------------------------------------


@pytest.mark.parametrize("obedience", [Obedience.FOLLOW, Obedience.LIMIT])
def test_only_what_the_network_permits_is_asked_for(obedience: Obedience) -> None:
    heeding = policy(network_policy=obedience, at_boot=["session-lasting", "fixed"])
    network = dictates(LASTING)
    decision = heeding.decide(CALLER, FIXED, network)
    assert decision.refusal is Reason.NOT_AUTHORISED
    assert decision.steps[-1].found.startswith("the network permits session-lasting")
    assert heeding.decide(CALLER, LASTING, network).refusal is Reason.NONE
    assert heeding.decide(CALLER, ORDINARY, network).refusal is Reason.NONE
    assert heeding.at_boot(network) == [LASTING]


def test_what_is_not_heeded_changes_nothing() -> None:
    ignoring = policy(network_policy=Obedience.IGNORE, at_boot=["fixed"])
    network = dictates(LASTING, boot={LASTING}, default=LASTING)
    assert ignoring.decide(CALLER, FIXED, network) == ignoring.decide(CALLER, FIXED, None)
    assert ignoring.decide(CALLER, None, network) == ignoring.decide(CALLER, None, None)
    assert ignoring.at_boot(network) == [FIXED]


def test_boot_set_and_default_type_are_followed_only_on_demand() -> None:
    network = dictates(boot={GRACEFUL, ORDINARY}, default=LASTING)
    limited = policy(at_boot=["fixed"])
    assert limited.at_boot(network) == [FIXED]
    assert limited.default_type(network) is None
    followed = policy(at_boot=["fixed"], network_policy=Obedience.FOLLOW)
    assert followed.at_boot(network) == [FIXED, LASTING, GRACEFUL]
    assert followed.at_boot(None) == [FIXED]
    assert followed.default_type(network) is LASTING


def test_the_default_type_is_there_from_boot_unless_every_network_gives_it() -> None:
    assert policy(default_type="session-lasting").at_boot(None) == [LASTING]
    assert policy(default_type="non-persistent").at_boot(None) == []


# ---- fresh or not, kept or not -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("for_all", "by_rule", "on_net", "fresh"),
    [
        ([], None, False, False),
        ([], None, True, True),
        (["session-lasting"], None, False, True),
        (["fixed"], None, False, False),
        (["session-lasting"], [], False, False),
        ([], ["session-lasting"], False, True),
        (["session-lasting"], [], True, True),
    ],
)
def test_fresh_addresses(
    for_all: list[str], by_rule: list[str] | None, on_net: bool, fresh: bool
) -> None:
    decided = policy(fresh=for_all, rules=[Rule(fresh=by_rule)])
    assert decided.decide(USER, LASTING, None, on_net=on_net).fresh is fresh


def test_which_types_are_kept() -> None:
    assert [kind for kind in ServiceType if policy().keeps(kind)] == [FIXED]
    lasting = policy(keep=["session-lasting"])
    assert [kind for kind in ServiceType if lasting.keeps(kind)] == [LASTING]
