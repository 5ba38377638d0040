"""The socket that an application's request is about."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address


@dataclass(frozen=True, slots=True)
class Subject:
    """A socket, as the kernel describes it.

    Attributes:
        cookie: its name in this kernel.
        address: its source address, none if it has none yet.
        counted: whether the kernel tells when it ends; raw sockets have to be looked for.
    """

    cookie: int
    address: IPv6Address | None
    counted: bool = True
