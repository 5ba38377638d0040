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
    """

    cookie: int
    address: IPv6Address | None
