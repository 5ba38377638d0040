"""Networks of today, made of other people's programs on an access router of the lab."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final

import msgspec

from moorage.lab import network
from moorage.lab.lab import Node
from moorage.lab.programs import path_of, server
from moorage.lab.topology import Router

LEASES: Final = "kea-leases.csv"
"""Kea's lease file, in the folder of its node."""

Network = Callable[[Node, Router], AbstractContextManager[None]]
"""Runs what makes a network, on the router's node, as it is described."""


@contextmanager
def radvd(node: Node, router: Router) -> Iterator[None]:
    """Router advertisements and nothing else."""
    text = f"""
        interface {network.ACCESS} {{
            AdvSendAdvert on;
            MinRtrAdvInterval 3;
            MaxRtrAdvInterval 4;
            prefix {router.access.prefix} {{ }};
        }};
    """
    config = _config(node, "radvd.conf", text)
    pid = f"{network.NODE_FOLDER}/radvd.pid"
    argv = [path_of("radvd"), "--nodaemon", "--logmethod", "stderr", "--debug", "1"]
    with server(node, [*argv, "--config", config, "--pidfile", pid], "started"):
        yield


@contextmanager
def dnsmasq(node: Node, router: Router) -> Iterator[None]:
    """Router advertisements and DHCPv6 addresses, from one program."""
    first, last = router.access.prefix[0x1000], router.access.prefix[0x1FFF]
    leases = f"{network.NODE_FOLDER}/dnsmasq.leases"
    argv = [
        *(path_of("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--port=0"),
        *("--user=root", "--log-facility=-", "--enable-ra", f"--dhcp-leasefile={leases}"),
        *(f"--interface={network.ACCESS}", f"--dhcp-range={first},{last},slaac,64,1h"),
    ]
    with server(node, argv, "router advertisement on"):
        yield


@contextmanager
def kea(node: Node, router: Router) -> Iterator[None]:
    """Router advertisements, and DHCPv6 prefix delegation without any types."""
    pool = {
        "prefix": str(router.pool.network_address),
        "prefix-len": router.pool.prefixlen,
        "delegated-len": 64,
    }
    lease_file = f"{network.NODE_FOLDER}/{LEASES}"
    settings = {
        "data-directory": str(network.NODE_FOLDER),
        "interfaces-config": {"interfaces": [network.ACCESS]},
        "lease-database": {"type": "memfile", "persist": True, "name": lease_file},
        "subnet6": [
            {
                "subnet": str(router.access.prefix),
                "interface": network.ACCESS,
                "rapid-commit": True,
                "pd-pools": [pool],
            }
        ],
        "loggers": [
            {"name": "kea-dhcp6", "output_options": [{"output": "stderr"}], "severity": "INFO"},
            # A line for each lease would fill the pipe that nobody reads any longer.
            {"name": "kea-dhcp6.leases", "severity": "WARN"},
        ],
    }
    config = _config(node, "kea.conf", msgspec.json.encode({"Dhcp6": settings}).decode())
    # Its lock file would be outside of the node.
    folders = [f"{key}={network.NODE_FOLDER}" for key in ("KEA_LOCKFILE_DIR", "KEA_PIDFILE_DIR")]
    argv = ["/usr/bin/env", *folders, path_of("kea-dhcp6"), "-c", config]
    with ExitStack() as stack:
        stack.enter_context(radvd(node, router))
        stack.enter_context(server(node, argv, "DHCP6_STARTED"))
        yield


def _config(node: Node, name: str, text: str) -> str:
    """Write a file into a node's folder, and return its path there."""
    (node.folder / name).write_text(text)
    return f"{network.NODE_FOLDER}/{name}"
