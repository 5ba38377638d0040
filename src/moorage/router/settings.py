"""Tables of the access router's configuration, each about one matter."""

from __future__ import annotations

from ipaddress import IPV6LENGTH, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Final

import msgspec

from moorage.service import ServiceType

FIELDS: Final = {kind: kind.name.lower() for kind in ServiceType}
"""What belongs to a type in tables that have something for every type."""

MaxRt = Annotated[int, msgspec.Meta(ge=60, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class RelayAgent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A DHCPv6 relay agent on an access link; messages of others are dropped.

    Attributes:
        address: its link-local address there: the next hop to the links behind it.
        sources: other addresses that its messages come from.
        links: prefixes of the links behind it; the link-address of a message lies in one of them.
            None: it only passes on what clients of the access link itself send (RFC 6221).
    """

    address: IPv6Address
    sources: list[IPv6Address] = []
    links: list[IPv6Network] = []

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        if not self.address.is_link_local:
            raise ValueError("address: must be link-local")


class Dhcp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What clients are told beside their leases; times are seconds.

    Attributes:
        preference: of this server before others, in Advertises (RFC 8415 section 21.8).
        sol_max_rt: longest time between two Solicits of a client; None: it is not told.
        inf_max_rt: the same for Information-requests.
        information_refresh_time: until a client without leases asks again.
        exclude: length of the first part of a shorter prefix that stays with the link on which the
            client is, if the client asks for that (RFC 6603); None: prefixes are whole.
        secret: a file with at least 16 random bytes, the same at all routers of the domain, that
            the keys of Reconfigure messages are made of; None: no client is reconfigured.
        declined: how long nobody gets an address that a client found to be in use.
    """

    preference: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    sol_max_rt: MaxRt | None = None
    inf_max_rt: MaxRt | None = None
    information_refresh_time: Annotated[int, msgspec.Meta(ge=600, le=0xFFFFFFFF)] = 86_400
    exclude: Annotated[int, msgspec.Meta(ge=1, le=IPV6LENGTH)] | None = None
    secret: Path | None = None
    declined: Count = 86_400


class Standby(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is done when another router is gone, and when it is back; times are seconds.

    Attributes:
        routers: ids of those whose pools we take over, written as ``for``.
        after: how long one is gone before that.
        hand_back: how long one is there again before it gets its pool back; ``inf``: an operator
            hands it back.
    """

    routers: list[Annotated[str, msgspec.Meta(min_length=1, max_length=64)]] = msgspec.field(
        name="for", default_factory=list
    )
    after: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    hand_back: Annotated[float, msgspec.Meta(ge=0)] = 10.0


class Announce(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the network is told to route a pool to this router; times are seconds.

    Attributes:
        command: a program by its whole path, and arguments; ``announce`` or ``withdraw`` and the
            pool are added. What was told may be told again.
        timeout: when it is killed.
        retry: until it is run again if it failed.
    """

    command: Annotated[list[str], msgspec.Meta(min_length=1)]
    timeout: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    retry: Annotated[float, msgspec.Meta(gt=0)] = 5.0

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        if not Path(self.command[0]).is_absolute():
            raise ValueError("command: must begin with the whole path of a program")


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many leases of one type are given; single addresses are Non-persistent.

    Attributes:
        per_host: to one client; None: as many as the quota allows.
        in_all: from this router's pool; None: as many as there are.
    """

    per_host: Count | None = None
    in_all: Count | None = None


class LimitTable(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="kebab"
):
    """The limits of every type."""

    fixed: Limits = Limits()
    session_lasting: Limits = Limits()
    non_persistent: Limits = Limits()
    graceful_replacement: Limits = Limits()

    def of(self, kind: ServiceType) -> Limits:
        """Return the limits of one type."""
        limits: Limits = getattr(self, FIELDS[kind])
        return limits
