"""The daemons of a lab: the supervisor starts them, waits until they are ready, and ends them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from moorage.lab.enter import execute, setns
from moorage.lab.errors import LabError
from moorage.lab.network import NODE_FOLDER, Node, Role
from moorage.lab.render import daemon_config
from moorage.lab.topology import Topology

LOG: Final = "log"
"""What a node's daemon wrote to its standard output and error, in the node's folder."""

_NOTIFY: Final = "notify"
_READY_SECONDS: Final = 30.0
_END_SECONDS: Final = 10.0
_LOG_LINES: Final = 15

_MOORAGE: Final = (sys.executable, "-m", "moorage")
_PROGRAMS: Final = {
    Role.ROUTER: ("router.toml", (*_MOORAGE, "router", "--config")),
    Role.HOST: ("host.toml", (*_MOORAGE, "host", "--config")),
    Role.STORE: ("etcd.json", ("etcd", "--config-file")),
}
"""The daemon of each role: the name of its configuration file, and the command that takes it."""

ROLES: Final = frozenset(_PROGRAMS)
"""The roles of nodes that have a daemon."""


def spawn(
    argv: Sequence[str],
    output: int,
    keep: Sequence[int] = (),
    node: Node | None = None,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Start a process, in a node if one is given, and return its id."""
    child = os.fork()
    if child:
        return child
    try:
        if node is not None:
            setns(node.mount)
            setns(node.network)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for descriptor in keep:
            os.set_inheritable(descriptor, True)
        os.environ.update(environment or {})
        execute(argv)
    finally:
        os._exit(127)


class Daemon:
    """The daemon of a node, which may be started and ended many times."""

    def __init__(self, topology: Topology, node: Node) -> None:
        self._topology = topology
        self._node = node
        self._ended: asyncio.Future[int] | None = None
        self.pid = 0
        """The process id; 0 while none runs."""

    async def start(self, settings: Mapping[str, Any]) -> None:
        """Start it and wait until it says that it is ready.

        Raises:
            LabError: it runs already, or it ended or said nothing; with the end of its log.
        """
        if self.pid:
            raise LabError(f"the daemon of {self._node.name} is running")
        folder = self._node.folder
        config, command = _PROGRAMS[self._node.role]
        (folder / config).write_text(daemon_config(self._topology, self._node, settings))
        loop = asyncio.get_running_loop()
        with _notification_socket(folder / _NOTIFY) as notifications:
            with (folder / LOG).open("ab") as log:
                self.pid = spawn(
                    [*command, str(NODE_FOLDER / config)],
                    log.fileno(),
                    node=self._node,
                    environment={"NOTIFY_SOCKET": str(NODE_FOLDER / _NOTIFY)},
                )
            self._ended = loop.create_future()
            ready = asyncio.ensure_future(_ready(notifications))
            await asyncio.wait(
                (ready, self._ended),
                timeout=_READY_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if ready.done():
                return
            ready.cancel()
        why = "ended"
        if not self._ended.done():
            why = f"is not ready after {_READY_SECONDS:g} s"
            await self.end(signal.SIGKILL)
        raise LabError(f"the daemon of {self._node.name} {why}:\n{self._last_words()}")

    async def end(self, number: int) -> int:
        """Send it a signal and wait for its end; return the exit status, or minus a signal.

        Raises:
            LabError: it does not run, or does not end.
        """
        if self._ended is None or not self.pid:
            raise LabError(f"the daemon of {self._node.name} is not running")
        os.kill(self.pid, number)
        try:
            return await asyncio.wait_for(asyncio.shield(self._ended), _END_SECONDS)
        except TimeoutError:
            raise LabError(
                f"the daemon of {self._node.name} does not end after signal {number}:\n"
                + self._last_words()
            ) from None

    def has_ended(self, status: int) -> None:
        """Take note of the process' exit status."""
        self.pid = 0
        if self._ended is not None:
            self._ended.set_result(status)

    def _last_words(self) -> str:
        lines = (self._node.folder / LOG).read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])


def _notification_socket(path: Path) -> socket.socket:
    """The socket of the sd_notify protocol; a path, since it must be reached from a node."""
    path.unlink(missing_ok=True)
    notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    notifications.setblocking(False)
    notifications.bind(str(path))
    return notifications


async def _ready(notifications: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while b"READY=1" not in (await loop.sock_recv(notifications, 4096)).split(b"\n"):
        pass
