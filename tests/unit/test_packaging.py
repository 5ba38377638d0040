"""The example configuration is true: it loads, and shows every key with its default."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from moorage import config
from moorage.host.config import HostConfig

PACKAGING = Path(__file__).parents[2] / "packaging"


def test_the_host_example_loads() -> None:
    assert config.load(PACKAGING / "host.toml", HostConfig).interfaces == ["wlan0", "eth0"]


def test_the_host_example_shows_every_key_and_its_default() -> None:
    text = (PACKAGING / "host.toml").read_text()
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    shown = "\n".join(line for line in lines if re.match(r"\[|[\w-]+ = ", line))
    defaults = HostConfig(interfaces=tomllib.loads(shown)["interfaces"])
    assert config.parse(shown, HostConfig, "host.toml") == defaults
    written = msgspec.to_builtins(defaults, enc_hook=str)
    assert keys(tomllib.loads(shown)) == keys(written)
    assert all(re.search(rf"\b{key}\b", text) for rule in written["rule"] for key in rule)


def keys(table: Mapping[str, object], path: str = "") -> set[str]:
    """Return the keys of a table, those of tables in it among them."""
    found = set()
    for key, value in table.items():
        found |= keys(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}"}
    return found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("interfaces = []", ["interfaces", "at least one"]),
        ('interfaces = ["a"]\ndwell = -1', ["dwell", "negative"]),
        ('interfaces = ["a"]\nat_boot = ["forever"]', ["at_boot", "session-lasting"]),
        ('interfaces = ["a"]\nretire_slaac = "yes"', ["retire_slaac", "remove, deprecate, no"]),
        ('interfaces = ["a"]\ndwel = 3', ["dwel", "dwell"]),
        ("interfaces = [", ["TOML"]),
    ],
)
def test_a_wrong_host_file_is_one_line_that_names_the_key(text: str, words: list[str]) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.parse(text, HostConfig, "host.toml")
    message = str(caught.value)
    assert message.startswith("host.toml: ")
    assert "\n" not in message
    assert all(word in message for word in words)
