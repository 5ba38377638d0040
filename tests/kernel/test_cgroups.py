"""Control groups of our own, in the kernel: made, entered, found again, and gone."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from moorage.kernel.bpf import cgroup
from moorage.kernel.cgroups import CgroupTree, Group, outside

pytestmark = pytest.mark.netns

NETWORK, OTHER = 0xF00D_CAFE_F00D, 0xF00D_CAFE_F00E
PATIENCE = 10.0
WAIT = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def root() -> Path:
    """The hierarchy, if we may change it."""
    root = cgroup.root()
    probe = root / f"moorage-{NETWORK:x}-probe-00000000"
    try:
        probe.mkdir()
    except OSError as error:
        pytest.skip(f"only root of the whole machine makes control groups: {error.strerror}")
    probe.rmdir()
    return root


@pytest.fixture
def groups(root: Path) -> Iterator[CgroupTree]:
    with tree(root) as groups:
        yield groups
    assert not list(root.rglob(f"moorage-{NETWORK:x}-*"))


@contextmanager
def tree(root: Path, network: int = NETWORK) -> Iterator[CgroupTree]:
    with closing(CgroupTree(root, network)) as groups:
        yield groups


@contextmanager
def waiting() -> Iterator[int]:
    """A process that goes on until the end of the block."""
    process = subprocess.Popen(WAIT, stdin=subprocess.PIPE)
    try:
        yield process.pid
    finally:
        process.communicate()


def started(groups: CgroupTree, pid: int) -> Group:
    group = groups.make("session-lasting", pid)
    groups.enter(group, pid)
    return group


def gone(groups: CgroupTree) -> list[Group]:
    """The groups that become empty."""
    while True:
        assert select.select([groups], [], [], PATIENCE)[0]
        if found := groups.take_empty():
            return found


def test_a_process_is_in_its_group_until_it_ends(groups: CgroupTree) -> None:
    with waiting() as pid:
        group = started(groups, pid)
        assert groups.members(group) == [pid]
        assert Path("/proc", str(pid), "cgroup").read_text().endswith(f"/{group.path.name}\n")
    assert gone(groups) == [group]
    assert not group.path.exists()


def test_a_group_goes_with_its_last_process_not_with_its_first(groups: CgroupTree) -> None:
    with waiting() as second:
        with waiting() as first:
            group = started(groups, first)
            groups.enter(group, second)
        assert groups.take_empty() == []
    assert gone(groups) == [group]


def test_groups_that_a_program_makes_in_its_own_go_with_it(groups: CgroupTree) -> None:
    with waiting() as first:
        group = started(groups, first)
        below = group.path / "below"
        below.mkdir()
        (below / "cgroup.procs").write_text(str(first))
        assert groups.members(group) == [first]
        assert groups.take_empty() == []
    assert gone(groups) == [group]
    assert not group.path.exists()


def test_one_that_is_run_in_another_gets_a_group_beside_it(groups: CgroupTree) -> None:
    with waiting() as pid:
        outer = started(groups, pid)
        inner = started(groups, pid)
        assert inner.path.parent == outer.path.parent
        assert gone(groups) == [outer]
    assert gone(groups) == [inner]


def test_another_daemon_on_the_machine_has_groups_of_its_own(
    groups: CgroupTree, root: Path
) -> None:
    with waiting() as pid, tree(root, OTHER) as others:
        group = started(groups, pid)
        new = groups.make("fixed", pid)
        assert others.restore() == []
        assert group.path.exists()
        assert new.path.exists()
        groups.discard(new)
    assert gone(groups) == [group]


def test_a_later_life_finds_what_lives_and_removes_what_does_not(
    groups: CgroupTree, root: Path
) -> None:
    with waiting() as pid:
        with tree(root) as before:
            group = started(before, pid)
            empty = before.make("fixed", pid)
        assert groups.restore() == [group]
        assert not empty.path.exists()
    assert gone(groups) == [group]


def test_a_process_that_is_gone_leaves_nothing(groups: CgroupTree) -> None:
    with waiting() as pid:
        group = groups.make("fixed", pid)
    with pytest.raises(OSError, match="No such process"):
        groups.enter(group, pid)
    groups.discard(group)
    assert groups.take_empty() == []
    with pytest.raises(OSError, match="No such"):
        groups.make("fixed", pid)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("/system.slice/a.service", "/system.slice/a.service"),
        ("/user.slice/moorage-1f-session-lasting-0123abcd", "/user.slice"),
        ("/user.slice/moorage-1f-session-lasting-0123abcd/below", "/user.slice"),
        ("/system.slice/moorage-host.service", "/system.slice/moorage-host.service"),
    ],
)
def test_what_a_group_of_ours_was_made_in(path: str, expected: str) -> None:
    assert outside(path) == expected
