"""The file that says where an etcd cluster is and who we are to it, ``/etc/moorage/etcd.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

Endpoint = Annotated[str, msgspec.Meta(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^][:/\s]+):[0-9]{1,5}$")]
"""``host:port``; an IPv6 address stands in brackets."""


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Files in PEM form; they are read anew at each connection.

    Attributes:
        ca: certificates of the authorities that the members' certificates are from.
        certificate: our own certificate, and those between it and the authority.
        key: its private key.
    """

    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("certificate and key: one needs the other")


class EtcdConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of the file.

    Attributes:
        endpoints: the members as ``host:port``; one is used at a time, the next if it fails.
        prefix: what the names of all our keys begin with; one domain has one.
        timeout: how long a call may take in all, attempts at other members included, in seconds.
        tls: none: nothing is encrypted, and nobody proves who he is.
        user: whom we log in as; none: our certificate says who we are.
        password_file: the file whose first line is the password.
    """

    endpoints: Annotated[list[Endpoint], msgspec.Meta(min_length=1)]
    prefix: Annotated[str, msgspec.Meta(pattern="^/.*/$")] = "/moorage/"
    timeout: Annotated[float, msgspec.Meta(gt=0, le=60)] = 3.0
    tls: Tls | None = None
    user: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    password_file: Path | None = None

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        if (self.user is None) is not (self.password_file is None):
            raise ValueError("user and password_file: one needs the other")
        if len(set(self.endpoints)) != len(self.endpoints):
            raise ValueError("endpoints: one is named twice")
