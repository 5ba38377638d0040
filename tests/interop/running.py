"""Running other people's programs by `moorage run` on a host of a lab, and who calls there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from typing import IO

from moorage.kernel.bpf import cgroup
from moorage.kernel.sock_diag import network_cookie
from moorage.lab.lab import Node
from moorage.lab.network import NODE_FOLDER
from moorage.service import ServiceType
from tests.conformance.scene import PATIENCE, Scene, eventually

PIPE = subprocess.PIPE
BODY = b"ahoy\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n" + BODY


def inside() -> dict[str, str]:
    """The environment of a command on the host."""
    return {**os.environ, "MOORAGE_SOCKET": str(NODE_FOLDER / "host.sock")}


def command(service: ServiceType, *argv: str) -> list[str]:
    """What runs a command with addresses of a type."""
    return [sys.executable, "-m", "moorage", "run", "--service", service.slug, "--", *argv]


def popen(
    scene: Scene,
    service: ServiceType,
    *argv: str,
    node: Node | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command with addresses of a type on the host."""
    whole = command(service, *argv)
    return (node or scene.host).popen(whole, stdin=stdin, stdout=PIPE, stderr=stderr, env=inside())


def run(scene: Scene, service: ServiceType, *argv: str) -> str:
    """What a command prints that has addresses of a type, and that must not fail nor complain."""
    with popen(scene, service, *argv, stderr=PIPE) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, b""), out + err
    return out.decode()


@contextmanager
def listening(node: Node, kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """A server's socket at a port of its own."""
    with node.socket(socket.AF_INET6, kind) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(("::", 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        yield sock


def port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


def accepted(server: socket.socket) -> tuple[socket.socket, IPv6Address]:
    """The next connection, and where it comes from."""
    connection, sender = server.accept()
    connection.settimeout(PATIENCE)
    return connection, IPv6Address(sender[0])


def received(server: socket.socket) -> IPv6Address:
    """Where the next datagram comes from."""
    return IPv6Address(server.recvfrom(100)[1][0])


def typed(scene: Scene, service: ServiceType) -> IPv6Address:
    """The address that the network has given the host of a type; there is one."""
    [binding] = scene.of_type(service)
    [address] = [each for each in scene.typed() if each in binding.prefix]
    return address


def groups(host: Node) -> list[Path]:
    """The control groups of programs of a host's that have a type by default."""
    return list(cgroup.root().rglob(f"moorage-{host.call(network_cookie):x}-*"))


def await_no_groups(host: Node) -> None:
    """Wait until none of these groups is left."""
    eventually(lambda: not groups(host))


def build(folder: Path, name: str, source: str, *flags: str) -> str:
    """Compile a C program and return its path."""
    (folder / f"{name}.c").write_text(source)
    program = folder / name
    subprocess.run(
        ["gcc", "-O1", "-Wall", "-Werror", *flags, "-o", program, folder / f"{name}.c"], check=True
    )
    return str(program)
