"""Clusters of real etcd members on the loopback interface, that can be stopped and killed."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Final

from moorage.lab.certificates import Authority, Certificates
from moorage.lab.etcd import Member
from moorage.lab.programs import path_of
from moorage.lab.toml import toml

HOST: Final = "::1"
_READY_SECONDS: Final = 60.0
_ASK_SECONDS: Final = 0.05


class Cluster:
    """Members of a cluster; each may be ended, killed, frozen and started again."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str] = ("m1",),
        authority: Authority | None = None,
        election: int = 500,
    ) -> None:
        """Choose ports; nothing runs yet."""
        self.folder = folder
        self.user = ""
        """Name and password, with a colon between, that `ctl` logs in with."""
        self._authority = authority
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        with ExitStack() as stack:
            ports = iter([stack.enter_context(_free_port()) for _ in range(2 * len(names))])
            self.members = {
                name: Member(
                    name=name,
                    folder=folder / name,
                    client=f"[{HOST}]:{next(ports)}",
                    peer=f"[{HOST}]:{next(ports)}",
                    certificates=self._issue(name),
                    election=election,
                )
                for name in names
            }

    def _issue(self, name: str) -> Certificates | None:
        if self._authority is None:
            return None
        return self._authority.issue(self.folder / f"{name}.tls", name, [IPv6Address(HOST)])

    def start(self, *names: str) -> None:
        """Start members, all of them unless some are named, and wait until they serve."""
        members = list(self.members.values())
        for name in names or self.members:
            config = self.folder / f"{name}.json"
            config.write_text(json.dumps(self.members[name].config(members)))
            command = [path_of("etcd"), "--config-file", str(config)]
            with (self.folder / f"{name}.log").open("ab") as log:
                self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log)
        for name in names or self.members:
            self._wait_until_healthy(name)

    def _wait_until_healthy(self, name: str) -> None:
        give_up = time.monotonic() + _READY_SECONDS
        while self.ctl("endpoint", "health", member=name, check=False).returncode:
            if self._processes[name].poll() is not None or time.monotonic() > give_up:
                log = (self.folder / f"{name}.log").read_text(errors="replace")
                raise AssertionError(f"{name} does not serve:\n{log[-2000:]}")
            time.sleep(_ASK_SECONDS)

    def end(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a member by a signal; its data stays."""
        process = self._processes.pop(name)
        process.send_signal(number)
        process.wait()

    def kill(self, name: str) -> None:
        """End a member as a power cut does."""
        self.end(name, signal.SIGKILL)

    def freeze(self, name: str) -> None:
        """Have a member stand still: connections to it stay, and nothing answers."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Have a frozen member go on."""
        self._processes[name].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill all members that run."""
        for name in list(self._processes):
            self.kill(name)

    @property
    def endpoints(self) -> list[str]:
        """Where clients reach the members."""
        return [member.client for member in self.members.values()]

    @property
    def running(self) -> list[str]:
        """The names of the members that run."""
        return list(self._processes)

    def ctl(
        self, *arguments: str, member: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run etcdctl at one member, or at the first one that runs."""
        where = self.members[member or self.running[0]]
        command = [path_of("etcdctl"), "--command-timeout=5m", f"--endpoints={where.client_url}"]
        if (files := where.certificates) is not None:
            command += [f"--cacert={files.ca}", f"--cert={files.certificate}", f"--key={files.key}"]
        if self.user:
            command.append(f"--user={self.user}")
        return subprocess.run(
            [*command, *arguments],
            env={"ETCDCTL_API": "3"},
            capture_output=True,
            text=True,
            check=check,
        )

    def status(self, name: str) -> dict[str, Any]:
        """What a member says of itself."""
        [found] = json.loads(self.ctl("endpoint", "status", "-w=json", member=name).stdout)
        status: dict[str, Any] = found["Status"]
        return status

    def leader(self) -> str:
        """The name of the member that leads the others, as the first one that runs sees it."""
        leader = self.status(self.running[0])["leader"]
        return next(
            name for name in self.running if self.status(name)["header"]["member_id"] == leader
        )

    def compact(self, revision: int | None = None) -> None:
        """Forget what was before a revision, or the newest one, and wait until it is gone."""
        newest = self.status(self.running[0])["header"]["revision"]
        self.ctl("compact", "--physical", str(revision or newest))

    def config(self, name: str = "etcd.toml", **more: object) -> Path:
        """Write the file by which a store finds the cluster, and return its path."""
        path = self.folder / name
        path.write_text(toml({"endpoints": self.endpoints, **more}))
        return path

    def url(self, prefix: str = "/moorage/") -> str:
        """The store at this cluster whose keys begin with a prefix."""
        return f"etcd:{self.config(prefix=prefix)}"


@contextmanager
def running(
    folder: Path,
    names: Sequence[str] = ("m1",),
    authority: Authority | None = None,
    election: int = 500,
) -> Iterator[Cluster]:
    """A cluster, started and, at the end, stopped."""
    cluster = Cluster(folder, names, authority, election)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def _free_port() -> Iterator[int]:
    """A port that nobody listens to; it stays reserved for as long as other ports are chosen."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        sock.bind((HOST, 0))
        yield sock.getsockname()[1]
