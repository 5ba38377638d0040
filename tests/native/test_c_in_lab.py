"""The library with a host daemon that is real, under what watches memory and threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moorage.lab.namespaces import become_root
from tests.conformance.scene import Scene, eventually, open_scene
from tests.leaks import nothing_left_behind
from tests.native.checkers import CHECKERS, Checker

pytestmark = [pytest.mark.netns, pytest.mark.interop]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    become_root()
    with nothing_left_behind(), open_scene(tmp_path_factory.mktemp("store")) as scene:
        eventually(scene.settled)
        yield scene


@pytest.mark.parametrize("checker", CHECKERS, ids=str)
def test_every_way_of_calling(
    probe: Callable[[Checker], list[str]], scene: Scene, checker: Checker, tmp_path: Path
) -> None:
    complaints = tmp_path / "complaints"
    settings = {**os.environ, **checker.settings}
    del settings["MOORAGE_SOCKET"]  # it is not where it seems to be from outside of the node
    with (
        complaints.open("wb") as file,
        scene.host.popen(
            [*probe(checker), "given"],
            stdout=file,
            stderr=file,
            env=settings,
        ) as process,
    ):
        assert process.wait() == 0, complaints.read_text()
