"""How other processes talk to a lab's supervisor.

One request and one answer, JSON records over an abstract unix SOCK_SEQPACKET socket in the network
namespace of whoever started the lab; the name is free again as soon as the supervisor is gone.
Either side serves nobody but its own user. File descriptors travel beside the answer.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from moorage.lab import namespaces
from moorage.lab.errors import LabError

RECORD_BYTES: Final = 1 << 17
MAX_DESCRIPTORS: Final = 8
DEFAULT_NAME: Final = "default"

_PREFIX: Final = "moorage-lab"
_UCRED: Final = struct.Struct("=iII")

T = TypeVar("T")


class _Request(msgspec.Struct, frozen=True, tag=True):
    """A request; its class name tells which."""


class Status(_Request, frozen=True):
    """What the lab looks like now; answered by `LabStatus`."""


class Enter(_Request, frozen=True):
    """The namespaces to join to be in a node: descriptors of user, pid, net and mnt."""

    node: str


class OpenSocket(_Request, frozen=True):
    """A new socket in a node's network namespace: one descriptor."""

    node: str
    family: int
    kind: int
    protocol: int


class Attach(_Request, frozen=True):
    """Attach a free interface; answered by the moment of carrier."""

    host: str
    interface: str
    router: str


class Detach(_Request, frozen=True):
    """Detach an interface; answered by the moment of the loss of carrier."""

    host: str
    interface: str


class Move(_Request, frozen=True):
    """Move a host; answered by `Moved`. A soft move keeps the old link for ``overlap`` seconds."""

    host: str
    router: str
    soft: bool
    overlap: float


class StartDaemon(_Request, frozen=True):
    """Start a node's daemon with these changes of its configuration; answered when it is ready."""

    node: str
    settings: dict[str, Any]


class SignalDaemon(_Request, frozen=True):
    """End a node's daemon by a signal; answered by its exit status (minus the signal)."""

    node: str
    signal: int


class Down(_Request, frozen=True):
    """End the lab."""


Request = Status | Enter | OpenSocket | Attach | Detach | Move | StartDaemon | SignalDaemon | Down


class Answer(msgspec.Struct, frozen=True):
    """The value (JSON), or what went wrong."""

    value: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None


class Moved(msgspec.Struct, frozen=True):
    """A move as the host's kernel told of it, in ns of CLOCK_MONOTONIC.

    Attributes:
        interface: the one that is on the new link.
        down: when the old link's carrier was lost; 0 if there was no old link.
        up: when the new link had its carrier.
    """

    interface: str
    down: int
    up: int


class NodeStatus(msgspec.Struct, frozen=True):
    """One node.

    Attributes:
        attached: router (or none) of every interface of a host.
        daemon: its process id inside the lab; 0: none runs.
    """

    role: str
    attached: dict[str, str | None]
    daemon: int


class LabStatus(msgspec.Struct, frozen=True):
    """The whole lab.

    Attributes:
        source: what the user calls the topology.
        topology: TOML text.
    """

    source: str
    topology: str
    nodes: dict[str, NodeStatus]


class Start(msgspec.Struct, frozen=True):
    """What a supervisor is told when it is started, by its lifeline.

    Attributes:
        name: of the lab.
        source: what the user calls the topology.
        topology: TOML text.
        state: folder on disk for what the routers share; none: memory.
        foreground: end when the other end of the lifeline is closed.
    """

    name: str
    source: str
    topology: str
    state: str | None
    foreground: bool


def address(name: str) -> str:
    """The socket address of the caller's lab of that name."""
    return f"\0{_PREFIX}/{namespaces.real_user()}/{name}"


def running() -> list[str]:
    """The names of the caller's labs."""
    mine = f"@{_PREFIX}/{namespaces.real_user()}/"
    sockets = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").split()
    return sorted({word.removeprefix(mine) for word in sockets if word.startswith(mine)})


def peer(connection: socket.socket) -> tuple[int, int]:
    """Process id and user id of the other end, as seen from here."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, user, _ = _UCRED.unpack(credentials)
    return pid, user


def connect(name: str) -> socket.socket:
    """A connection to the caller's lab of that name.

    Raises:
        LabError: there is none.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(address(name))
        _, user = peer(connection)
        if user != os.geteuid():
            raise LabError(f"the lab {name!r} is not ours")
    except ConnectionRefusedError:
        connection.close()
        known = ", ".join(running()) or "none"
        raise LabError(f"no lab {name!r} is up; up: {known}") from None
    except BaseException:
        connection.close()
        raise
    return connection


def order(name: str, request: Request) -> list[int]:
    """Send a request that has no value for an answer; return the descriptors that come with it.

    Raises:
        LabError: there is no such lab, it ended, or it could not do what was asked.
    """
    _, descriptors = _exchange(name, request)
    return descriptors


def ask(name: str, request: Request, kind: type[T]) -> T:
    """Send a request; return the value of the answer, which is of the given type.

    Raises:
        LabError: there is no such lab, it ended, or it could not do what was asked.
    """
    value, _ = _exchange(name, request)
    return msgspec.json.decode(value, type=kind)


def _exchange(name: str, request: Request) -> tuple[msgspec.Raw, list[int]]:
    with connect(name) as connection:
        try:
            connection.sendall(msgspec.json.encode(request))
            data, descriptors, _, _ = socket.recv_fds(connection, RECORD_BYTES, MAX_DESCRIPTORS)
        except (BrokenPipeError, ConnectionResetError):
            data, descriptors = b"", []
    if not data:
        raise LabError(f"the lab {name!r} ended before it answered")
    answer = msgspec.json.decode(data, type=Answer)
    if answer.error is not None:
        raise LabError(answer.error)
    return answer.value, descriptors
