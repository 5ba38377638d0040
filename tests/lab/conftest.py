"""Labs for tests; each test has to leave the machine as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from moorage.lab.errors import LabError
from moorage.lab.lab import Lab
from moorage.lab.namespaces import become_root
from tests.lab.plain_host import Host
from tests.leaks import nothing_left_behind


@pytest.fixture(scope="session", autouse=True)
def _namespaces_allowed() -> None:
    try:
        become_root()
    except (LabError, OSError) as error:
        pytest.skip(str(error))


@pytest.fixture
def mark(_namespaces_allowed: None) -> Iterator[str]:
    """The mark of every process that the test starts; none of them may be left."""
    with nothing_left_behind() as mark:
        yield mark


@pytest.fixture
def lab(mark: str) -> Iterator[Lab]:
    """Two access routers, a correspondent, and a host at the first router; no daemons."""
    with Lab.start("two-routers") as lab:
        yield lab


@pytest.fixture
def routers(lab: Lab) -> Lab:
    """Both access routers run their daemons; the host does not."""
    for name in ("ar1", "ar2"):
        lab.daemon(name).start()
    return lab


@pytest.fixture
def host(routers: Lab) -> Iterator[Host]:
    with ExitStack() as stack:
        yield Host(routers, stack)
