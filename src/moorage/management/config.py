"""The ``[management]`` table of both daemons' configuration files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec


class Management(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where, and for whom, a daemon can be looked into.

    Attributes:
        socket: the unix socket of the management interface.
        group: users of this group may use it, beside root; empty: root alone.
        events: how many events are remembered.
        metrics_port: TCP port of the loopback addresses that serves the metrics, and nothing else,
            to everybody on this machine; 0: none.
    """

    socket: Path
    group: str = ""
    events: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    metrics_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0


class HostManagement(Management, frozen=True):
    """The host daemon's."""

    socket: Path = Path("/run/moorage/host-management.sock")


class RouterManagement(Management, frozen=True):
    """The router daemon's."""

    socket: Path = Path("/run/moorage/router-management.sock")
