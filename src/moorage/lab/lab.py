"""A lab and its nodes, for tests, scenarios and the command line."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, ParamSpec, Self, TypeVar

import msgspec

from moorage import config
from moorage.lab import control, enter, namespaces
from moorage.lab import topology as topologies
from moorage.lab.control import LabStatus, Moved
from moorage.lab.daemons import LOG
from moorage.lab.errors import LabError
from moorage.lab.network import FOLDER
from moorage.lab.render import topology_text
from moorage.lab.topology import Topology

P = ParamSpec("P")
R = TypeVar("R")

_DAEMON_ROLES: Final = ("store", "router", "host")


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a lab that is up."""

    lab: str
    name: str
    folder: Path
    """The node's /run/moorage, as it is seen from here; sockets in it can be connected to."""

    def namespaces(self) -> list[int]:
        """File descriptors of the namespaces that make up the node, in the order to join them.

        Raises:
            LabError: there is no such node.
        """
        found = control.order(self.lab, control.Enter(self.name))
        user, *others = found
        if os.fstat(user).st_ino == os.stat("/proc/self/ns/user").st_ino:
            os.close(user)  # nobody can join the one that he is in
            return others
        return found

    def execute(self, argv: Sequence[str]) -> None:
        """Turn this process, which must have no other threads, into a command in the node."""
        enter.run(self.namespaces(), argv)

    def popen(
        self,
        argv: Sequence[str],
        *,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command in the node; signals, exit status and a kill reach it from here."""
        found = self.namespaces()
        try:
            joined = ",".join(map(str, found))
            return subprocess.Popen(
                [sys.executable, "-I", "-S", enter.__file__, joined, *argv],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=env,
                pass_fds=found,
            )
        finally:
            for descriptor in found:
                os.close(descriptor)

    def run(
        self, argv: Sequence[str], *, check: bool = True, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the node and return what it wrote.

        Raises:
            LabError: it ended with a status other than 0, unless ``check`` is false.
            subprocess.TimeoutExpired: it took longer than ``timeout`` seconds, and was killed.
        """
        pipe = subprocess.PIPE
        with self.popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as process:
            try:
                out, err = (data.decode() for data in process.communicate(timeout=timeout))
            except BaseException:
                process.kill()
                raise
        if check and process.returncode:
            said = (err or out).strip()
            raise LabError(f"{self.name}: {' '.join(argv)}: status {process.returncode}: {said}")
        return subprocess.CompletedProcess(list(argv), process.returncode, out, err)

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A new socket in the node's network namespace, whatever namespace uses it.

        Raises:
            LabError: there is no such node, or its kernel refuses.
        """
        request = control.OpenSocket(self.name, family, kind, protocol)
        [descriptor] = control.order(self.lab, request)
        return socket.socket(fileno=descriptor)

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What ``function`` returns in a thread inside the node's network namespace."""
        *_, network, _mount = found = self.namespaces()

        def inside() -> R:
            enter.setns(network)
            return function(*args, **kwargs)

        try:
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(inside).result()
        finally:
            for descriptor in found:
                os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon of a router, host or member of the store."""

    node: Node

    def start(self, **settings: Any) -> None:
        """Start it, with other settings than the topology gives it, and wait until it is ready.

        Raises:
            LabError: it runs already, or it does not become ready; with the end of its log.
        """
        control.order(self.node.lab, control.StartDaemon(self.node.name, settings))

    def stop(self) -> int:
        """End it in order; return its exit status. Raises LabError if it does not end."""
        return self._signal(signal.SIGTERM)

    def kill(self) -> int:
        """Kill it, and return when it is dead. Raises LabError if none runs."""
        return self._signal(signal.SIGKILL)

    def log(self) -> str:
        """All that this node's daemons wrote to standard output and error."""
        return (self.node.folder / LOG).read_text(errors="replace")

    def _signal(self, number: int) -> int:
        request = control.SignalDaemon(self.node.name, number)
        return control.ask(self.node.lab, request, int)


class Lab:
    """A lab that is up. As a context manager it ends the lab."""

    def __init__(
        self,
        name: str,
        process: subprocess.Popen[bytes] | None = None,
        lifeline: socket.socket | None = None,
    ) -> None:
        """Use `start` or `join`."""
        self.name: Final = name
        self._process = process
        self._lifeline = lifeline
        with control.connect(name) as connection:
            self._pid, _ = control.peer(connection)

    @classmethod
    def start(
        cls,
        source: str | Path | Topology,
        *,
        name: str | None = None,
        state: Path | None = None,
        foreground: bool = True,
    ) -> Self:
        """Make a lab; hosts are attached, no daemon runs.

        Args:
            source: a topology, its file, or the name of one that comes with the package.
            name: tells it from the caller's other labs; none: one is made up.
            state: folder on disk for the routers' store; none: it is in memory.
            foreground: end the lab when this process ends, however that happens.

        Raises:
            LabError: the system does not allow it, or the name is in use.
            ConfigError: the topology is wrong.
        """
        made = source if isinstance(source, Topology) else topologies.load(source)
        namespaces.become_root()
        name = name or f"{os.getpid()}-{os.urandom(4).hex()}"
        start = control.Start(
            name=name,
            source="given" if isinstance(source, Topology) else str(source),
            topology=topology_text(made),
            state=None if state is None else str(state.resolve(strict=True)),
            foreground=foreground,
        )
        lifeline, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            quiet = None if foreground else subprocess.DEVNULL
            process = subprocess.Popen(
                [sys.executable, "-m", "moorage.lab.supervisor", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=quiet,
                stderr=quiet,
                start_new_session=True,
            )
        try:
            lifeline.sendall(msgspec.json.encode(start))
            answer = lifeline.recv(control.RECORD_BYTES)
            if not answer:
                raise LabError("the lab's supervisor ended before the lab was up")
            error = msgspec.json.decode(answer, type=control.Answer).error
            if error is not None:
                raise LabError(error)
            return cls(name, process, lifeline)
        except BaseException:
            lifeline.close()
            process.kill()
            process.wait()
            raise

    @classmethod
    def join(cls, name: str = control.DEFAULT_NAME) -> Self:
        """The lab of that name which is up already. Raises LabError if there is none."""
        return cls(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.down()

    def down(self) -> None:
        """End the lab and return when no process of it is left; a second time does nothing."""
        try:
            supervisor = os.pidfd_open(self._pid)
        except ProcessLookupError:
            supervisor = None
        if supervisor is not None:
            try:
                control.order(self.name, control.Down())
            except LabError:  # it is gone, or going
                pass
            # The kernel lets the first process of a PID namespace end after all others.
            select.select([supervisor], [], [])
            os.close(supervisor)
        if self._lifeline is not None:
            self._lifeline.close()
        if self._process is not None:
            self._process.wait()

    def status(self) -> LabStatus:
        """What the lab looks like now."""
        return control.ask(self.name, control.Status(), LabStatus)

    def topology(self) -> Topology:
        """What the lab was made of."""
        status = self.status()
        return config.parse(status.topology, Topology, status.source)

    def node(self, name: str) -> Node:
        """A node by its name."""
        return Node(self.name, name, Path(f"/proc/{self._pid}/root{FOLDER}/{name}"))

    def daemon(self, node: str) -> Daemon:
        """The daemon of a router, host or member of the store."""
        return Daemon(self.node(node))

    def start_daemons(self) -> None:
        """Start the daemons of all stores, then of routers, then of hosts. Raises LabError."""
        nodes = self.status().nodes
        for role in _DAEMON_ROLES:
            names = [name for name, node in nodes.items() if node.role == role]
            with ThreadPoolExecutor() as pool:
                for _ in pool.map(lambda name: self.daemon(name).start(), names):
                    pass

    def attach(self, host: str, interface: str, router: str) -> int:
        """Attach a free interface to a router's cell.

        Return when the host's kernel told of the carrier, in ns of CLOCK_MONOTONIC.

        Raises:
            LabError: there is no such interface or router, or the interface is attached.
        """
        return control.ask(self.name, control.Attach(host, interface, router), int)

    def detach(self, host: str, interface: str) -> int:
        """Take an interface off its cell.

        Return when the host's kernel told of the loss of carrier, in ns of CLOCK_MONOTONIC.

        Raises:
            LabError: there is no such interface, or it is not attached.
        """
        return control.ask(self.name, control.Detach(host, interface), int)

    def move(self, host: str, router: str, *, soft: bool = False, overlap: float = 1.0) -> Moved:
        """Move a host to another router's cell; return when it is done.

        A hard move takes its interface off the old link and then attaches the same one to the
        new link. A soft move attaches another interface, and detaches the old one after an
        ``overlap`` in seconds.

        Raises:
            LabError: there is no such host or router, or no free interface.
        """
        return control.ask(self.name, control.Move(host, router, soft, overlap), Moved)
