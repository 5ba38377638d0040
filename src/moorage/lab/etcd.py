"""How members of an etcd cluster are started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moorage.lab.programs import path_of


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM form, by which members and clients prove to each other who they are."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a cluster.

    Attributes:
        name: its name in the cluster.
        folder: where its data is; made by etcd.
        client: where clients reach it, as ``host:port``; an IPv6 address stands in brackets.
        peer: where the other members reach it.
        certificates: its own; none: nothing is encrypted, and nobody proves who he is.
        election: milliseconds without a leader after which the members elect one; leases last
            one and a half times as long at least.
    """

    name: str
    folder: Path
    client: str
    peer: str
    certificates: Certificates | None = None
    election: int = 1000

    @property
    def _scheme(self) -> str:
        return "http" if self.certificates is None else "https"

    @property
    def peer_url(self) -> str:
        """Where the other members reach it."""
        return f"{self._scheme}://{self.peer}"

    @property
    def client_url(self) -> str:
        """Where clients reach it."""
        return f"{self._scheme}://{self.client}"

    def command(self, cluster: Sequence[Member]) -> list[str]:
        """Return the command that runs it, as one of the members of a cluster.

        Raises:
            LabError: etcd is not installed.
        """
        command = [
            path_of("etcd"),
            f"--name={self.name}",
            f"--data-dir={self.folder}",
            f"--listen-client-urls={self.client_url}",
            f"--advertise-client-urls={self.client_url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={','.join(f'{each.name}={each.peer_url}' for each in cluster)}",
            f"--heartbeat-interval={self.election // 10}",
            f"--election-timeout={self.election}",
            "--logger=zap",
            "--log-level=error",
        ]
        if self.certificates is not None:
            for kind in ("", "peer-"):
                command += [
                    f"--{kind}trusted-ca-file={self.certificates.ca}",
                    f"--{kind}cert-file={self.certificates.certificate}",
                    f"--{kind}key-file={self.certificates.key}",
                    f"--{kind}client-cert-auth",
                ]
        return command
