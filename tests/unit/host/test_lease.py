from __future__ import annotations

from ipaddress import IPv6Network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.host.lease import Lease, new_address, unwanted
from moorage.host.lifecycle import State
from tests.scripted import FIXED

PREFIX = IPv6Network("2001:db8:a0:1::/64")


@pytest.mark.parametrize(
    "prefix",
    [
        "2001:db8:a0:1::/65",
        "2001:db8::1/128",
        "fe80::/64",
        "fe80:0:0:9::/64",
        "ff02::/64",
        "::/64",
        "ff00::/8",
    ],
)
def test_unwanted(prefix: str) -> None:
    assert unwanted(IPv6Network(prefix))


@pytest.mark.parametrize("prefix", ["2001:db8:a0:1::/64", "2001:db8:a0::/48", "fd00:1:2:3::/64"])
def test_wanted(prefix: str) -> None:
    assert unwanted(IPv6Network(prefix)) == ""


@given(st.integers(0, 2**32), st.sampled_from([PREFIX, IPv6Network("2001:db8:a0::/48")]))
def test_new_address(seed: int, prefix: IPv6Network) -> None:
    address = new_address(prefix, Random(seed))
    assert address in IPv6Network((prefix.network_address, 64))
    identifier = int(address) & 0xFFFF_FFFF_FFFF_FFFF
    assert 0 < identifier < 0xFDFF_FFFF_FFFF_FF80


def test_new_addresses_differ() -> None:
    random = Random(1)
    assert len({new_address(PREFIX, random) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("state", "alive", "usable"),
    [
        (State.READY, True, True),
        (State.IN_USE, True, True),
        (State.LINGERING, True, True),
        (State.RETIRING, True, False),
        (State.RELEASED, False, False),
        (State.GONE, False, False),
    ],
)
def test_what_a_state_allows(state: State, alive: bool, usable: bool) -> None:
    lease = Lease(1, PREFIX, type=FIXED, state=state, address=PREFIX[1])
    assert (lease.alive, lease.usable, lease.served) == (alive, usable, False)


def test_without_an_address_it_is_of_no_use() -> None:
    lease = Lease(1, type=FIXED)
    assert (lease.alive, lease.usable) == (False, False)
