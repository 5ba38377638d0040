"""The etcd cluster of a lab: its members' configuration, and that of the routers as its clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from moorage.lab.certificates import CA, CERTIFICATE, KEY, Authority
from moorage.lab.network import NODE_FOLDER, SHARED, Node, Role
from moorage.lab.toml import toml
from moorage.lab.topology import Topology

CLIENT_CONFIG: Final = "etcd.toml"
"""In a router's folder: where the cluster is, as `moorage.store.etcd.config.EtcdConfig` has it."""

_CERTIFICATES: Final = "tls"
_CLIENT_PORT: Final = 2379
_PEER_PORT: Final = 2380


def equip(topology: Topology, nodes: Mapping[str, Node]) -> None:
    """Give members and routers their certificates, and routers the way there. Raises OSError."""
    authority = Authority()
    for name, node in nodes.items():
        if node.role is Role.STORE:
            core = topology.stores[name].core
            authority.issue(node.folder / _CERTIFICATES, name, [core.address])
        elif node.role is Role.ROUTER:
            authority.issue(node.folder / _CERTIFICATES, name)
            (node.folder / CLIENT_CONFIG).write_text(toml(_client_config(topology)))


def _client_config(topology: Topology) -> dict[str, Any]:
    return {
        "endpoints": [
            f"[{member.core.address}]:{_CLIENT_PORT}" for member in topology.stores.values()
        ],
        "tls": {
            "ca": _file(CA),
            "certificate": _file(CERTIFICATE),
            "key": _file(KEY),
        },
    }


def member_config(topology: Topology, name: str) -> dict[str, Any]:
    """The configuration of the etcd that is member ``name``."""
    client = _url(topology, name, _CLIENT_PORT)
    peer = _url(topology, name, _PEER_PORT)
    security = {
        "cert-file": _file(CERTIFICATE),
        "key-file": _file(KEY),
        "trusted-ca-file": _file(CA),
        "client-cert-auth": True,
    }
    return {
        "name": name,
        "data-dir": str(NODE_FOLDER / SHARED / f"{name}.etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": ",".join(
            f"{member}={_url(topology, member, _PEER_PORT)}" for member in topology.stores
        ),
        "client-transport-security": security,
        "peer-transport-security": security,
        "logger": "zap",
        "log-level": "warn",
        "log-outputs": ["stderr"],
        **topology.stores[name].settings,
    }


def _file(name: str) -> str:
    return str(NODE_FOLDER / _CERTIFICATES / name)


def _url(topology: Topology, member: str, port: int) -> str:
    return f"https://[{topology.stores[member].core.address}]:{port}"
