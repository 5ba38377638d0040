"""Programs in control groups of their own; groups and hooks are in memory, processes are real."""

from __future__ import annotations

import os
from ipaddress import IPv6Address
from pathlib import Path
from typing import cast

import pytest

from moorage.host.applications import Application
from moorage.host.peer import describe
from moorage.host.programs import Program, Programs
from moorage.kernel.cgroups import Group
from moorage.kernel.fake_cgroups import FakeControlGroups, FakeSource
from moorage.service import ServiceType
from moorage.wire.app import Operation, Reason, Reply, Request

HERE, THERE = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")
REQUEST = Request(7, Operation.RUN, ServiceType.SESSION_LASTING, False, 0)
GRANTED = Reply(7, 0, Reason.NONE, HERE, 60)
REFUSED = Reply(7, -181, Reason.HOST_NOT_AUTHORISED, IPv6Address(0), 0)
LEFT = Group(Path("/groups/session-lasting-left"), "session-lasting")


class Caller:
    """An application that is this very process."""

    def __init__(self) -> None:
        self.caller = describe(os.getpid())
        self.heard: list[Reply] = []

    def answer(self, reply: Reply) -> None:
        self.heard.append(reply)


class Scene:
    def __init__(self, groups: FakeControlGroups) -> None:
        self.groups = groups
        self.sources: dict[Path, FakeSource] = {}
        self.complaints: list[str] = []
        self.works = True
        self.programs = Programs(groups, self._hook, self.complaints.append)
        self.application = Caller()

    def _hook(self, group: Path, service: ServiceType) -> FakeSource:
        if not self.works:
            raise OSError("no hooks here")
        return self.sources.setdefault(group, FakeSource())

    def begin(self) -> Program:
        return self.programs.begin(cast(Application, self.application), REQUEST)

    def started(self) -> tuple[Program, FakeSource]:
        program = self.begin()
        self.programs.steer(program, HERE)
        assert self.programs.answer(program, GRANTED) == GRANTED
        assert program.group is not None
        return program, self.sources[program.group.path]


@pytest.fixture
def scene() -> Scene:
    return Scene(FakeControlGroups())


def test_a_program_is_in_its_group_before_it_is_answered(scene: Scene) -> None:
    _, source = scene.started()
    [(group, members)] = scene.groups.inside.items()
    assert group.label == "session-lasting"
    assert members == {os.getpid()}
    assert source.chosen == HERE
    assert scene.application.heard == [GRANTED]


def test_its_address_changes(scene: Scene) -> None:
    program, source = scene.started()
    for address in (THERE, None, HERE):
        scene.programs.steer(program, address)
        assert source.chosen == address


def test_it_ends_with_its_last_process(scene: Scene) -> None:
    program, source = scene.started()
    assert scene.programs.take_ended() == []
    scene.groups.inside[cast(Group, program.group)].clear()
    assert scene.programs.take_ended() == [program]
    assert source.chosen is False
    assert scene.programs.take_ended() == []


def test_who_is_refused_gets_no_group(scene: Scene) -> None:
    assert scene.programs.answer(scene.begin(), REFUSED) == REFUSED
    assert scene.application.heard == [REFUSED]
    assert scene.groups.inside == {}


def test_without_hooks_the_caller_hears_it_and_nothing_is_left(scene: Scene) -> None:
    scene.works = False
    program = scene.begin()
    told = scene.programs.answer(program, GRANTED)
    assert told is not None
    assert told.reason is Reason.NO_HOOKS
    assert scene.application.heard == [told]
    scene.programs.end(program)
    assert scene.groups.inside == {}
    assert len(scene.complaints) == 1


def test_a_later_answer_is_nobodys(scene: Scene) -> None:
    program, _ = scene.started()
    assert scene.programs.answer(program, GRANTED) is None
    assert len(scene.application.heard) == 1


def test_who_hangs_up_while_he_waits_is_known_by_it(scene: Scene) -> None:
    program = scene.begin()
    application = cast(Application, scene.application)
    assert scene.programs.of(application) == [program]
    scene.programs.answer(program, GRANTED)
    assert scene.programs.of(application) == []


def test_programs_outlive_the_daemon() -> None:
    scene = Scene(FakeControlGroups([os.getpid()], [LEFT]))
    [program] = scene.programs.restore()
    source = scene.sources[LEFT.path]
    assert (program.caller.pid, program.request.type) == (os.getpid(), ServiceType.SESSION_LASTING)
    assert source.chosen is None
    scene.programs.steer(program, HERE)
    assert source.chosen == HERE
    scene.programs.close()
    assert source.chosen is False
    assert LEFT in scene.groups.inside


def test_an_empty_group_of_an_earlier_life_is_removed() -> None:
    scene = Scene(FakeControlGroups([], [LEFT]))
    assert scene.programs.restore() == []
    assert scene.groups.inside == {}


@pytest.mark.parametrize("label", ["session-lasting", "of-another-version"])
def test_what_cannot_be_taken_up_is_complained_of(label: str) -> None:
    scene = Scene(FakeControlGroups([os.getpid()], [Group(Path("/groups/left"), label)]))
    scene.works = label != "session-lasting"
    assert scene.programs.restore() == []
    assert len(scene.complaints) == 1
