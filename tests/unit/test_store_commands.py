"""`moorage bindings` and `moorage store`, as an operator calls them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from moorage.cli import main
from moorage.service import ServiceType
from moorage.store.model import Anchor, Binding, BindingState
from moorage.store.protocol import Create, Hold
from moorage.store.sqlite import SqliteStore
from tests.bindings import HERE
from tests.domain import router_config

PACKAGING = Path(__file__).parents[2] / "packaging"
EARLIER = Path(__file__).parent / "store" / "versions" / "1.sql"

LASTING = replace(
    HERE,
    client=b"\x00\x04client",
    type=ServiceType.SESSION_LASTING,
    serving="ar2",
    link="wlan0",
    next_hop=IPv6Address("fe80::1"),
    seq=3,
    key=b"k" * 32,
    preferred_until=0.0,
    valid_until=time.time() + 90_000.0,
)
FIXED = replace(
    LASTING,
    prefix=IPv6Network("2001:db8:a200:1::/64"),
    client=b"\x00\x04other",
    type=ServiceType.FIXED,
    serving=None,
    link=None,
    next_hop=None,
    state=BindingState.DETACHED,
    valid_until=0.0,
)


def make(path: Path, bindings: Sequence[Binding]) -> str:
    """Make a store and return its URL."""

    async def fill() -> None:
        store = SqliteStore.open(str(path))
        await store.commit([Create(binding) for binding in bindings])
        await store.register(router_config(1).router())
        await store.close()

    asyncio.run(fill())
    return f"sqlite:{path}"


@pytest.fixture
def store(tmp_path: Path) -> str:
    return make(tmp_path / "bindings.db", [LASTING, FIXED])


def run(*arguments: str, text: bytes | str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=text, prog_name="moorage")


def output(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def prefixes(*arguments: str) -> list[str]:
    """What `moorage bindings` finds, by its JSON."""
    return [record["prefix"] for record in json.loads(output("bindings", "--json", *arguments))]


def test_the_table_has_a_line_for_each(store: str) -> None:
    head, lasting, fixed = output("bindings", "--store", store).splitlines()
    assert head.split() == ["PREFIX", "TYPE", "STATE", "ANCHOR", "SERVED", "AT", "HOST", "VALID"]
    for word in ("2001:db8:a100::/64", "active", "ar1", "ar2 wlan0 fe80::1", "0004636c69656e74"):
        assert word in lasting
    assert lasting.endswith(("1 d", "1 d 1 h"))
    assert fixed.split() == [
        *("2001:db8:a200:1::/64", "fixed", "detached", "ar1", "-", "00046f74686572", "over")
    ]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], [LASTING, FIXED]),
        (["--host", "0004636c69656e74"], [LASTING]),
        (["--host", "00:04:6F:74:68:65:72"], [FIXED]),
        (["--host", "0004"], []),
        (["--type", "fixed"], [FIXED]),
        (["--type", "fixed", "--host", "0004636c69656e74"], []),
        (["--prefix", "2001:db8:a200:1::/64"], [FIXED]),
        (["--prefix", "2001:db8:a200::/40"], [FIXED]),
        (["--prefix", "2001:db8:a100::7"], [LASTING]),
        (["--prefix", "2001:db8::/32"], [LASTING, FIXED]),
    ],
)
def test_filters(store: str, options: list[str], found: list[Binding]) -> None:
    assert prefixes("--store", store, *options) == [str(binding.prefix) for binding in found]


def test_the_routers_configuration_names_the_store(store: str, tmp_path: Path) -> None:
    text = (PACKAGING / "router.toml").read_text()
    file = tmp_path / "router.toml"
    file.write_text(text.replace("sqlite:/var/lib/moorage/bindings.db", store))
    place = ["--config", str(file)]
    for command in (
        ["bindings", *place, "export"],
        ["bindings", "export", *place],
        ["bindings", "--config", "none", "export", *place],
        ["bindings", "--config", "none", "export", "--store", store],
    ):
        assert len(output(*command).splitlines()) == 2


def test_without_a_configuration_it_is_said_how_to_name_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "router.toml"
    monkeypatch.setattr("moorage.cli.store._DEFAULT_CONFIG", missing)
    result = run("bindings")
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: {missing}: no such file; name the store by --config FILE or --store URL\n",
    )


def test_what_is_exported_can_be_imported(store: str, tmp_path: Path) -> None:
    file, new = str(tmp_path / "all.jsonl"), f"sqlite:{tmp_path / 'new.db'}"
    assert output("bindings", "export", "--store", store, file) == ""
    for done in ("2 written, 0 already there", "0 written, 2 already there"):
        assert done in output("bindings", "import", "--store", new, file)
    assert output("bindings", "--store", new, "export") == Path(file).read_text()
    by_pipe = run("bindings", "import", "--store", new, text=Path(file).read_bytes())
    assert "0 written, 2 already there" in by_pipe.output


def test_a_file_with_a_wrong_line_is_refused_as_a_whole(store: str, tmp_path: Path) -> None:
    lines = output("bindings", "--store", store, "export").splitlines()
    file, new = tmp_path / "all.jsonl", f"sqlite:{tmp_path / 'new.db'}"
    file.write_text("\n".join([lines[0], lines[1].replace('"seq":3', '"seq":"3"')]))
    result = run("bindings", "import", "--store", new, str(file))
    assert result.exit_code == 2
    assert result.output.startswith(f"Error: {file}:2: seq: ")
    assert result.output.count("\n") == 1
    assert not (tmp_path / "new.db").exists()


def test_import_keeps_what_is_newer_unless_told(store: str, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    older = output("bindings", "--store", store, "export").replace('"seq":3', '"seq":2')
    file.write_text(older.replace('"last_time":0', '"last_time":7'))
    before = output("bindings", "--store", store, "export")
    assert "0 written, 0 already there, 2 kept" in output(
        "bindings", "import", "--store", store, str(file)
    )
    assert output("bindings", "--store", store, "export") == before
    assert "2 written" in output("bindings", "import", "--overwrite", "--store", store, str(file))
    seqs = {
        (record["seq"], record["last_time"])
        for record in json.loads(output("bindings", "--store", store, "--json"))
    }
    assert seqs == {(4, 7)}


def test_status(store: str, tmp_path: Path) -> None:
    found = json.loads(output("store", "status", "--json", "--store", store))
    assert found["revision"] == 2
    assert found["routers"] == {"ar1": {"present": True, "lease": 5.0}}
    assert found["anchors"] == {}
    assert found["bindings"]["fixed"] == {"active": 0, "detached": 1, "released": 0}
    assert found["engine"]["file"] == str(tmp_path / "bindings.db")
    assert found["engine"]["file size"] == (tmp_path / "bindings.db").stat().st_size
    text = output("store", "status", "--store", store)
    assert "bindings session-lasting active  1\n" in text
    assert "bindings fixed active" not in text
    assert "routers ar1 present" in text


def hold(url: str, anchor: Anchor) -> None:
    """Let the store say who holds a pool."""

    async def write() -> None:
        store = SqliteStore.open(url.removeprefix("sqlite:"))
        await store.hold(Hold(anchor, 0))
        await store.close()

    asyncio.run(write())


def test_a_pool_is_handed_over_to_who_is_there(store: str) -> None:
    anchor = router_config(1).anchor()
    hold(store, replace(anchor, holder="ar2"))
    pool = anchor.pool
    for _ in range(2):
        said = output("store", "hand-over", "--store", store, "ar1")
        assert said == f"{pool} of ar1 is held by ar1\n"
        found = json.loads(output("store", "status", "--json", "--store", store))["anchors"]
        assert found == {"ar1": {"pool": str(pool), "holder": "ar1", "epoch": 2}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ar1", "--to", "ar2"], "ar2: no router that is there; there are: ar1"),
        (["ar2", "--to", "ar1"], "ar2: has no pool; those that have one: ar1"),
    ],
)
def test_a_pool_is_handed_over_to_nobody_else(store: str, arguments: list[str], said: str) -> None:
    hold(store, router_config(1).anchor())
    result = run("store", "hand-over", "--store", store, *arguments)
    assert (result.exit_code, result.output) == (1, f"Error: {said}\n")


def test_a_store_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bindings.db"
    with closing(sqlite3.connect(path)) as file:
        file.executescript(EARLIER.read_text())
    assert len(prefixes("--store", f"sqlite:{path}")) == 2


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)


@pytest.mark.parametrize("command", [["bindings"], ["bindings", "export"], ["store", "status"]])
def test_what_is_wrong_with_the_store_is_one_line(
    store: str, tmp_path: Path, command: list[str]
) -> None:
    damaged = tmp_path / "bindings.db"
    damage(damaged)
    wrong = {
        f"sqlite:{tmp_path}/none.db": f"Error: {tmp_path}/none.db: no such file\n",
        store: f"Error: {damaged}: database disk image is malformed\n",
        "memory:": "Error: memory: is a store inside the router, which nobody else reads\n",
        "etcd:": "Error: etcd:: no such store; allowed: sqlite:PATH, etcd:PATH, memory:\n",
    }
    for url, said in wrong.items():
        result = run(*command, "--store", url)
        assert (result.exit_code, result.output) == (1, said)
    assert not (tmp_path / "none.db").exists()


def test_status_finds_damage_that_reading_does_not(store: str, tmp_path: Path) -> None:
    path = tmp_path / "bindings.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA writable_schema = ON")
        file.execute("DELETE FROM sqlite_schema WHERE name = 'binding_name'")
    assert len(prefixes("--store", store)) == 2
    result = run("store", "status", "--store", store)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {path}: damaged: ")


@pytest.mark.parametrize(
    "options", [["--host", "zz"], ["--prefix", "2001:db8::1/64"], ["--type", "forever"]]
)
def test_a_wrong_filter_says_what_is_allowed(store: str, options: list[str]) -> None:
    result = run("bindings", "--store", store, *options)
    assert result.exit_code == 2
    assert options[1] in result.output
