"""The table of lifetimes in docs/protocol.md, cell by cell, by a clock that the test turns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from moorage.host.config import HostConfig
from moorage.router.config import RouterConfig
from moorage.service import ServiceType
from moorage.store.model import Binding, BindingState
from tests.conformance.clockwork import Clockwork
from tests.domain import router_config

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"
UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
FIXED = ServiceType.FIXED
GRACEFUL = ServiceType.GRACEFUL_REPLACEMENT
ORDINARY = ServiceType.NON_PERSISTENT


@dataclass(frozen=True)
class Row:
    """What the table says of a type, in seconds; ``linger`` is none where there is no end."""

    preferred: int
    valid: int
    t1: int
    t2: int
    linger: int | None
    detached: int
    quarantine: int


def seconds(text: str) -> list[int]:
    return [int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+) (\w+)", text)]


def read() -> dict[ServiceType, Row]:
    """Return the rows of the table by type."""
    rows = {}
    for line in PROTOCOL.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        kind = next((k for k in ServiceType if cells[0].lower().startswith(k.slug)), None)
        if kind is None or len(cells) != 6:
            continue
        preferred, valid = seconds(cells[1].split(";")[0])
        t1, t2 = seconds(cells[2])
        linger = next(iter(seconds(cells[3])), None)
        detached = next(iter(seconds(cells[4])), 0)
        rows[kind] = Row(preferred, valid, t1, t2, linger, detached, *seconds(cells[5]))
    return rows


TABLE = read()
TYPES = pytest.mark.parametrize("kind", ServiceType, ids=lambda kind: kind.slug)


@pytest.fixture
async def host(tmp_path: Path) -> Clockwork:
    """A host at the first of two routers."""
    host = Clockwork(tmp_path)
    await host.attach(host.domain.sites[0])
    return host


async def held(host: Clockwork, kind: ServiceType, cookie: int | None = 1) -> Binding:
    """Return the binding behind the address that a socket is given."""
    address = await host.setsc(kind, cookie, on_net=kind is ORDINARY)
    binding = await host.binding()
    assert address in binding.prefix
    return binding


async def attended(host: Clockwork, time: int) -> None:
    """Let time pass while the router advertises itself."""
    for start in range(0, time, 60):
        await host.pass_time(min(60, time - start))
        await host.advertise()


def test_the_defaults() -> None:
    config: RouterConfig = router_config()
    assert TABLE.keys() == set(ServiceType)
    for kind, row in TABLE.items():
        given = config.lifetimes.of(kind)
        assert (given.preferred, given.valid) == (row.preferred, row.valid)
        assert (given.t1, given.t2) == (row.t1, row.t2)
        assert (given.detached, given.quarantine) == (row.detached, row.quarantine)
        if row.linger is not None:
            assert HostConfig(interfaces=["wl0"]).linger.of(kind) == row.linger
    assert HostConfig(interfaces=["wl0"]).types_kept == {FIXED}
    assert TABLE[FIXED].linger is None


@TYPES
async def test_preferred_and_valid(host: Clockwork, kind: ServiceType) -> None:
    binding = await held(host, kind)
    now = host.clock.now
    assert binding.preferred_until - now == TABLE[kind].preferred
    assert binding.valid_until - now == TABLE[kind].valid


@TYPES
async def test_it_is_renewed_at_t1_while_a_socket_uses_it(
    host: Clockwork, kind: ServiceType
) -> None:
    before = await held(host, kind)
    await attended(host, TABLE[kind].t1 - 1)
    assert (await host.binding()).valid_until == before.valid_until
    await attended(host, 1)
    assert (await host.binding()).valid_until == before.valid_until + TABLE[kind].t1
    assert (await host.binding()).preferred_until == before.preferred_until + TABLE[kind].t1


@TYPES
async def test_it_is_rebound_at_t2_when_its_router_does_not_renew_it(
    host: Clockwork, kind: ServiceType
) -> None:
    before = await held(host, kind)
    site, host.here = host.here, None
    await host.pass_time(TABLE[kind].t2 - 1)
    host.here = site
    await host.pass_time(2)
    after = await host.binding()
    assert after.valid_until > before.valid_until + TABLE[kind].t2 - 2


@TYPES
async def test_linger(host: Clockwork, kind: ServiceType) -> None:
    await held(host, kind)
    await host.pass_time(500)
    await host.close(1)
    linger = TABLE[kind].linger
    if linger is None:
        await host.pass_time(100_000)
        assert (await host.binding()).held
        return
    await host.pass_time(linger - 1)
    assert (await host.binding()).held
    assert host.addresses()
    await host.pass_time(2)
    assert not (await host.binding()).held
    assert not host.addresses()


@TYPES
async def test_detached(host: Clockwork, kind: ServiceType) -> None:
    before = await held(host, kind)
    await host.detach()
    row = TABLE[kind]
    if row.detached:
        await host.pass_time(row.detached - 1)
        assert (await host.binding()).state is BindingState.DETACHED
        assert (await host.binding()).prefix == before.prefix
        await host.pass_time(1)
    assert (await host.binding()).state is BindingState.RELEASED


@TYPES
async def test_what_the_anchor_no_longer_keeps_is_gone_at_the_next_link(
    host: Clockwork, kind: ServiceType
) -> None:
    before = await held(host, kind)
    await host.detach()
    await host.pass_time(TABLE[kind].detached + 1)
    await host.attach(host.domain.sites[1])
    assert not any(address in before.prefix for address in host.addresses())
    assert not any(host.sockets.values())


@TYPES
async def test_no_socket_outlives_the_valid_lifetime(host: Clockwork, kind: ServiceType) -> None:
    await held(host, kind)
    await host.detach()
    await host.pass_time(TABLE[kind].valid - 1)
    assert any(host.sockets.values())
    assert host.addresses()
    await host.pass_time(2)
    assert not any(host.sockets.values())
    assert not host.addresses()


@TYPES
async def test_quarantine(host: Clockwork, kind: ServiceType) -> None:
    before = await held(host, kind)
    await host.detach()
    await host.pass_time(TABLE[kind].detached)
    released = await host.binding()
    assert released.state is BindingState.RELEASED
    until = host.clock.now + TABLE[kind].quarantine
    assert released.valid_until == pytest.approx(until, abs=1)
    await host.pass_time(TABLE[kind].quarantine - 2)
    assert before.prefix in {binding.prefix for binding in await host.domain.bindings()}
    await host.pass_time(3)
    assert before.prefix not in {binding.prefix for binding in await host.domain.bindings()}


async def test_a_graceful_address_after_a_move(host: Clockwork) -> None:
    cell = next(line for line in PROTOCOL.read_text().splitlines() if "after a move 0 / " in line)
    grace = seconds(cell.split("after a move 0 / ")[1])[0]
    before = await held(host, GRACEFUL)
    await host.move()
    old, new = sorted(await host.domain.bindings(), key=lambda b: b.prefix != before.prefix)
    assert (old.preferred_until, old.valid_until) == (host.clock.now, host.clock.now + grace)
    assert (old.anchor, new.anchor) == (before.anchor, "ar2")
    await host.pass_time(grace - 1)
    assert any(host.sockets.values())
    await host.pass_time(2)
    assert not any(host.sockets.values())
    assert [address in new.prefix for address in host.addresses()] == [True]
