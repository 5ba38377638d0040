"""Labs for the conformance tests: one for a module, and others for tests that need their own.

Tests that prove something about the application interface run over every transport, in a lab for
each; all others with all that the host has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pytest

from moorage.lab.errors import LabError
from moorage.lab.namespaces import become_root
from moorage.service import ServiceType
from scripts.conformance import REQUIREMENTS, Transport, ids_of, read_requirements, transports
from tests.conformance.scene import Scene, eventually, open_scene
from tests.leaks import nothing_left_behind
from tests.native.workshop import Library, build_library

LINGER = {kind.slug: 0.1 for kind in ServiceType}
"""For a host whose addresses go soon after their last socket."""

_requirements = read_requirements(REQUIREMENTS)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "transport" in metafunc.fixturenames:
        over = transports(_requirements, ids_of(metafunc.function.__doc__))
        metafunc.parametrize("transport", over, ids=str, indirect=True, scope="module")


@pytest.fixture(scope="module")
def transport(request: pytest.FixtureRequest) -> Transport:
    """What the applications of the host meet."""
    transport = request.param
    assert isinstance(transport, Transport)
    return transport


class Stage(Protocol):
    """Makes a lab with other settings than usual; see `open_scene`."""

    def __call__(self, **settings: Any) -> AbstractContextManager[Scene]: ...


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, transport: Transport) -> Iterator[Stage]:
    """What makes labs; none of them may leave anything behind."""
    try:
        become_root()
    except (LabError, OSError) as error:
        pytest.skip(str(error))

    def begin(**settings: Any) -> AbstractContextManager[Scene]:
        return open_scene(tmp_path_factory.mktemp("store"), transport=transport, **settings)

    with nothing_left_behind():
        yield begin


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The C library."""
    return Library(build_library(tmp_path_factory.mktemp("library")).with_suffix(".so"))


@pytest.fixture(scope="module")
def scene(stage: Stage) -> Iterator[Scene]:
    """A lab of the module, whose host is somewhere and has a Session-lasting address from boot."""
    with stage(host={"linger": LINGER}) as scene:
        eventually(scene.booted)
        yield scene


@pytest.fixture
def bare(stage: Stage) -> Iterator[Scene]:
    """A lab of the test, whose host has no typed address until an application asks for one."""
    with stage(host={"linger": LINGER, "at_boot": []}) as scene:
        eventually(scene.settled)
        yield scene
