"""Configuration files made from a topology are what the daemons read."""

from __future__ import annotations

import json
import tomllib
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import msgspec
import pytest

from moorage import config
from moorage.host.config import HostConfig
from moorage.lab import topology
from moorage.lab.network import Node, Role
from moorage.lab.render import daemon_config, topology_text
from moorage.lab.toml import toml
from moorage.lab.topology import Topology
from moorage.router.config import RouterConfig

TOPOLOGY = topology.load("two-routers")
ROUTER = Node("ar2", Role.ROUTER, -1, -1)
HOST = Node("mn", Role.HOST, -1, -1)


def router(given: Topology = TOPOLOGY) -> RouterConfig:
    return config.parse(daemon_config(given, ROUTER, {}), RouterConfig, "router.toml")


def test_toml_that_is_written_reads_the_same() -> None:
    data = {
        "text": 'quote " backslash \\ line\nend ä \x7f',
        "numbers": [1, 2.5, -3],
        "truth": True,
        "table": {"key with space": {"deeper": ["a", "b"]}, "empty": {}},
        "tables": [{"n": 1}, {"n": 2}],
    }
    assert tomllib.loads(toml(data)) == data


def test_addresses_and_paths_are_text_and_nothing_is_left_out() -> None:
    data = {"a": IPv6Address("::1"), "p": IPv6Network("2001:db8::/32"), "f": Path("/x"), "no": None}
    assert tomllib.loads(toml(data)) == {"a": "::1", "p": "2001:db8::/32", "f": "/x"}
    with pytest.raises(TypeError):
        toml({"c": 1j})


@pytest.mark.parametrize("name", topology.shipped())
def test_a_topology_that_is_written_reads_the_same(name: str) -> None:
    loaded = topology.load(name)
    assert config.parse(topology_text(loaded), Topology, name) == loaded


def test_a_routers_file() -> None:
    read = router()
    assert read.id == "ar2"
    assert read.core_address == IPv6Address("2001:db8:c:2::2")
    assert read.sids.up == IPv6Address("2001:db8:5:2::e")
    assert read.pool == IPv6Network("2001:db8:a200::/40")
    [link] = read.access
    assert (link.interface, link.mtu) == ("acc0", 1500)
    assert link.slaac_prefix == IPv6Network("2001:db8:1002::/64")


def test_routers_of_one_cell_agree_on_its_id() -> None:
    shared = {
        name: msgspec.structs.replace(
            given, access=msgspec.structs.replace(given.access, cell="town")
        )
        for name, given in TOPOLOGY.routers.items()
    }
    together = msgspec.structs.replace(TOPOLOGY, routers=shared)
    [link] = router(together).access
    text = daemon_config(together, Node("ar1", Role.ROUTER, -1, -1), {})
    [other] = config.parse(text, RouterConfig, "router.toml").access
    assert link.link_id == other.link_id is not None
    assert other.slaac_prefix in link.sources


def test_a_hosts_file() -> None:
    read = config.parse(daemon_config(TOPOLOGY, HOST, {}), HostConfig, "host.toml")
    assert list(read.interfaces) == ["wl0", "wl1"]
    assert read.socket == Path("/run/moorage/host.sock")


def test_settings_replace_what_is_generated() -> None:
    host = msgspec.structs.replace(TOPOLOGY.hosts["mn"], settings={"hold": 3, "dwell": 4})
    given = msgspec.structs.replace(TOPOLOGY, hosts={"mn": host})
    read = tomllib.loads(daemon_config(given, HOST, {"dwell": 5}))
    assert (read["hold"], read["dwell"]) == (3, 5)


def test_routers_of_a_cluster_share_no_file_and_members_know_each_other() -> None:
    cluster = topology.load(Path("examples/cluster.toml"))
    read = router(cluster)
    assert read.store == "etcd:/run/moorage/etcd.toml"
    member = json.loads(daemon_config(cluster, Node("st2", Role.STORE, -1, -1), {"name": "other"}))
    assert member["name"] == "other"
    assert member["listen-client-urls"] == "https://[2001:db8:c:12::2]:2379"
    assert member["initial-cluster"].split(",")[2] == "st3=https://[2001:db8:c:13::2]:2380"
