from __future__ import annotations

import grp
import pwd
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.accounts import GroupId, UserId
from moorage.host.caller import Caller
from moorage.host.rules import Rule, default_rules
from moorage.service import ServiceType

TELEMETRY = Caller(
    7,
    1,
    993,
    frozenset({993, 20}),
    "/opt/telemetry/bin/agent",
    "telemetry.service",
    "/system.slice",
)
STRANGER = Caller(0, None, 1000, frozenset({1000}))

callers = st.builds(
    Caller,
    pid=st.just(7),
    started=st.just(1),
    uid=st.integers(0, 3),
    gids=st.frozensets(st.integers(0, 3)),
    executable=st.sampled_from([None, "/usr/bin/a", "/usr/bin/b", "/opt/a"]),
    unit=st.sampled_from([None, "a.service", "b.service"]),
    cgroup=st.sampled_from([None, "/", "/system.slice/a.service"]),
)
rules = st.builds(
    Rule,
    users=st.lists(st.builds(UserId, st.integers(0, 3)), max_size=2),
    groups=st.lists(st.builds(GroupId, st.integers(0, 3)), max_size=2),
    units=st.lists(st.sampled_from(["a.service", "?.service", "c.*"]), max_size=2),
    cgroups=st.lists(st.sampled_from(["*", "/system.slice/*"]), max_size=2),
    executables=st.lists(st.sampled_from(["/usr/bin/a", "/usr/*", "*/[ab]"]), max_size=2),
)
CONDITIONS = ("users", "groups", "units", "cgroups", "executables")


@pytest.mark.parametrize(
    "rule",
    [
        Rule(),
        Rule(users=[UserId(1), UserId(993)]),
        Rule(groups=[GroupId(20)]),
        Rule(units=["telemetry.service"]),
        Rule(units=["ssh.service", "tele*"]),
        Rule(cgroups=["/system.slice"]),
        Rule(executables=["/opt/*"]),
        Rule(executables=["/opt/telemetry/bin/agen[st]"], users=[UserId(993)]),
    ],
)
def test_fits(rule: Rule) -> None:
    assert rule.fits(TELEMETRY)


@pytest.mark.parametrize(
    "rule",
    [
        Rule(users=[UserId(0)]),
        Rule(groups=[GroupId(0)]),
        Rule(units=["telemetry"]),
        Rule(cgroups=["/user.slice/*"]),
        Rule(executables=["agent"]),
        Rule(executables=["/opt/telemetry/bin/agent"], users=[UserId(1)]),
    ],
)
def test_does_not_fit(rule: Rule) -> None:
    assert not rule.fits(TELEMETRY)


@pytest.mark.parametrize("rule", [Rule(units=["*"]), Rule(cgroups=["*"]), Rule(executables=["*"])])
def test_what_is_not_known_of_a_caller_fits_no_pattern(rule: Rule) -> None:
    assert not rule.fits(STRANGER)


@given(rules, callers)
def test_a_rule_fits_where_each_of_its_lists_does(rule: Rule, caller: Caller) -> None:
    alone = [Rule(**{key: getattr(rule, key)}) for key in CONDITIONS]
    assert rule.fits(caller) == all(part.fits(caller) for part in alone)


@given(rules, callers)
def test_only_what_the_kernel_says_for_certain_counts(rule: Rule, caller: Caller) -> None:
    """A caller of whom less is known never fits more."""
    less = replace(caller, executable=None, unit=None, cgroup=None)
    assert rule.fits(caller) or not rule.fits(less)


@given(rules)
def test_a_rule_without_types_permits_all(rule: Rule) -> None:
    assert rule.permitted == set(ServiceType)


def test_without_rules_only_root_may_have_fixed_addresses() -> None:
    root, everybody = default_rules()
    assert root.fits(replace(STRANGER, uid=0))
    assert not root.fits(STRANGER)
    assert root.permitted == set(ServiceType)
    assert everybody.fits(STRANGER)
    assert everybody.permitted == set(ServiceType) - {ServiceType.FIXED}


def test_users_and_groups_are_named_or_numbered() -> None:
    user, group = pwd.getpwall()[-1], grp.getgrall()[-1]
    assert UserId.parse(user.pw_name) == UserId.parse(str(user.pw_uid)) == user.pw_uid
    assert GroupId.parse(group.gr_name) == GroupId.parse(str(group.gr_gid)) == group.gr_gid
    assert str(UserId(0)) == pwd.getpwuid(0).pw_name
    assert str(GroupId(0)) == grp.getgrgid(0).gr_name
    assert (str(UserId(2**32 - 2)), str(GroupId(2**32 - 2))) == ("4294967294", "4294967294")
