"""The process that a lab lives and dies with.

It is the first process of a PID namespace, so the kernel ends every other process of the lab when
it ends, however that happens. It holds the nodes' namespaces by file descriptors alone, and all
files are in a tmpfs of its own mount namespace. A second process, its parent, stands outside of
that PID namespace; each ends with the other. A lab in the foreground also ends with the process
that started it, since the lifeline between them is closed then.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
from collections import defaultdict
from typing import Any, Final, NoReturn

import msgspec

from moorage import config
from moorage.lab import cluster, control, daemons, enter, namespaces
from moorage.lab.errors import LabError
from moorage.lab.network import FOLDER, NODE_FOLDER, SHARED, Network, Node
from moorage.lab.topology import CORE, Topology

_BACKLOG: Final = 16


class Supervisor:
    """Serves requests until it is told to end."""

    def __init__(self, start: control.Start, topology: Topology) -> None:
        """Make the lab. Raises OSError."""
        _make_files(start.state)
        self._namespaces = [namespaces.current("user"), namespaces.current("pid")]
        self._start = start
        self._network = Network(topology)
        if topology.stores:
            cluster.equip(topology, self._network.nodes)
        self._daemons = {
            name: daemons.Daemon(topology, node)
            for name, node in self._network.nodes.items()
            if node.role in daemons.ROLES
        }
        self._helpers = self._start_relays(topology.seed)
        if topology.announces:
            argv = [sys.executable, "-m", "moorage.lab.core_routes"]
            core = self._network.nodes[CORE]
            self._helpers.add(daemons.spawn(argv, output=2, node=core))
        self._moving: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()

    def _start_relays(self, seed: int) -> set[int]:
        started = set()
        for relayed in self._network.relayed:
            descriptors = [port.fileno() for port in relayed.ports]
            argv = [sys.executable, "-m", "moorage.lab.relay", *map(str, descriptors)]
            argv += [str(relayed.link.delay), str(relayed.link.loss), f"{seed} {relayed.name}"]
            started.add(daemons.spawn(argv, output=2, keep=descriptors))
            for port in relayed.ports:
                port.close()
        return started

    async def serve(self, listening: socket.socket, lifeline: socket.socket | None) -> NoReturn:
        """Answer requests; end the process when the lifeline is closed at the other end."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        self._reap()  # a helper may have failed at once
        loop.add_signal_handler(signal.SIGTERM, os._exit, 0)
        if lifeline is not None:
            loop.add_reader(lifeline, os._exit, 0)
        while True:
            connection, _ = await loop.sock_accept(listening)
            task = loop.create_task(self._converse(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _reap(self) -> None:
        """Take note of ended processes; those of daemons that died leave orphans to us."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in self._helpers:
                os._exit(1)  # a lab with a dead link, or core, is of no use to anybody
            for daemon in self._daemons.values():
                if daemon.pid == pid:
                    daemon.has_ended(os.waitstatus_to_exitcode(status))

    async def _converse(self, connection: socket.socket) -> None:
        """Answer one request."""
        loop = asyncio.get_running_loop()
        descriptors: list[int] = []
        with connection:
            _, user = control.peer(connection)
            if user != os.geteuid():
                return
            data = await loop.sock_recv(connection, control.RECORD_BYTES)
            if not data:  # somebody who only asked whether we are here
                return
            request: control.Request | None
            try:
                request = msgspec.json.decode(data, type=control.Request)
                value, descriptors = await self._answer(request)
                answer = control.Answer(msgspec.Raw(msgspec.json.encode(value)))
            except (LabError, OSError, ValueError, TypeError) as error:
                request = None
                answer = control.Answer(error=str(error))
            try:
                socket.send_fds(connection, [msgspec.json.encode(answer)], descriptors)
            except OSError:  # the caller did not wait
                pass
        if isinstance(request, control.Down):
            os._exit(0)
        if isinstance(request, control.OpenSocket):
            os.close(descriptors[0])

    async def _answer(self, request: control.Request) -> tuple[Any, list[int]]:
        network = self._network
        match request:
            case control.Status():
                return self._status(), []
            case control.Enter(name):
                node = self._node(name)
                return None, [*self._namespaces, node.network, node.mount]
            case control.OpenSocket(name, family, kind, protocol):
                with namespaces.inside(self._node(name).network, network.ether):
                    return None, [socket.socket(family, kind, protocol).detach()]
            case control.Attach(host, interface, router):
                return network.attach(host, interface, router), []
            case control.Detach(host, interface):
                return network.detach(host, interface), []
            case control.Move(host, router, soft, overlap):
                async with self._moving[host]:
                    return await self._move(host, router, overlap if soft else None), []
            case control.StartDaemon(name, settings):
                await self._daemon(name).start(settings)
            case control.SignalDaemon(name, number):
                return await self._daemon(name).end(number), []
            case control.Down():
                pass  # when it is answered
        return None, []

    def _node(self, name: str) -> Node:
        nodes = self._network.nodes
        if name not in nodes:
            raise LabError(f"no node {name!r}; nodes: {', '.join(nodes)}")
        return nodes[name]

    def _daemon(self, name: str) -> daemons.Daemon:
        if self._node(name).name not in self._daemons:
            raise LabError(f"{name} has no daemon; with one: {', '.join(self._daemons)}")
        return self._daemons[name]

    async def _move(self, host: str, router: str, overlap: float | None) -> control.Moved:
        """Move a host: hard, or with an overlap by way of another interface."""
        network = self._network
        used, free = network.interfaces(host)
        network.check_router(router)
        if overlap is None:
            down = network.detach(host, used[0]) if used else 0
            interface = used[0] if used else free[0]
            return control.Moved(interface, down, network.attach(host, interface, router))
        if not free:
            raise LabError(f"{host} has no free interface for a soft move")
        up = network.attach(host, free[0], router)
        if not used:
            return control.Moved(free[0], 0, up)
        await asyncio.sleep(overlap)
        return control.Moved(free[0], network.detach(host, used[0]), up)

    def _status(self) -> control.LabStatus:
        nodes = {
            name: control.NodeStatus(
                role=node.role,
                attached={
                    interface: router
                    for (host, interface), router in self._network.attached.items()
                    if host == name
                },
                daemon=self._daemons[name].pid if name in self._daemons else 0,
            )
            for name, node in self._network.nodes.items()
        }
        return control.LabStatus(self._start.source, self._start.topology, nodes)


def _make_files(state: str | None) -> None:
    """Give this mount namespace a /proc of the PID namespace and a /run of its own."""
    state_folder = None if state is None else os.open(state, os.O_PATH | os.O_DIRECTORY)
    namespaces.mount("none", "/", flags=namespaces.MS_REC | namespaces.MS_PRIVATE)
    try:
        namespaces.mount("proc", "/proc", "proc")
    except PermissionError:
        # In some containers nobody may. The one from outside does, but its numbers are others.
        pass
    namespaces.mount("tmpfs", "/run", "tmpfs")
    NODE_FOLDER.mkdir()
    shared = FOLDER / SHARED
    shared.mkdir(parents=True)
    if state_folder is not None:
        source = f"/proc/self/fd/{state_folder}"
        namespaces.mount(source, str(shared), flags=namespaces.MS_BIND)
        os.close(state_folder)


def _bind(name: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    listening.setblocking(False)
    try:
        listening.bind(control.address(name))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise LabError(f"a lab {name!r} is up already") from None
    return listening


def _tell(lifeline: socket.socket, error: str | None = None) -> None:
    """Say that the lab is up, or why not."""
    try:
        lifeline.sendall(msgspec.json.encode(control.Answer(error=error)))
    except BrokenPipeError:  # nobody is interested any more
        os._exit(1)


def _run(start: control.Start, listening: socket.socket, lifeline: socket.socket) -> None:
    """Be the first process of the PID namespace."""
    topology = config.parse(start.topology, Topology, start.source)
    supervisor = Supervisor(start, topology)
    # Only now, so that the socket's credentials are those of this process.
    listening.listen(_BACKLOG)
    _tell(lifeline)
    if not start.foreground:
        lifeline.close()
    asyncio.run(supervisor.serve(listening, lifeline if start.foreground else None))


def main() -> None:
    """Run as ``python -m moorage.lab.supervisor FD``, where FD is the lifeline."""
    lifeline = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(lifeline.fileno(), False)
    start = msgspec.json.decode(lifeline.recv(control.RECORD_BYTES), type=control.Start)
    os.chdir("/")
    try:
        listening = _bind(start.name)
        namespaces.unshare(namespaces.NEW_PID | namespaces.NEW_MOUNT | namespaces.NEW_NETWORK)
        parent = os.pidfd_open(os.getpid())
        child = os.fork()
        if child == 0:
            enter.die_with(parent)
            _run(start, listening, lifeline)
    except (LabError, config.ConfigError, OSError) as error:
        _tell(lifeline, str(error))
        os._exit(1)
    lifeline.close()
    listening.close()
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
