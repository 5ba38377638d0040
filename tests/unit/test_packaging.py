"""The example configuration is true: it loads, and shows every key with its default."""

from __future__ import annotations

import tomllib
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
    spelt_out = (line for line in lines if " = " in line or line.startswith("["))
    shown = tomllib.loads("\n".join(spelt_out))
    defaults = msgspec.to_builtins(HostConfig(interfaces=shown["interfaces"]), enc_hook=str)
    assert shown == defaults


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("interfaces = []", ["interfaces", "at least one"]),
        ('interfaces = ["a"]\nlinger = -1', ["linger", "negative"]),
        ('interfaces = ["a"]\nat_boot = ["forever"]', ["at_boot", "session-lasting"]),
        ('interfaces = ["a"]\nretire_slaac = "yes"', ["retire_slaac", "remove, deprecate, no"]),
        ('interfaces = ["a"]\nlingre = 3', ["lingre", "linger"]),
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
