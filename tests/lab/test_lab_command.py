"""`moorage lab` as its user sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("mark")]


def moorage_lab(*argv: str, status: int = 0) -> str:
    name = f"{os.getpid()}-command"
    done = subprocess.run(
        [sys.executable, "-m", "moorage", "lab", "--name", name, *argv],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stderr if status else done.stdout


def test_a_lab_stays_until_it_is_taken_down(tmp_path: Path) -> None:
    assert "core ar1 ar2 cn mn" in moorage_lab("up", "--no-daemons", "--state", str(tmp_path))
    try:
        assert f"{os.getpid()}-command: two-routers" in moorage_lab("list")
        assert "is up already" in moorage_lab("up", status=1)
        assert moorage_lab("move", "mn", "ar2") == "mn: wl0 is at ar2\n"
        soft = moorage_lab("move", "mn", "ar1", "--soft", "--overlap", "0")
        assert soft == "mn: wl1 is at ar1\n"
        assert "no router 'ar9'" in moorage_lab("move", "mn", "ar9", status=1)
        status = json.loads(moorage_lab("status", "--json"))
        assert status["mn"] == {
            "role": "host",
            "attached": {"wl0": None, "wl1": "ar1"},
            "daemon": 0,
        }
        assert "wl0: detached  wl1: ar1" in moorage_lab("status")
        moorage_lab("exec", "mn", "false", status=1)
    finally:
        moorage_lab("down")
    assert f"{os.getpid()}-command" not in moorage_lab("list")
    for argv in (["down"], ["status"], ["exec", "mn", "true"], ["move", "mn", "ar1"]):
        assert "no lab" in moorage_lab(*argv, status=1)


def test_a_scenario_runs_in_a_lab_of_its_own() -> None:
    said = moorage_lab("run", "ping", "--topology", "three-routers")
    for router in ("ar1", "ar2", "ar3"):
        assert f"mn at {router}: answer from 2001:db8:c0::2 after" in said


def test_a_wrong_topology_is_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[routers]\nar1 = 1\n")
    said = moorage_lab("up", str(wrong), status=2)
    assert said == (
        f"Error: {wrong}: routers[...]: Expected `object`, got `int`;"
        " allowed: core, access, pool, down_sid, up_sid, settings\n"
    )
    assert "shipped: three-routers, two-routers" in moorage_lab("up", "nowhere", status=2)
