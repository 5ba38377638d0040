"""The etcd cluster of a lab: its members, and the routers as its clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from moorage.lab.certificates import Authority, Certificates
from moorage.lab.etcd import Member
from moorage.lab.network import NODE_FOLDER, SHARED, Node, Role
from moorage.lab.toml import toml
from moorage.lab.topology import Topology

CLIENT_CONFIG: Final = "etcd.toml"
"""In a router's folder: where the cluster is, as `moorage.store.etcd.config.EtcdConfig` has it."""

_CERTIFICATES: Final = "tls"
_FILES: Final = Certificates.within(NODE_FOLDER / _CERTIFICATES)
_CLIENT_PORT: Final = 2379
_PEER_PORT: Final = 2380


def equip(topology: Topology, nodes: Mapping[str, Node]) -> None:
    """Give members and routers their certificates, and routers the way there. Raises OSError."""
    authority = Authority()
    for name, node in nodes.items():
        folder = node.folder / _CERTIFICATES
        if node.role is Role.STORE:
            authority.issue(folder, name, [topology.stores[name].core.address])
        elif node.role is Role.ROUTER:
            authority.issue(folder, name)
            (node.folder / CLIENT_CONFIG).write_text(toml(_client_config(topology)))


def _client_config(topology: Topology) -> dict[str, Any]:
    return {
        "endpoints": [member.client for member in _members(topology).values()],
        "tls": {
            "ca": _FILES.ca,
            "certificate": _FILES.certificate,
            "key": _FILES.key,
        },
    }


def member_config(topology: Topology, name: str) -> dict[str, Any]:
    """Return the configuration of the etcd that is member ``name``."""
    members = _members(topology)
    return {**members[name].config(list(members.values())), **topology.stores[name].settings}


def _members(topology: Topology) -> dict[str, Member]:
    return {
        name: Member(
            name=name,
            folder=NODE_FOLDER / SHARED / f"{name}.etcd",
            client=f"[{member.core.address}]:{_CLIENT_PORT}",
            peer=f"[{member.core.address}]:{_PEER_PORT}",
            certificates=_FILES,
        )
        for name, member in topology.stores.items()
    }
