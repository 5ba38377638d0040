from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from pathlib import Path as FilePath

import pytest

from moorage.host.attachment import Traits
from moorage.host.lease import Lease
from moorage.host.lifecycle import State
from moorage.host.outcome import Association
from moorage.host.owed import Owed
from moorage.host.reach import Path, Reach, Reachability
from moorage.host.state import Memory, StateError, StateFile
from moorage.service import ServiceType
from tests.scripted import FIXED, LASTING, SERVER, WL0

EPOCH = 1_700_000_000.0
PREFIX = IPv6Network("2001:db8:a0:1::/64")
OTHER = IPv6Network("2001:db8:a0:2::/64")
LINK = Traits(b"operator", b"link one", frozenset({IPv6Address("fe80::a1")}), frozenset({OTHER}))
PATH = Path(WL0, IPv6Address("fe80::a1"), 1400)


def lease(state: State = State.IN_USE, path: Path | None = PATH) -> Lease:
    return Lease(
        7,
        PREFIX,
        SERVER,
        Reachability(Reach.SERVED, path),
        type=LASTING,
        kept=True,
        state=state,
        address=PREFIX[9],
        preferred_until=3000.0,
        valid_until=5000.0,
        granted_at=900.0,
        lifetime=60,
        succeeds=6,
        sent=1234,
        spent=True,
        untyped=True,
        stopgap=True,
        sockets={1, 2},
    )


@pytest.fixture
def file(tmp_path: FilePath) -> FilePath:
    return tmp_path / "leases.json"


def name(index: int) -> str:
    return {WL0: "wl0"}.get(index, "")


def nowhere(_: str) -> None:
    """Find no interface."""


def again(file: FilePath, leases: list[Lease], index: int | None = 5) -> list[Lease]:
    """Return what is loaded after a restart of the machine, 100 s later; wl0 is now ``index``."""
    StateFile(file, EPOCH).save(Memory(leases), name)
    memory = StateFile(file, EPOCH + 1100).load({"wl0": index}.__getitem__, 0.0)
    return list(memory.leases)


def test_no_file(file: FilePath) -> None:
    assert StateFile(file, EPOCH).load(nowhere, 0.0) == Memory(whole=False)


def test_round_trip(file: FilePath) -> None:
    [found] = again(file, [lease()])
    assert (found.iaid, found.type, found.kept, found.server) == (7, LASTING, True, SERVER)
    assert (found.prefix, found.address) == (PREFIX, PREFIX[9])
    assert (found.preferred_until, found.valid_until) == (1900.0, 3900.0)
    assert (found.granted_at, found.lifetime, found.succeeds) == (-200.0, 60, 6)
    assert (found.sent, found.spent) == (1234, True)
    assert (found.untyped, found.stopgap) == (True, True)
    assert found.path == Path(5, PATH.router, PATH.mtu)
    assert (found.state, found.sockets) == (State.READY, set())
    assert (found.reach.state, found.reach.since) == (Reach.DETACHED, 0.0)


def test_links_are_remembered(file: FilePath) -> None:
    state = StateFile(file, EPOCH)
    state.save(Memory(links={"wl0": LINK}), name)
    assert state.load(nowhere, 0.0).links == {"wl0": LINK}


def test_debts_are_remembered(file: FilePath) -> None:
    owed = Owed(Association(7, LASTING, PREFIX), b"operator", SERVER, 5000.0)
    StateFile(file, EPOCH).save(Memory(owed=[owed]), name)
    assert StateFile(file, EPOCH).load(nowhere, 0.0).owed == [owed]


def test_what_retires_retires_on(file: FilePath) -> None:
    [found] = again(file, [lease(State.RETIRING)])
    assert found.state is State.RETIRING


@pytest.mark.parametrize("path", [None, PATH])
def test_interface_that_is_gone(file: FilePath, path: Path | None) -> None:
    [found] = again(file, [lease(path=path)], index=None)
    assert (found.path, found.reach.state) == (None, Reach.REFUSED)


def test_what_has_no_address_is_not_kept(file: FilePath) -> None:
    assert again(file, [Lease(1, type=FIXED, kept=True)]) == []


@pytest.mark.parametrize(("type_", "whole"), [(FIXED, False), (LASTING, True)])
def test_fixed_addresses_that_seem_to_be_over_may_not_be(
    file: FilePath, type_: ServiceType, whole: bool
) -> None:
    old = lease()
    old.type, old.valid_until = type_, 1100.0
    state = StateFile(file, EPOCH)
    state.save(Memory([old]), name)
    assert StateFile(file, EPOCH + 1100).load(nowhere, 0.0).whole is whole


def test_damaged_file_is_put_aside(file: FilePath) -> None:
    file.write_text("{")
    state = StateFile(file, EPOCH)
    aside = state.put_aside()
    assert (aside.read_text(), aside.parent) == ("{", file.parent)
    assert not file.exists()


def test_the_file_is_replaced_at_once(file: FilePath) -> None:
    again(file, [lease()])
    assert again(file, []) == []
    assert [entry.name for entry in file.parent.iterdir()] == ["leases.json"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "null",
        lambda text: text.replace("2001:db8:a0:1::9", "an address"),
        lambda text: text.replace("::/64", "::9/64"),
        lambda text: text.replace('"type":2', '"type":9'),
        lambda text: text.replace('"iaid":7', '"iaid":"7"'),
        lambda text: text.replace(SERVER.hex(), "x"),
        lambda text: text.replace("fe80::a1", "fe80:a1"),
    ],
)
def test_damaged_file(file: FilePath, change: object) -> None:
    assert callable(change)
    state = StateFile(file, EPOCH)
    state.save(Memory([lease()], {"wl0": LINK}), name)
    file.write_text(change(file.read_text()))
    with pytest.raises(StateError, match=r"leases\.json"):
        state.load(nowhere, 0.0)


def test_file_that_is_not_text(file: FilePath) -> None:
    file.write_bytes(b"\xff\xfe\0")
    with pytest.raises(StateError):
        StateFile(file, EPOCH).load(nowhere, 0.0)


def test_folder_that_is_gone(file: FilePath) -> None:
    with pytest.raises(OSError, match="No such file"):
        StateFile(file.parent / "gone" / "leases.json", EPOCH).save(Memory([lease()]), name)
