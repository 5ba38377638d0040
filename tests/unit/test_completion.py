"""Completion of our commands, by the shell itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMPLETE = """
eval "$(moorage completion bash)"
read -ra COMP_WORDS <<< "$LINE"
[[ $LINE == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
completer=$(complete -p moorage | sed 's/.*-F \\([^ ]*\\).*/\\1/')
"$completer" moorage
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("moorage so", ["sockets"]),
        ("moorage address n", ["non-persistent"]),
        ("moorage events --fo", ["--follow"]),
        ("moorage completion ", ["bash", "fish", "zsh"]),
        ("moorage lab mo", ["move"]),
        ("moorage nothing", [""]),
    ],
)
def test_bash_completes(tmp_path: Path, line: str, expected: list[str]) -> None:
    command = tmp_path / "moorage"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m moorage "$@"\n')
    command.chmod(0o755)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", COMPLETE],
        env={**os.environ, "LINE": line, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(done.stdout.splitlines()) == expected
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "moorage", "completion", shell],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"_MOORAGE_COMPLETE={shell}_complete" in done.stdout
