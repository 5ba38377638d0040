"""Labs for the conformance tests: one for a module, and others for tests that need their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pytest

from moorage.lab.errors import LabError
from moorage.lab.namespaces import become_root
from moorage.service import ServiceType
from tests.conformance.scene import Scene, eventually, open_scene
from tests.leaks import nothing_left_behind

LINGER = {kind.slug: 0.1 for kind in ServiceType}
"""For a host whose addresses go soon after their last socket."""


class Stage(Protocol):
    """Makes a lab with other settings than usual; see `open_scene`."""

    def __call__(self, **settings: Any) -> AbstractContextManager[Scene]: ...


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """What makes labs; none of them may leave anything behind."""
    try:
        become_root()
    except (LabError, OSError) as error:
        pytest.skip(str(error))

    def begin(**settings: Any) -> AbstractContextManager[Scene]:
        return open_scene(tmp_path_factory.mktemp("store"), **settings)

    with nothing_left_behind():
        yield begin


@pytest.fixture(scope="module")
def scene(stage: Stage) -> Iterator[Scene]:
    """A lab of the module, whose host is somewhere and has a Session-lasting address from boot."""
    with stage(host={"linger": LINGER}) as scene:
        eventually(scene.settled)
        eventually(scene.typed)
        yield scene


@pytest.fixture
def bare(stage: Stage) -> Iterator[Scene]:
    """A lab of the test, whose host has no typed address until an application asks for one."""
    with stage(host={"linger": LINGER, "at_boot": []}) as scene:
        eventually(scene.settled)
        yield scene
