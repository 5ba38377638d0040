"""Control groups of others, in the kernel, as they come and go."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from moorage.kernel.bpf import cgroup
from moorage.kernel.group_watch import GroupWatch

pytestmark = pytest.mark.netns

PATIENCE = 10.0
WAIT = [sys.executable, "-c", "import sys; sys.stdin.read()"]
HOME = f"watched-{os.getpid()}"


@pytest.fixture
def home() -> Iterator[Path]:
    """A group for the test, with all that is in it."""
    home = cgroup.root() / HOME
    try:
        home.mkdir()
    except OSError as error:
        pytest.skip(f"only root of the whole machine makes control groups: {error.strerror}")
    try:
        yield home
    finally:
        for folder, _, _ in os.walk(home, topdown=False):
            os.rmdir(folder)


@pytest.fixture
def watch(home: Path) -> Iterator[GroupWatch]:
    complaints: list[str] = []
    with closing(GroupWatch(cgroup.root(), complaints.append)) as watch:
        watch.want(lambda path: path.startswith(f"/{HOME}/"))
        assert watch.read() == {}
        yield watch
    assert complaints == []


@contextmanager
def inside(group: Path) -> Iterator[None]:
    """A process in a group."""
    process = subprocess.Popen(WAIT, stdin=subprocess.PIPE)
    (group / "cgroup.procs").write_text(str(process.pid))
    try:
        yield
    finally:
        process.communicate()


def until(watch: GroupWatch, condition: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    while True:
        assert select.select([watch], [], [], PATIENCE)[0]
        if condition(found := watch.read()):
            return found


def test_groups_come_and_go(home: Path, watch: GroupWatch) -> None:
    slice_, service = f"/{HOME}/a.slice", f"/{HOME}/a.slice/b.service"
    group = home / "a.slice" / "b.service"
    group.mkdir(parents=True)
    watch.read()
    with inside(group):
        first = until(watch, lambda found: found.keys() == {slice_, service})
    assert until(watch, lambda found: not found) == {}
    group.rmdir()
    group.mkdir()
    with inside(group):
        second = until(watch, lambda found: service in found)
        assert second[service] != first[service]
        assert second[slice_] == first[slice_]


def test_what_was_there_before_is_found(home: Path) -> None:
    (home / "a").mkdir()
    with inside(home / "a"), closing(GroupWatch(cgroup.root(), pytest.fail)) as watch:
        watch.want(lambda path: path == f"/{HOME}/a")
        assert watch.read().keys() == {f"/{HOME}/a"}
        watch.want(lambda path: path == f"/{HOME}")
        assert watch.read().keys() == {f"/{HOME}"}
        watch.want(lambda path: path == "/")
        assert watch.read().keys() == {"/"}


def test_groups_of_our_own_do_not_count(home: Path, watch: GroupWatch) -> None:
    ours = home / "a" / "moorage-1f-session-lasting-01234567"
    (ours / "below").mkdir(parents=True)
    watch.read()
    with inside(ours / "below"):
        assert until(watch, bool).keys() == {f"/{HOME}/a"}
