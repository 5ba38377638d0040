from __future__ import annotations

from ipaddress import IPv6Network

import pytest

from moorage.host.lease import Lease, unwanted
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
