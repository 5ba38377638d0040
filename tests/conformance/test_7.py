"""Draft section 7: who may use costly types, and how much of them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path

import pytest

import moorage
from moorage.service import ServiceType
from moorage.wire.dhcp6 import IaPd, MessageType
from tests.conformance.callers import ROOT, SOMEBODY, SOMEBODY_ELSE, asking, control_group, got
from tests.conformance.conftest import LINGER, Stage
from tests.conformance.scene import Scene, eventually

pytestmark = pytest.mark.netns

GROUP = 2002
SLICE, UNIT = "moorage-test.slice", "telemetry.service"
EVERYBODY = ["session-lasting", "non-persistent"]
RULES = [
    {"users": ["root", str(SOMEBODY)], "types": ["fixed"]},
    {"groups": [str(GROUP)], "types": ["fixed"]},
    {"executables": ["*/agent"], "types": ["fixed"]},
    {"units": [UNIT], "types": ["fixed"]},
    {"cgroups": [f"/{SLICE}/*"], "types": ["graceful-replacement"]},
    {"types": EVERYBODY},
]


@pytest.fixture(scope="module")
def ruled(stage: Stage) -> Iterator[Scene]:
    """A host that gives Fixed addresses to some."""
    with stage(host={"linger": LINGER, "at_boot": [], "rule": RULES}) as scene:
        eventually(scene.settled)
        yield scene


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another program, which does the same."""
    path = tmp_path_factory.mktemp("bin") / "agent"
    shutil.copy(Path(sys.executable).resolve(), path)
    return path


# ---- authority ---------------------------------------------------------------------------------


def test_a_user_is_authorised(ruled: Scene) -> None:
    """7-a: the same program gets a Fixed address as one user and is refused it as another."""
    for uid in (ROOT, SOMEBODY):
        assert isinstance(got(ruled.host, "fixed", uid=uid), IPv6Address)
    assert got(ruled.host, "fixed", uid=SOMEBODY_ELSE) == "HOST_NOT_AUTHORISED"


def test_a_group_is_authorised(ruled: Scene) -> None:
    """7-a: the same user gets a Fixed address in one group and is refused it in another."""
    assert isinstance(got(ruled.host, "fixed", uid=SOMEBODY_ELSE, gid=GROUP), IPv6Address)
    assert got(ruled.host, "fixed", uid=SOMEBODY_ELSE) == "HOST_NOT_AUTHORISED"


def test_a_program_is_authorised(ruled: Scene, agent: Path) -> None:
    """7-a: the same user gets a Fixed address by one program and is refused it by another."""
    found = got(ruled.host, "fixed", uid=SOMEBODY_ELSE, executable=agent)
    assert isinstance(found, IPv6Address)
    assert got(ruled.host, "fixed", uid=SOMEBODY_ELSE) == "HOST_NOT_AUTHORISED"


def test_a_unit_and_a_control_group_are_authorised(ruled: Scene) -> None:
    """7-a: the same user gets in one unit, or control group, what he is refused outside of it."""
    with control_group(SLICE, UNIT) as unit:
        if unit is None:
            pytest.skip("control groups cannot be made here")
        found = got(ruled.host, "fixed", uid=SOMEBODY_ELSE, cgroup=unit)
    assert isinstance(found, IPv6Address)
    with control_group(SLICE, "other.service") as other:
        found = got(ruled.host, "graceful-replacement", uid=SOMEBODY_ELSE, cgroup=other)
    assert isinstance(found, IPv6Address)
    assert got(ruled.host, "graceful-replacement", uid=SOMEBODY_ELSE) == "HOST_NOT_AUTHORISED"


def test_a_refusal_costs_the_network_nothing(ruled: Scene) -> None:
    """7-a: an unauthorised request fails at once, and no message leaves for it."""
    tap, before = ruled.tap(), {binding.prefix for binding in ruled.bindings()}
    with asking(ruled.host, *["fixed+"] * 20, uid=SOMEBODY_ELSE) as answers:
        assert set(answers) == {"HOST_NOT_AUTHORISED"}
    assert tap.messages(MessageType.SOLICIT) == []
    assert {binding.prefix for binding in ruled.bindings()} <= before


def test_an_address_of_the_authorised_is_not_for_others(ruled: Scene) -> None:
    """7-a: that a Fixed address is there does not give it to who may not have one."""
    with asking(ruled.host, "fixed") as [found]:
        assert isinstance(found, IPv6Address)
        assert got(ruled.host, "fixed", uid=SOMEBODY_ELSE) == "HOST_NOT_AUTHORISED"


def test_without_rules_of_ones_own_fixed_addresses_are_roots(bare: Scene) -> None:
    """7-a: by default the costly type is for root, and the others for everybody."""
    assert isinstance(got(bare.host, "fixed", uid=ROOT), IPv6Address)
    kinds = ["fixed", *EVERYBODY, "graceful-replacement"]
    with asking(bare.host, *kinds) as [refused, *given]:
        assert refused == "HOST_NOT_AUTHORISED"
        assert all(isinstance(answer, IPv6Address) for answer in given)


# ---- quotas ------------------------------------------------------------------------------------


@pytest.fixture
def rationed(stage: Stage) -> Iterator[Scene]:
    """A host where one program has three addresses, one user four, and all together six."""
    quota = {
        "application": {"addresses": 3, "requests": 100},
        "user": {"addresses": 4, "requests": 100},
        "all": {"addresses": 6, "requests": 100},
    }
    with stage(host={"linger": LINGER, "at_boot": [], "quota": quota}) as scene:
        eventually(scene.settled)
        yield scene


def test_nobody_exhausts_a_type_for_others(rationed: Scene, agent: Path) -> None:
    """7-b: a program that asks on and on stops at its quota, its user at his, all at theirs."""
    greedy = ["session-lasting+"] * 5
    with asking(rationed.host, *greedy) as first:
        assert first[3:] == ["HOST_QUOTA"] * 2
        assert len(set(first[:3])) == 3
        with asking(rationed.host, *greedy, executable=agent) as second:
            assert second[1:] == ["HOST_QUOTA"] * 4
            tap = rationed.tap()
            with asking(rationed.host, "session-lasting+") as third:
                assert third == ["HOST_QUOTA"]
            assert tap.messages() == []
            with asking(rationed.host, *greedy, uid=SOMEBODY_ELSE) as others:
                assert others[2:] == ["HOST_QUOTA"] * 3
                assert len({*first[:3], second[0], *others[:2]}) == 6
                assert len(rationed.of_type(ServiceType.SESSION_LASTING)) == 6
    eventually(lambda: not rationed.bindings())
    with rationed.new_socket() as sock:
        assert moorage.setsc(sock, ServiceType.SESSION_LASTING) in rationed.typed()


def test_nobody_asks_the_network_on_and_on(stage: Stage) -> None:
    """7-b: who opens and closes sockets in a loop makes the host ask so often and no more."""
    quota = {"application": {"requests": 4}, "user": {"requests": 6}, "all": {"requests": 100}}
    with stage(host={"linger": {"session-lasting": 0}, "at_boot": [], "quota": quota}) as scene:
        eventually(scene.settled)
        tap = scene.tap()
        answers = [got(scene.host, "session-lasting+") for _ in range(6)]
        assert [isinstance(answer, IPv6Address) for answer in answers] == [True] * 4 + [False] * 2
        assert answers[4:] == ["HOST_QUOTA"] * 2
        assert isinstance(got(scene.host, "session-lasting+", uid=SOMEBODY_ELSE), IPv6Address)
        solicits = tap.messages(MessageType.SOLICIT)
        assert len({ia.iaid for solicit in solicits for ia in solicit.every(IaPd)}) == 5
