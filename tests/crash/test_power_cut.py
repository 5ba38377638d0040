"""Whatever ends a router, and whatever of its files is lost, what it promised to hosts is kept."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from ipaddress import IPv6Network
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from moorage.store.model import Binding
from moorage.store.rows import binding_of
from moorage.store.schema import connect
from moorage.store.sqlite import SqliteStore
from moorage.wire.dhcp6 import IaPd
from tests.crash import load
from tests.crash.disk import Call, Disk, calls, read, record, write
from tests.domain import START, Client, Clock
from tests.unit.store.test_schema import EARLIER

pytestmark = pytest.mark.interop


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory; what a disk would have kept is known from the record."""
    with TemporaryDirectory(prefix="moorage-crash-", dir="/dev/shm") as name:
        yield Path(name)


def run(folder: Path, what: str, count: int, *options: str) -> tuple[list[bytes], list[Call]]:
    """Run the load until it is killed; return what it said and what it did."""
    (folder / "store").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.crash.load", what, f"{folder}/store/bindings.db"]
    said = record([*command, str(count)], folder / "log", *options)
    return said.splitlines(), list(calls(folder / "log"))


@dataclass
class Promised:
    """What hosts have been told: the last word about each prefix."""

    clients: dict[IPv6Network, bytes] = field(default_factory=dict)
    times: dict[IPv6Network, int] = field(default_factory=dict)
    held: dict[IPv6Network, bool] = field(default_factory=dict)

    def take(self, line: bytes) -> None:
        word = json.loads(line)
        prefix, client = IPv6Network(word["prefix"]), bytes.fromhex(word["client"])
        assert self.clients.setdefault(prefix, client) == client, f"{prefix} was given twice"
        self.times[prefix] = round(START * 1_000_000) + word["ticks"]
        self.held[prefix] = word["held"]

    def check(self, stored: dict[IPv6Network, Binding]) -> None:
        """Check that a store keeps them; it may be ahead of what was said."""
        for prefix, client in self.clients.items():
            binding = stored[prefix]
            assert binding.client == client
            assert binding.last_time >= self.times[prefix]
            if binding.last_time == self.times[prefix]:
                assert binding.held is self.held[prefix]


def content(path: str) -> dict[IPv6Network, Binding]:
    """Read a store as its next user finds it."""
    with closing(connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        bindings = map(binding_of, file.execute("SELECT * FROM binding"))
        return {binding.prefix: binding for binding in bindings}


def moments(done: list[Call], disk: Disk, promised: Promised) -> Iterator[int]:
    """Go through what was done; stop at every promise, and whenever something is on the disk."""
    for number, call in enumerate(done):
        before = disk.syncs
        disk.take(call)
        if call.name == "write" and call.result is None and call.descriptor == 1:
            promised.take(call.texts[-1])
            yield number
        elif disk.syncs > before:
            yield number


def cut(disk: Disk, random: Random, place: Path) -> str:
    """Make a folder with what may be left, and return the path of the store in it."""
    write(disk.after_power_cut(random.choice((0.0, 0.5, 0.9)), random), place)
    return str(place / "bindings.db")


def journals(done: list[Call]) -> int:
    """How often SQLite began its journal, after it had moved an earlier one into the file."""
    return sum(
        call.name == "pwrite64"
        and call.result is not None
        and call.texts[0].endswith(b"-wal")
        and call.numbers[-1] == 0
        for call in done
    )


def test_a_power_cut_loses_nothing_that_was_promised(folder: Path) -> None:
    said, done = run(folder, "serve", 700)
    assert len(said) == 700
    assert journals(done) > 1
    disk, promised = Disk(folder / "store"), Promised()
    for number in moments(done, disk, promised):
        random = Random(number)
        if not promised.clients or random.random() < 0.15:
            promised.check(content(cut(disk, random, folder / str(number))))
    assert len(promised.clients) > load.HOSTS
    # The record was complete: nothing was written by other ways than those it follows.
    for name, data in disk.files().items():
        assert (folder / "store" / name).read_bytes() == data
    promised.check(content(str(folder / "store" / "bindings.db")))


async def test_no_prefix_is_given_again_after_a_power_cut(folder: Path) -> None:
    _, done = run(folder, "serve", 300)
    disk, promised = Disk(folder / "store"), Promised()
    for number in moments(done, disk, promised):
        random = Random(number)
        if random.random() < 0.02:
            store = SqliteStore.open(cut(disk, random, folder / str(number)))
            for site in load.routers(store, store):
                for _ in range(8):
                    client = Client(Clock())
                    reply = await client.ask(site, load.solicit(client, 1))
                    [new] = [lease.prefix for ia in reply.every(IaPd) for lease in ia.prefixes]
                    assert new not in promised.clients
            await store.close()


@pytest.mark.parametrize(
    "fault",
    [
        "fdatasync:error=EIO:when=12+40",
        "pwrite64:error=EIO:when=90+400",
        "pwrite64:error=ENOSPC:when=100..200",
    ],
)
def test_what_the_disk_refuses_is_not_promised(folder: Path, fault: str) -> None:
    said, done = run(folder, "serve", 300, "-e", f"inject={fault}")
    assert len(said) == 300  # it goes on afterwards
    assert any(call.result == -1 for call in done if call.name in fault)
    disk, promised = Disk(folder / "store"), Promised()
    for number in moments(done, disk, promised):
        random = Random(number)
        if random.random() < 0.05:
            promised.check(content(cut(disk, random, folder / str(number))))
    promised.check(content(str(folder / "store" / "bindings.db")))


def test_many_commits_share_a_sync(folder: Path) -> None:
    said, done = run(folder, "commit", 200)
    assert said == [b"begin", *200 * [b"done"]]
    begin = next(number for number, call in enumerate(done) if call.texts[-1:] == [b"begin\n"])
    syncs = [call for call in done[begin:] if "sync" in call.name and call.result == 0]
    assert 1 <= len(syncs) <= 20


@pytest.mark.parametrize("version", EARLIER, ids=lambda version: str(version.stem))
def test_an_earlier_version_outlives_a_power_cut_while_it_is_brought_up_to_date(
    folder: Path, version: Path
) -> None:
    (folder / "store").mkdir()
    with closing(sqlite3.connect(folder / "store" / "bindings.db")) as file:
        file.executescript(version.read_text())
    before = read(folder / "store")
    _, done = run(folder, "upgrade", 2)
    disk = Disk(folder / "store", before)
    for number, call in enumerate(done):
        disk.take(call)
        if call.name in ("pwrite64", "fdatasync", "ftruncate", "unlink"):
            assert len(content(cut(disk, Random(number), folder / str(number)))) == 2
