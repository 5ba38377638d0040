"""A wrong configuration file: one line with the key and what is allowed, exit status 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from moorage.lab.toml import toml

HOST: dict[str, Any] = {"interfaces": ["wl0"]}
ROUTER: dict[str, Any] = {
    "id": "ar1",
    "domain": "6d6f6f726167652d",
    "core_interface": "core0",
    "core_address": "2001:db8:c:1::2",
    "sids": {"block": "2001:db8:5::/48", "down": "2001:db8:5:1::d", "up": "2001:db8:5:1::e"},
    "pool": "2001:db8:a100::/40",
    "access": [{"interface": "acc0"}],
}


def complaint(command: str, file: Path) -> str:
    """The one line that a daemon says about its configuration file."""
    done = subprocess.run(
        [sys.executable, "-m", "moorage", command, "--config", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"Error: {file}: ")
    return done.stderr.removeprefix(f"Error: {file}: ").rstrip()


@pytest.mark.parametrize(
    ("command", "change", "words"),
    [
        ("host", {"interfaces": None}, ["interfaces"]),
        ("host", {"interfaces": []}, ["interfaces", "at least one"]),
        ("host", {"interfaces": "wl0"}, ["interfaces", "array", "str"]),
        ("host", {"dwel": 3}, ["dwel", "dwell"]),
        ("host", {"dwell": -1}, ["dwell", "negative"]),
        ("host", {"linger": 30}, ["linger", "object", "int"]),
        ("host", {"linger": {"fixed": -1}}, ["linger.fixed", ">= 0"]),
        ("host", {"dwell": "long"}, ["dwell", "float", "str"]),
        ("host", {"at_boot": ["fast"]}, ["at_boot", "fast", "session-lasting"]),
        ("host", {"at_boot": ["non-persistent"]}, ["at_boot", "non-persistent"]),
        ("host", {"retire_slaac": "perhaps"}, ["retire_slaac", "perhaps", "remove"]),
        ("router", {"pool": None}, ["pool"]),
        ("router", {"pool": "2001:db8:a100::/65"}, ["pool", "/64"]),
        ("router", {"pool": "2001:db8:a100::1/40"}, ["pool", "host bits"]),
        ("router", {"pool": "2001:db8::/40"}, ["pool", "sids.block"]),
        ("router", {"domain": "moorage"}, ["domain", "[0-9a-f]{16}"]),
        ("router", {"core_mtu": 1280}, ["core_mtu", "1320"]),
        ("router", {"core_address": "192.0.2.1"}, ["core_address", "192.0.2.1"]),
        ("router", {"access": []}, ["access", "1"]),
        ("router", {"access": [{"interface": "core0"}]}, ["core_interface", "access"]),
        ("router", {"access": [{"interface": "a", "mtu": 1000}]}, ["access[0].mtu", "1280"]),
        ("router", {"access": [{"interface": "a", "mut": 1}]}, ["access[0]", "mut", "mtu"]),
        ("router", {"offered": ["fast"]}, ["offered", "fast", "fixed"]),
        ("router", {"keyless": "sometimes"}, ["keyless", "sometimes", "after-departure"]),
        ("router", {"policy": {"default": "fast"}}, ["policy", "default", "fast", "fixed"]),
        ("router", {"lifetimes": {"fixed": {"t1": 9**9}}}, ["lifetimes.fixed", "t1 <= t2"]),
        ("router", {"sids": {**ROUTER["sids"], "up": "2001:db8:6::e"}}, ["sids", "up", "block"]),
        ("router", {"store": "postgres:x"}, ["store", "sqlite:", "memory:"]),
    ],
)
def test_key_and_what_is_allowed(
    tmp_path: Path, command: str, change: dict[str, Any], words: list[str]
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(toml({**(HOST if command == "host" else ROUTER), **change}))
    said = complaint(command, file)
    assert [word for word in words if word not in said] == [], said


@pytest.mark.parametrize("command", ["host", "router"])
def test_file_that_is_none(tmp_path: Path, command: str) -> None:
    file = tmp_path / "wrong.toml"
    assert "No such file" in complaint(command, file)
    file.write_text("dwell = = 3")
    assert "line 1" in complaint(command, file)
    file.write_bytes(b"\xff")
    assert "UTF-8" in complaint(command, file)
