"""Other people's programs that configure the interfaces of a host."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from moorage.lab import network
from moorage.lab.lab import Node
from moorage.lab.programs import path_of

Client = Callable[[Node], AbstractContextManager[subprocess.Popen[bytes]]]
"""Runs a program that takes addresses and a prefix on ``wl0`` and gives the prefix to ``wl1``."""

_PATIENCE = 10.0
"""Seconds until a program that was asked to end is killed."""

_DHCPCD = """\
ipv6only
allowinterfaces wl0 wl1
script /bin/true
interface wl0
{delegation}
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


# What is done with a lease is a script's matter; the program's own one forgets prefixes.
_DHCLIENT_SCRIPT = """\
#!/bin/sh
set_addresses() {
    [ -z "$1" ] || ip -6 addr replace "${1%/*}1/64" dev wl1
    [ -z "$2" ] || ip -6 addr replace "$2/128" dev wl0
}
remove_addresses() {
    [ -z "$1" ] || ip -6 addr del "${1%/*}1/64" dev wl1
    [ -z "$2" ] || ip -6 addr del "$2/128" dev wl0
}
case $reason in
    BOUND6|RENEW6|REBIND6) set_addresses "$new_ip6_prefix" "$new_ip6_address" ;;
    DEPREF6) ;;
    *) remove_addresses "$old_ip6_prefix" "$old_ip6_address" ;;
esac
"""


@contextmanager
def dhcpcd(
    host: Node, options: Iterable[str] = (), delegation: str = "ia_pd 1/::/64 wl1/0/64"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run dhcpcd, which does what the kernel does elsewhere: it takes advertisements in.

    SIGALRM has it give back what it holds, and end. ``options`` are lines of its configuration,
    and ``delegation`` is the one that says what prefix it asks for, and what becomes of it.
    """
    settings = "\n".join([*options, _DHCPCD.format(delegation=delegation)])
    (host.folder / "dhcpcd.conf").write_text(settings)
    command = f"{path_of('dhcpcd')} --nobackground -6 -f {network.NODE_FOLDER}/dhcpcd.conf wl0"
    with _own_folders(host, ["/var/lib/dhcpcd", "/run/dhcpcd"], f"exec {command}") as process:
        yield process


@contextmanager
def networkd(host: Node) -> Iterator[subprocess.Popen[bytes]]:
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
    with _own_folders(host, ["/run/systemd"], " && ".join(prepare)) as process:
        yield process


@contextmanager
def dhclient(host: Node, options: Iterable[str] = ("-P",)) -> Iterator[subprocess.Popen[bytes]]:
    """Run dhclient for a prefix, or for what ``options`` say.

    When it ends it gives nothing back; started again, it goes on with what it had.
    """
    script = host.folder / "dhclient-script"
    script.write_text(_DHCLIENT_SCRIPT)
    script.chmod(0o755)
    (host.folder / "dhclient.conf").touch()
    folder = network.NODE_FOLDER
    argv = [
        *(path_of("dhclient"), "-6", *options, "-d", "-sf", f"{folder}/{script.name}"),
        *("-cf", f"{folder}/dhclient.conf", "-lf", f"{folder}/dhclient.leases"),
        *("-pf", f"{folder}/dhclient.pid", "wl0"),
    ]
    with _running(host, argv) as process:
        yield process


@contextmanager
def _own_folders(
    host: Node, folders: Iterable[str], command: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a shell command with folders, and a list of name servers, of its own."""
    names = f"{network.NODE_FOLDER}/resolv.conf"
    own_names = f"touch {names} && mount --bind {names} /etc/resolv.conf"
    mounts = [f"mkdir -p {folder} && mount -t tmpfs own {folder}" for folder in folders]
    script = " && ".join([own_names, *mounts, command])
    with _running(host, ["unshare", "--mount", "sh", "-c", script]) as process:
        yield process


@contextmanager
def _running(host: Node, argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    quiet = subprocess.DEVNULL
    with host.popen(argv, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
