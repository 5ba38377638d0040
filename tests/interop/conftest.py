"""Labs whose daemons stand beside, or in the place of, other people's programs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from moorage.lab.errors import LabError
from moorage.lab.namespaces import become_root
from tests.leaks import nothing_left_behind


@pytest.fixture
def mark() -> Iterator[str]:
    """The mark of every process that the test starts; none of them may be left."""
    try:
        become_root()
    except (LabError, OSError) as error:
        pytest.skip(str(error))
    with nothing_left_behind() as mark:
        yield mark
