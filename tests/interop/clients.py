"""Other people's programs that configure the interfaces of a host."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from moorage.lab import network
from moorage.lab.lab import Node
from moorage.lab.programs import path_of

Client = Callable[[Node], AbstractContextManager[None]]
"""Runs a program that takes addresses and a prefix on ``wl0`` and gives the prefix to ``wl1``."""

_PATIENCE = 10.0
"""Seconds until a program that was asked to end is killed."""

_DHCPCD = """\
ipv6only
allowinterfaces wl0 wl1
nohook resolv.conf
interface wl0
ia_pd 1/::/64 wl1/0/64
interface wl1
noipv6rs
"""
_NETWORKD = """\
[Match]
Name=wl0
[Network]
LinkLocalAddressing=ipv6
IPv6AcceptRA=yes
DHCP=ipv6
[IPv6AcceptRA]
DHCPv6Client=always
[DHCPv6]
WithoutRA=solicit
"""
_NETWORKD_DOWNSTREAM = """\
[Match]
Name=wl1
[Network]
IPv6AcceptRA=no
DHCPPrefixDelegation=yes
"""


@contextmanager
def dhcpcd(host: Node) -> Iterator[None]:
    """Run dhcpcd, which does what the kernel does elsewhere: it takes advertisements in."""
    (host.folder / "dhcpcd.conf").write_text(_DHCPCD)
    command = f"{path_of('dhcpcd')} --nobackground -6 -f {network.NODE_FOLDER}/dhcpcd.conf wl0"
    with _own_folders(host, ["/var/lib/dhcpcd", "/run/dhcpcd"], f"exec {command}"):
        yield


@contextmanager
def networkd(host: Node) -> Iterator[None]:
    """Run systemd-networkd, which removes foreign routes and rules when it starts."""
    (host.folder / "wl0.network").write_text(_NETWORKD)
    (host.folder / "wl1.network").write_text(_NETWORKD_DOWNSTREAM)
    prepare = [
        "mount -t sysfs -o ro sysfs /sys",  # or it waits for udev
        "mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases",
        "chown -R systemd-network /run/systemd/netif",
        f"cp {network.NODE_FOLDER}/*.network /run/systemd/network",
        "exec /lib/systemd/systemd-networkd",
    ]
    with _own_folders(host, ["/run/systemd"], " && ".join(prepare)):
        yield


@contextmanager
def _own_folders(host: Node, folders: list[str], command: str) -> Iterator[None]:
    """Run a shell command with folders, and a list of name servers, of its own."""
    names = f"{network.NODE_FOLDER}/resolv.conf"
    own_names = f"touch {names} && mount --bind {names} /etc/resolv.conf"
    mounts = [f"mkdir -p {folder} && mount -t tmpfs own {folder}" for folder in folders]
    script = " && ".join([own_names, *mounts, command])
    argv = ["unshare", "--mount", "sh", "-c", script]
    quiet = subprocess.DEVNULL
    with host.popen(argv, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
