"""The file that says where an etcd cluster is."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from moorage import config
from moorage.store import open_store
from moorage.store.etcd.config import EtcdConfig, Tls
from moorage.store.protocol import StoreError

EXAMPLE = Path(__file__).parents[3] / "packaging" / "etcd.toml"


def test_the_example_shows_every_key_and_its_default() -> None:
    text = EXAMPLE.read_text()
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    shown = tomllib.loads("\n".join(line for line in lines if re.match(r"\[tls\]|\w+ = ", line)))
    assert set(shown) == set(EtcdConfig.__struct_fields__)
    assert set(shown["tls"]) == set(Tls.__struct_fields__)
    plain = config.load(EXAMPLE, EtcdConfig)
    defaults = EtcdConfig(endpoints=plain.endpoints)
    assert plain == defaults
    examples = {"store", "tls", "user", "password_file"}
    written = msgspec.to_builtins(defaults)
    assert {key: shown[key] for key in written.keys() - examples} == {
        key: written[key] for key in written.keys() - examples
    }


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "endpoints"),
        ("endpoints = []", "endpoints: .*length >= 1"),
        ('endpoints = ["etcd1"]', "endpoints"),
        ('endpoints = ["http://etcd1:2379"]', "endpoints"),
        ('endpoints = ["2001:db8::1:2379"]', "endpoints"),
        ('endpoints = ["a:1", "a:1"]', "endpoints: one is named twice"),
        ('endpoints = ["a:1"]\nprefix = "moorage"', "prefix"),
        ('endpoints = ["a:1"]\ntimeout = 0', "timeout"),
        ('endpoints = ["a:1"]\nuser = "ar"', "user and password_file: one needs the other"),
        ('endpoints = ["a:1"]\n[tls]\nca = "c"\nkey = "k"', "certificate and key"),
        ('endpoints = ["a:1"]\npassword = "secret"', "password"),
        ("endpoints = [", "not TOML"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "etcd.toml"
    file.write_text(text)
    with pytest.raises(StoreError, match=rf"^{file}: .*{what}") as caught:
        open_store(f"etcd:{file}")
    assert "\n" not in str(caught.value)


async def test_a_file_that_is_named_and_missing_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "etcd.toml"
    login = 'user = "ar"\npassword_file = "/missing/password"\n'
    for more in (login, '[tls]\nca = "/missing/ca"\n'):
        file.write_text(f'endpoints = ["[::1]:1"]\n{more}')
        store = open_store(f"etcd:{file}")
        with pytest.raises(StoreError, match=r"^/missing/\w+: No such file or directory$"):
            await store.snapshot()
        await store.close()


def test_without_the_extra_one_line_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [each for each in sys.modules if each.startswith("moorage.store.etcd")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aetcd", None)
    with pytest.raises(StoreError, match=r"^etcd:x: aetcd is missing; .*'moorage\[etcd\]'$"):
        open_store("etcd:x")
