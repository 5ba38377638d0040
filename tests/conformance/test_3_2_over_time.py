"""Draft section 3.2: how long addresses are valid, by a clock that the test turns."""

from __future__ import annotations

from ipaddress import IPv6Address
from pathlib import Path

import pytest

from moorage.service import ServiceType
from moorage.store.model import BindingState
from tests.conformance.clockwork import DAY, Clockwork

LONG = 70 * DAY
"""Longer than the valid lifetime that a Fixed prefix is given at once."""
ABSENCE = 50 * DAY


@pytest.fixture
async def host(tmp_path: Path) -> Clockwork:
    """A host at the first of two routers."""
    host = Clockwork(tmp_path)
    await host.attach(host.domain.sites[0])
    return host


async def is_still(host: Clockwork, address: IPv6Address) -> bool:
    """Whether host and network both know the address, and the next application gets it."""
    binding = await host.binding()
    assert binding.valid_until > host.clock.now
    assert binding.held
    return host.addresses() == {address} and await host.setsc(ServiceType.FIXED) == address


async def test_a_fixed_address_stays_for_months_unused(host: Clockwork) -> None:
    """3.2-a: an unused Fixed address is renewed for longer than it was valid at first."""
    address = await host.setsc(ServiceType.FIXED)
    await host.pass_time(LONG)
    assert await is_still(host, address)


async def test_a_fixed_address_stays_for_months_of_moves(host: Clockwork) -> None:
    """3.2-a: a Fixed address outlasts months in which the host moves."""
    address = await host.setsc(ServiceType.FIXED)
    for _ in range(10):
        await host.pass_time(LONG / 10)
        await host.move()
        assert await is_still(host, address)


async def test_a_fixed_address_stays_for_weeks_without_a_link(host: Clockwork) -> None:
    """3.2-a: a Fixed address is there again for a host that had no link for weeks."""
    address = await host.setsc(ServiceType.FIXED)
    await host.detach()
    await host.pass_time(ABSENCE)
    assert (await host.binding()).state is BindingState.DETACHED
    await host.attach(host.domain.sites[1])
    assert (await host.binding()).serving == "ar2"
    assert await is_still(host, address)


async def test_a_fixed_address_stays_for_a_host_that_was_off(host: Clockwork) -> None:
    """3.2-a: a Fixed address is there again for a host that was switched off for weeks."""
    address = await host.setsc(ServiceType.FIXED)
    await host.detach()
    host.kill()
    await host.pass_time(ABSENCE)
    await host.start()
    await host.attach(host.domain.sites[1])
    assert await is_still(host, address)


async def test_a_fixed_address_stays_for_a_host_that_has_lost_its_state(host: Clockwork) -> None:
    """3.2-a: nothing but the host's key is needed to get a Fixed address back, even elsewhere."""
    address = await host.setsc(ServiceType.FIXED)
    await host.detach()
    host.kill()
    host.lose_state()
    await host.pass_time(ABSENCE)
    await host.start()
    await host.attach(host.domain.sites[1])
    assert host.addresses() == {address}
    assert await is_still(host, address)


async def test_a_fixed_address_stays_when_routers_start_anew(host: Clockwork) -> None:
    """3.2-a: a Fixed address is renewed by routers that know nothing but the store."""
    address = await host.setsc(ServiceType.FIXED)
    await host.pass_time(DAY)
    host.restart_routers()
    await host.pass_time(LONG)
    await host.move()
    assert await is_still(host, address)


async def test_a_session_lasting_address_does_not(host: Clockwork) -> None:
    """3.2-b: a Session-lasting address that nobody uses goes after the linger time."""
    address = await host.setsc(ServiceType.SESSION_LASTING)
    assert host.addresses() == {address}
    await host.pass_time(DAY)
    assert host.addresses() == set()
    assert [binding for binding in await host.domain.bindings() if binding.held] == []
