"""The demo's command, where no lab is needed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from moorage.cli import main


def test_missing_matplotlib_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = CliRunner().invoke(main, ["demo", "--output", str(tmp_path / "report")])
    assert done.exit_code == 1
    [line] = done.output.splitlines()
    assert "pip install moorage[lab]" in line
    assert not (tmp_path / "report").exists()


def test_unknown_topology_is_one_line() -> None:
    done = CliRunner().invoke(main, ["demo", "--topology", "castle"])
    assert done.exit_code == 2
    assert done.output.startswith("Error: no topology 'castle'")
