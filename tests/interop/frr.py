"""FRR's bgpd on nodes of a lab."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final

from moorage.lab.lab import Lab
from moorage.lab.network import NODE_FOLDER
from moorage.lab.topology import CORE
from tests.conformance.scene import eventually

ANNOUNCE: Final = Path(__file__).parents[2] / "packaging" / "announce-frr"
DAEMONS: Final = Path("/usr/lib/frr")
FOLDER: Final = NODE_FOLDER / "frr"
VTYSH: Final = f"vtysh --vty_socket {FOLDER}"
NUMBERS: Final = {CORE: 65000, "ar1": 65001, "ar2": 65002, "ar3": 65003}
"""The autonomous systems: each node is one."""

BGP: Final = """
router bgp {number}
 bgp router-id 10.0.0.{index}
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
"""
NEIGHBOUR: Final = """
 neighbor {address} remote-as {number}
 neighbor {address} timers 1 3
 neighbor {address} timers connect 1
 address-family ipv6 unicast
  neighbor {address} activate
 exit-address-family
"""


@contextmanager
def bgp(lab: Lab, node: str, neighbours: Mapping[str, IPv6Address]) -> Iterator[None]:
    """Run zebra and bgpd on a node of a lab; they are there when they take commands."""
    inside = lab.node(node)
    folder = inside.folder / "frr"
    folder.mkdir()
    os.chown(folder, pwd.getpwnam("frr").pw_uid, grp.getgrnam("frr").gr_gid)
    text = BGP.format(number=NUMBERS[node], index=list(NUMBERS).index(node) + 1)
    for name, address in neighbours.items():
        text += NEIGHBOUR.format(address=address, number=NUMBERS[name])
    (folder / "zebra.conf").write_text("")
    (folder / "bgpd.conf").write_text(text)
    with ExitStack() as stack:
        for daemon in ("zebra", "bgpd"):
            argv = [
                *(str(DAEMONS / daemon), "-f", f"{FOLDER}/{daemon}.conf"),
                *("-i", f"{FOLDER}/{daemon}.pid", "-z", f"{FOLDER}/zserv.api"),
                *("--vty_socket", str(FOLDER), "-P", "0"),
            ]
            with (folder / f"{daemon}.log").open("wb") as log:
                process = inside.popen(
                    argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            eventually((folder / f"{daemon}.vty").exists)
        yield
