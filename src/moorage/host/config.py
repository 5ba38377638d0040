"""The host daemon's configuration file, ``/etc/moorage/host.toml``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from moorage.management.config import HostManagement
from moorage.service import ServiceType


class RetireSlaac(StrEnum):
    """What happens to a SLAAC address whose prefix the new link does not advertise."""

    REMOVE = "remove"
    DEPRECATE = "deprecate"
    NO = "no"


class HostConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of the file; times are seconds.

    Attributes:
        interfaces: the interfaces that may serve typed prefixes; the daemon uses no other.
        socket: where applications reach the daemon.
        state: folder of the host's key and of what must outlive the daemon.
        at_boot: types to have an address of whenever there is a network.
        linger: how long an address is kept after its last socket.
        dwell: how long a link serves before a newer one takes over while both are up.
        hold: how long packets of a detached host are dropped silently before they are refused.
        wait: how long ``setsc()`` waits for a network that knows the service.
        support_wait: how long it waits for a sign that the network knows the service at all.
        unsupported_memory: how long such a link is remembered as one without the service.
        retire_slaac: what is done with the ordinary addresses of a link that was left.
        destroy_sockets: end the sockets on an address that became invalid, so that calls on them
            fail at once.
        optimistic_dad: set optimistic duplicate address detection (RFC 4429) on the interfaces.
        management: where, and for whom, the daemon can be looked into.
    """

    interfaces: list[str]
    socket: Path = Path("/run/moorage/host.sock")
    state: Path = Path("/var/lib/moorage")
    at_boot: list[str] = []
    linger: float = 30.0
    dwell: float = 1.0
    hold: float = 10.0
    wait: float = 5.0
    support_wait: float = 1.0
    unsupported_memory: float = 60.0
    retire_slaac: RetireSlaac = RetireSlaac.REMOVE
    destroy_sockets: bool = True
    optimistic_dad: bool = True
    management: HostManagement = HostManagement()

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        if not self.interfaces:
            raise ValueError("interfaces: name at least one")
        try:
            types = self.types_at_boot
        except ValueError as error:
            raise ValueError(f"at_boot: {error}") from None
        if ServiceType.NON_PERSISTENT in types:
            raise ValueError("at_boot: non-persistent is what every network gives by itself")
        for key in ("linger", "dwell", "hold", "wait", "support_wait", "unsupported_memory"):
            if getattr(self, key) < 0:
                raise ValueError(f"{key}: must not be negative")

    @property
    def types_at_boot(self) -> list[ServiceType]:
        """The types that `at_boot` names by slug."""
        return [ServiceType.from_slug(slug) for slug in self.at_boot]
