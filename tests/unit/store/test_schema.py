"""The file itself: made once, brought up to date, and refused when it is not what it should be."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path
from threading import Barrier

import pytest

from moorage.service import ServiceType
from moorage.store.model import Anchor, Binding, BindingState, Router
from moorage.store.protocol import Create, RouterChanged, Snapshot, StoreError
from moorage.store.schema import VERSION, connect
from moorage.store.sqlite import SqliteStore

EARLIER = sorted(
    (Path(__file__).parent / "versions").glob("*.sql"), key=lambda path: int(path.stem)
)
"""What the program of each earlier version wrote: the same few bindings and a router."""

LATER = (
    rf"bindings\.db: has schema version {VERSION + 1}, this program knows those up to {VERSION}$"
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "bindings.db")


def tables(path: str) -> set[str]:
    """What the file is made of, white space apart."""
    with closing(sqlite3.connect(path)) as file:
        found = file.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
        return {" ".join(sql.split()) for (sql,) in found}


def make(path: str, version: Path) -> None:
    """Make the file as the program of an earlier version left it."""
    with closing(sqlite3.connect(path)) as file:
        file.executescript(version.read_text())


def test_there_is_a_file_of_every_earlier_version() -> None:
    assert [int(version.stem) for version in EARLIER] == list(range(1, VERSION))


@pytest.mark.parametrize("version", EARLIER, ids=lambda version: str(version.stem))
async def test_an_earlier_version_is_brought_up_to_date(
    path: str, tmp_path: Path, version: Path, binding: Binding, router: Router, anchor: Anchor
) -> None:
    make(path, version)
    gone = replace(
        binding, seq=2, serving=None, link=None, next_hop=None, state=BindingState.RELEASED
    )
    fixed = replace(
        binding,
        prefix=IPv6Network("2001:db8:a100:2::/64"),
        type=ServiceType.FIXED,
        key=None,
    )
    for _ in range(2):
        store = SqliteStore.open(path)
        routers, anchors = (replace(router, lease=5.0),), (anchor,)
        assert await store.snapshot() == Snapshot(4, (gone, fixed), routers, anchors=anchors)
        await store.close()
    connect(str(tmp_path / "new.db")).close()
    assert tables(path) == tables(str(tmp_path / "new.db"))


@pytest.mark.parametrize("version", EARLIER, ids=lambda version: str(version.stem))
async def test_a_store_that_was_brought_up_to_date_goes_on(
    path: str, version: Path, binding: Binding, router: Router
) -> None:
    make(path, version)
    store = SqliteStore.open(path)
    start = (await store.snapshot()).revision
    async with asyncio.timeout(30), aclosing(store.watch(start)) as watch:
        await store.commit([Create(replace(binding, prefix=IPv6Network("::/64"), iaid=9))])
        assert (await anext(watch)).revision == start + 1
        await store.register(router)
        assert await anext(watch) == RouterChanged(start + 2, router)
    await store.close()


def together(open_file: Callable[[], sqlite3.Connection]) -> None:
    """Let four threads open a file at the same moment."""
    barrier = Barrier(4)

    def run(_: int) -> sqlite3.Connection:
        barrier.wait()
        return open_file()

    with ThreadPoolExecutor(4) as pool:
        for connection in pool.map(run, range(4)):
            connection.close()


@pytest.mark.parametrize("version", [None, *EARLIER], ids=lambda version: version and version.stem)
def test_a_file_is_made_or_brought_up_to_date_once(tmp_path: Path, version: Path | None) -> None:
    for number in range(10):
        path = str(tmp_path / f"{number}.db")
        if version is not None:
            make(path, version)
        together(lambda path=path: connect(path))  # type: ignore[misc]


async def test_many_may_open_a_new_file_at_once(path: str) -> None:
    stores = await asyncio.gather(*(asyncio.to_thread(SqliteStore.open, path) for _ in range(8)))
    assert {(await store.snapshot()).revision for store in stores} == {0}
    for store in stores:
        await store.close()


def set_version(path: str, version: int) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"PRAGMA user_version = {version}")


def test_a_later_version_is_refused(path: str) -> None:
    connect(path).close()
    set_version(path, VERSION + 1)
    with pytest.raises(StoreError, match=LATER):
        SqliteStore.open(path)


async def test_a_later_program_may_take_the_file_over_while_it_is_open(
    path: str, binding: Binding
) -> None:
    store = SqliteStore.open(path)
    set_version(path, VERSION + 1)
    with pytest.raises(StoreError, match=LATER):
        await store.commit([Create(binding)])
    set_version(path, VERSION)
    await store.commit([Create(binding)])
    await store.close()


def test_database_of_another_program_is_refused_and_kept(path: str) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE theirs (x)")
    before = Path(path).read_bytes()
    with pytest.raises(StoreError, match=r"bindings\.db: is a database of another program$"):
        SqliteStore.open(path)
    assert Path(path).read_bytes() == before


def test_other_file_is_refused_and_kept(path: str) -> None:
    Path(path).write_text("not a database, though it is long enough to be one\n" * 100)
    with pytest.raises(StoreError, match=r"bindings\.db: file is not a database$"):
        SqliteStore.open(path)
    assert Path(path).read_text().startswith("not a database")


async def fill(path: str, binding: Binding) -> None:
    """Leave a file with a hundred bindings, and nothing in its journal."""
    store = SqliteStore.open(path)
    for number in range(100):
        prefix = IPv6Network((binding.prefix.network_address + (number << 64), 64))
        await store.commit([Create(replace(binding, prefix=prefix, iaid=number))])
    await store.close()


def overwrite(path: str, start: int, end: int | None) -> None:
    """Put zeros over a part of a file."""
    content = bytearray(Path(path).read_bytes())
    content[start:end] = bytes(len(content[start:end]))
    Path(path).write_bytes(content)


def halve(path: str) -> None:
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])


def execute(path: str, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(statement)


def update(path: str, value: str) -> None:
    execute(path, f"UPDATE binding SET {value} WHERE iaid = 7")


DAMAGES: dict[str, Callable[[str], None]] = {
    "header": lambda path: overwrite(path, 0, 100),
    "all but the header": lambda path: overwrite(path, 100, None),
    "all but the first page": lambda path: overwrite(path, 4096, None),
    "half is missing": halve,
    "no table": lambda path: execute(path, "DROP TABLE binding"),
    "short prefix": lambda path: update(path, "prefix = x'20'"),
    "host bits": lambda path: update(path, "length = 16"),
    "type": lambda path: update(path, "type = 9"),
    "state": lambda path: update(path, "state = 'lost'"),
    "next hop": lambda path: update(path, "next_hop = x'fe'"),
    "text": lambda path: update(path, "anchor = CAST(x'ff' AS TEXT)"),
}


async def read(path: str) -> None:
    """Open the file and read all of it."""
    store = SqliteStore.open(path)
    try:
        await store.snapshot()
    finally:
        await store.close()


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damage_is_told_in_one_line(path: str, binding: Binding, damage: str) -> None:
    await fill(path, binding)
    DAMAGES[damage](path)
    with pytest.raises(StoreError) as caught:
        await read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("binding", "x'c1'"),
        ("binding", "x'90'"),
        ("gone", "x'92c40100'"),
        ("router", "x'90'"),
        ("left", "x'90'"),
        ("anchor", "x'90'"),
        ("moved", "x'90'"),
    ],
)
async def test_damage_of_the_log_is_told_in_one_line(path: str, kind: str, row: str) -> None:
    store = SqliteStore.open(path)
    execute(path, f"INSERT INTO change VALUES (1, 0, '{kind}', {row})")
    async with aclosing(store.watch(0)) as watch:
        with pytest.raises(StoreError, match=r"bindings\.db: the change of revision 1 is damaged"):
            await anext(watch)
    await store.close()
