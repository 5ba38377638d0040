"""Programs that know nothing of mobility keep their connections while the host moves."""

from __future__ import annotations

import shutil
import sys

import pytest

from moorage.lab import programs
from moorage.lab.errors import LabError
from moorage.lab.lab import Lab
from moorage.lab.namespaces import become_root, real_user
from moorage.lab.scenarios import all_scenarios
from tests.leaks import nothing_left_behind

pytestmark = [pytest.mark.netns, pytest.mark.interop]


@pytest.mark.parametrize("name", ["http-download", "http-upload", "ssh-session"])
def test_a_transfer_survives_ten_moves(name: str) -> None:
    chosen = all_scenarios()[name]
    if chosen.missing:
        pytest.skip(f"not installed: {', '.join(chosen.missing)}")
    try:
        become_root()
    except LabError as error:
        pytest.skip(str(error))
    if "sshd" in chosen.needs and real_user() != 0:
        pytest.skip("sshd changes its user, which takes real root")
    with nothing_left_behind(), Lab.start(chosen.topology) as lab:
        lab.start_daemons()
        chosen.play(lab)


def test_a_server_that_ends_says_why() -> None:
    try:
        become_root()
    except LabError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-c", "import sys; sys.exit('no such thing')"]
    with (
        nothing_left_behind(),
        Lab.start("two-routers") as lab,
        pytest.raises(LabError, match=r"ended:\nno such thing$"),
        programs.server(lab.node("cn"), command, "ready"),
    ):
        pytest.fail("it is said to be ready")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    assert all_scenarios()["http-download"].missing == ["curl", "nginx"]
    with pytest.raises(LabError, match=r"^curl is not installed$"):
        programs.path_of("curl")
