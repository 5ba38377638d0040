"""Topology files: what comes with the package, and what is refused and how."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from moorage import config
from moorage.lab import topology
from moorage.lab.topology import Topology

SMALL = """
sid_block = "2001:db8:5::/48"

[routers.ar1]
pool = "2001:db8:a100::/40"
down_sid = "2001:db8:5:1::d"
up_sid = "2001:db8:5:1::e"
core = { prefix = "2001:db8:c:1::/64" }
access = { prefix = "2001:db8:1001::/64" }

[correspondents.cn]
core = { prefix = "2001:db8:c0::/64" }

[hosts.mn]
attach = { wl0 = "ar1" }
"""


def parse(text: str) -> Topology:
    return config.parse(text, Topology, "lab.toml")


@pytest.mark.parametrize("name", topology.shipped())
def test_every_shipped_topology_is_right(name: str) -> None:
    loaded = topology.load(name)
    assert loaded.hosts["mn"].attach == {"wl0": "ar1"}
    assert loaded.correspondents["cn"].core.address == IPv6Address("2001:db8:c0::2")


def test_the_shipped_ones_differ_as_their_names_say() -> None:
    two, three, delay = map(topology.load, ("two-routers", "three-routers", "two-routers-delay"))
    assert (len(two.routers), len(three.routers)) == (2, 3)
    assert {router.core.delay for router in delay.routers.values()} == {0.01}
    assert not any(router.core.relayed for router in two.routers.values())


def test_addresses_follow_from_prefixes() -> None:
    router = parse(SMALL).routers["ar1"]
    assert router.core.core_address == IPv6Address("2001:db8:c:1::1")
    assert router.core.address == IPv6Address("2001:db8:c:1::2")
    assert router.access.router_address == IPv6Address("2001:db8:1001::1")
    assert set(router.prefixes()) == {
        IPv6Network("2001:db8:a100::/40"),
        IPv6Network("2001:db8:1001::/64"),
        IPv6Network("2001:db8:5:1::d/128"),
        IPv6Network("2001:db8:5:1::e/128"),
    }


def test_a_cell_is_the_routers_own_or_shared() -> None:
    assert parse(SMALL).cell_of("ar1") == "ar1"
    shared = SMALL.replace('"2001:db8:1001::/64"', '"2001:db8:1001::/64", cell = "town"')
    assert parse(shared).cell_of("ar1") == "town"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("[routers.ar1]", "[routers.core]", "two nodes are called 'core'"),
        ("[correspondents.cn]", "[correspondents.mn]", "two nodes are called 'mn'"),
        ("[hosts.mn]", "[hosts.Mobile]", "matching regex"),
        ("[hosts.mn]", "[hosts.a-long-name]", "matching regex"),
        ('wl0 = "ar1"', 'wl7 = "ar1"', "hosts.mn.attach: no interface 'wl7'"),
        ('wl0 = "ar1"', 'wl0 = "ar9"', "hosts.mn.attach.wl0: no router 'ar9'"),
        ("2001:db8:1001::/64", "2001:db8:c0::/64", "overlaps"),
        ("2001:db8:1001::/64", "2001:db8:1001::/48", "prefix: 2001:db8:1001::/48 must be /64"),
        ("2001:db8:a100::/40", "2001:db8:a100::/72", "pool: 2001:db8:a100::/72 must be /1 to /64"),
        ('c:1::/64"', 'c:1::/64", mtu = 1000', "mtu: IPv6 needs 1280 to 65535"),
        ('c:1::/64"', 'c:1::/64", delay = -1', "delay: must not be negative"),
        ('c:1::/64"', 'c:1::/64", loss = 1.5', "loss: from 0 to 1"),
        ("attach =", "attached =", "unknown field `attached`"),
        ("2001:db8:5:1::d", "router", "routers[...].down_sid"),
    ],
)
def test_a_mistake_is_named(old: str, new: str, what: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        parse(SMALL.replace(old, new))
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_topology_is_a_file_or_a_shipped_name(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(SMALL)
    assert topology.load(file) == topology.load(str(file)) == parse(SMALL)
    with pytest.raises(config.ConfigError, match="shipped: three-routers, two-routers"):
        topology.load("nowhere")
    with pytest.raises(config.ConfigError, match=r"nowhere\.toml: No such file"):
        topology.load(tmp_path / "nowhere.toml")
