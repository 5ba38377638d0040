"""Control groups to which rules give types; groups and hooks are in memory."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from moorage.accounts import UserId
from moorage.host.config import HostConfig
from moorage.host.group_defaults import GroupDefaults
from moorage.host.policy import Policy
from moorage.host.rules import Rule
from moorage.kernel.fake_cgroups import FakeSource
from moorage.service import ServiceType

FIXED, LASTING = ServiceType.FIXED, ServiceType.SESSION_LASTING
HERE = IPv6Address("2001:db8::1")
WEB, WORKER, OTHER = (
    "/system.slice/web.service",
    "/system.slice/web.service/worker",
    "/system.slice/other.service",
)
FIXED_FOR_WEB = Rule(units=["web.service"], default="fixed")


class FakeGroups:
    """`PopulatedGroups` that the test fills."""

    def __init__(self) -> None:
        self.populated: dict[str, int] = {}
        self.wanted: Callable[[str], bool] | None = None

    def fileno(self) -> int:
        raise NotImplementedError

    def want(self, wanted: Callable[[str], bool]) -> None:
        self.wanted = wanted

    def read(self) -> dict[str, int]:
        wanted = self.wanted
        if wanted is None:
            return {}
        return {path: number for path, number in self.populated.items() if wanted(path)}

    def folder(self, path: str) -> Path:
        return Path("/", path.lstrip("/"))

    def close(self) -> None:
        pass


class Scene:
    def __init__(self) -> None:
        self.groups = FakeGroups()
        self.sources: dict[str, FakeSource] = {}
        self.types: dict[str, ServiceType] = {}
        self.complaints: list[str] = []
        self.works = True
        self.defaults = GroupDefaults(self.groups, self._hook, self.complaints.append)

    def _hook(self, group: Path, service: ServiceType) -> FakeSource:
        if not self.works:
            raise OSError(1, "no hooks here")
        self.types[str(group)] = service
        self.sources[str(group)] = FakeSource()
        return self.sources[str(group)]

    def go_by(self, *rules: Rule) -> None:
        self.defaults.go_by(policy(*rules))

    def follow(self) -> tuple[list[str], list[str]]:
        over, new = self.defaults.follow()
        return [group.path for group in over], [group.path for group in new]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def policy(*rules: Rule) -> Policy:
    return Policy(HostConfig(interfaces=["wl0"], rules=list(rules)))


def test_a_group_has_a_type_while_it_has_processes(scene: Scene) -> None:
    scene.go_by(FIXED_FOR_WEB)
    assert scene.follow() == ([], [])
    scene.groups.populated = {WEB: 1, OTHER: 2}
    assert scene.follow() == ([], [WEB])
    assert scene.types == {WEB: FIXED}
    assert scene.follow() == ([], [])
    scene.groups.populated = {}
    assert scene.follow() == ([WEB], [])
    assert scene.sources[WEB].chosen is False


def test_without_an_address_the_kernel_chooses(scene: Scene) -> None:
    scene.go_by(FIXED_FOR_WEB)
    scene.groups.populated = {WEB: 1}
    _, [group] = scene.defaults.follow()
    assert scene.sources[WEB].chosen is None
    group.steer(HERE)
    assert scene.sources[WEB].chosen == HERE
    group.steer(None)
    assert scene.sources[WEB].chosen is True


def test_another_group_in_its_place_is_another_one(scene: Scene) -> None:
    scene.go_by(FIXED_FOR_WEB)
    scene.groups.populated = {WEB: 1}
    scene.follow()
    before = scene.sources[WEB]
    scene.groups.populated = {WEB: 2}
    assert scene.follow() == ([WEB], [WEB])
    assert before.chosen is False
    assert scene.sources[WEB].chosen is None


def test_a_group_within_one_of_the_same_type_needs_nothing(scene: Scene) -> None:
    scene.go_by(Rule(cgroups=[WORKER], default="session-lasting"), FIXED_FOR_WEB)
    below = f"{WEB}/other"
    scene.groups.populated = {WORKER: 2, WEB: 1, below: 3, f"{WORKER}/a": 4}
    assert scene.follow() == ([], [WEB, WORKER, f"{WORKER}/a"])
    assert scene.types == {WEB: FIXED, WORKER: LASTING, f"{WORKER}/a": FIXED}


def test_who_is_within(scene: Scene) -> None:
    scene.go_by(FIXED_FOR_WEB)
    scene.groups.populated = {WEB: 1}
    _, [group] = scene.defaults.follow()
    assert group.caller.is_group
    assert scene.defaults.within(WEB) == scene.defaults.within(WORKER) == group.caller
    assert scene.defaults.within(OTHER) is None
    assert scene.defaults.within("/") is None


def test_other_rules(scene: Scene) -> None:
    scene.go_by(FIXED_FOR_WEB)
    scene.groups.populated = {WEB: 1, OTHER: 2}
    scene.follow()
    scene.go_by(Rule(units=["*.service"], default="session-lasting"))
    assert scene.follow() == ([WEB], [OTHER, WEB])
    assert scene.types == {WEB: LASTING, OTHER: LASTING}
    scene.go_by(Rule())
    assert scene.follow() == ([OTHER, WEB], [])
    assert not any(source.chosen for source in scene.sources.values())


def test_nothing_is_watched_where_no_rule_names_groups(scene: Scene) -> None:
    scene.go_by(Rule(users=[UserId(0)], default="fixed"), Rule(units=["web.service"]))
    assert scene.groups.wanted is None
    assert scene.follow() == ([], [])


def test_without_hooks_that_is_said_once(scene: Scene, tmp_path: Path) -> None:
    scene.works = False
    scene.go_by(Rule(cgroups=["*"], default="fixed"))
    scene.groups.populated = {str(tmp_path): 1}
    assert scene.follow() == scene.follow() == ([], [])
    assert len(scene.complaints) == 1


def test_a_group_that_is_gone_by_now_is_no_complaint(scene: Scene) -> None:
    scene.works = False
    scene.go_by(FIXED_FOR_WEB)
    scene.groups.populated = {WEB: 1}
    assert scene.follow() == ([], [])
    assert scene.complaints == []


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], None),
        ([FIXED_FOR_WEB], FIXED),
        ([Rule(cgroups=["/system.slice/*"], default="fixed")], FIXED),
        ([Rule(cgroups=["/user.slice/*"], default="fixed")], None),
        ([Rule(units=["web.service"]), FIXED_FOR_WEB], None),
        ([Rule(default="fixed")], None),
        ([Rule(), FIXED_FOR_WEB], None),
        ([Rule(units=["web.service"], users=[UserId(0)], default="fixed")], None),
        ([Rule(users=[UserId(0)]), FIXED_FOR_WEB], FIXED),
        ([Rule(users=[UserId(1)], types=["session-lasting"]), FIXED_FOR_WEB], None),
        ([Rule(executables=["/a"], units=["other.*"], types=[]), FIXED_FOR_WEB], FIXED),
    ],
)
def test_whose_default_it_is(rules: list[Rule], expected: ServiceType | None) -> None:
    """The first rule that the group alone decides on, if nobody there is refused the type."""
    assert policy(*rules).default_within(WEB) is expected
