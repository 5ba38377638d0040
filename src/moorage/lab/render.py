"""Configuration files of the daemons in a lab, generated from its topology."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import Any, Final

from moorage.lab import announce, cluster
from moorage.lab.network import ACCESS, NODE_FOLDER, SHARED, UPLINK, Node, Role
from moorage.lab.toml import toml
from moorage.lab.topology import Topology

_DOMAIN: Final = "6d6f6f726167652d"


def topology_text(topology: Topology) -> str:
    """The TOML text that describes this topology."""
    return toml(topology)


def daemon_config(topology: Topology, node: Node, settings: Mapping[str, Any]) -> str:
    """The configuration file of a node's daemon.

    The topology's own settings of the node, and then ``settings``, replace what is generated.
    """
    if node.role is Role.STORE:
        return json.dumps({**cluster.member_config(topology, node.name), **settings})
    if node.role is Role.ROUTER:
        generated = _router(topology, node.name)
        own = topology.routers[node.name].settings
    else:
        generated = _host(topology, node.name)
        own = topology.hosts[node.name].settings
    return toml({**generated, **own, **settings})


def _router(topology: Topology, name: str) -> dict[str, Any]:
    router = topology.routers[name]
    access: dict[str, Any] = {
        "interface": ACCESS,
        "slaac_prefix": router.access.prefix,
        "mtu": router.access.mtu,
    }
    cell = topology.cell_of(name)
    if router.access.cell is not None:  # several routers of one link have to agree
        access["link_id"] = hashlib.sha256(cell.encode()).hexdigest()[:16]
    access["other_sources"] = [
        other.access.prefix
        for other_name, other in topology.routers.items()
        if other_name != name and topology.cell_of(other_name) == cell
    ]
    return {
        "id": name,
        "domain": _DOMAIN,
        "core_interface": UPLINK,
        "core_address": router.core.address,
        "core_mtu": router.core.mtu,
        "sids": {"block": topology.sid_block, "down": router.down_sid, "up": router.up_sid},
        "pool": router.pool,
        "store": f"etcd:{NODE_FOLDER / cluster.CLIENT_CONFIG}"
        if topology.stores
        else f"sqlite:{NODE_FOLDER / SHARED / 'bindings.db'}",
        "access": [access],
        "announce": _announce(router.core.core_address) if topology.announces else None,
    }


def _announce(core: IPv6Address) -> dict[str, Any]:
    return {"command": [sys.executable, "-I", "-S", announce.__file__, str(core)], "retry": 1.0}


def _host(topology: Topology, name: str) -> dict[str, Any]:
    return {
        "interfaces": topology.hosts[name].interfaces,
        "state": NODE_FOLDER / "state",
        "socket": NODE_FOLDER / "host.sock",
        "at_boot": ["session-lasting"],
    }
