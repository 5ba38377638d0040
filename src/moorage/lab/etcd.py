"""Members of an etcd cluster, and how etcd is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moorage.lab.certificates import Certificates


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

    def config(self, cluster: Sequence[Member]) -> dict[str, Any]:
        """Return its configuration as one of the members of a cluster, by etcd's own names."""
        config: dict[str, Any] = {
            "name": self.name,
            "data-dir": str(self.folder),
            "listen-client-urls": self.client_url,
            "advertise-client-urls": self.client_url,
            "listen-peer-urls": self.peer_url,
            "initial-advertise-peer-urls": self.peer_url,
            "initial-cluster": ",".join(f"{each.name}={each.peer_url}" for each in cluster),
            "heartbeat-interval": self.election // 10,
            "election-timeout": self.election,
            "logger": "zap",
            "log-level": "error",
        }
        if self.certificates is not None:
            security = {
                "trusted-ca-file": str(self.certificates.ca),
                "cert-file": str(self.certificates.certificate),
                "key-file": str(self.certificates.key),
                "client-cert-auth": True,
            }
            config |= {f"{kind}-transport-security": security for kind in ("client", "peer")}
        return config
