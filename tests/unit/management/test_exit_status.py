"""What commands end with that look into a daemon which is not there, or not for everybody."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = [["why", "1"], ["events"], ["router", "events", "--follow"]]

AS_NOBODY = """
import os, sys
from moorage.cli import main
from moorage.cli import events, router, why
os.setresuid(65534, 65534, 65534)
main(sys.argv[1:], prog_name="moorage")
"""


def error(*argv: str, status: int) -> str:
    """What a command that fails with this status says."""
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, "")
    return done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_a_daemon_the_status_is_3(tmp_path: Path, command: list[str]) -> None:
    place = str(tmp_path / "management.sock")
    what = "router daemon" if "router" in command else "host daemon"
    said = error("-m", "moorage", *command, "--socket", place, status=3)
    assert said == f"Error: no {what} runs here: nobody listens at {place}\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's identity")
@pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
def test_without_the_right_the_status_is_4(passable: Path, command: list[str]) -> None:
    place = passable / "management.sock"
    with socket.socket(socket.AF_UNIX) as private:
        private.bind(str(place))
        place.chmod(0o600)
        private.listen()
        said = error("-c", AS_NOBODY, *command, "--socket", str(place), status=4)
    assert said.startswith("Error: you may not look into the ")
    assert said.count("\n") == 1
