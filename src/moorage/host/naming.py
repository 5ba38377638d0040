"""The host's name in DNS: when its Fixed addresses are to be published, and when again."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final

import msgspec

_FIRST_RETRY: Final = 5.0
_LAST_RETRY: Final = 3600.0


class Algorithm(StrEnum):
    """What a key signs with (RFC 8945 section 6)."""

    HMAC_SHA256 = "hmac-sha256"
    HMAC_SHA384 = "hmac-sha384"
    HMAC_SHA512 = "hmac-sha512"


class DnsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where Fixed addresses are published by dynamic update (RFC 2136); nowhere without a zone.

    Attributes:
        server: address of the zone's primary server.
        port: its port, by TCP.
        zone: the zone that is updated.
        name: the host's full name in it; its AAAA records are replaced.
        ttl: seconds that resolvers may keep the records.
        key_name: the TSIG key (RFC 8945) ...
        key_file: ... and the file with its secret in base64, for nobody else to read.
        algorithm: what the key signs with.
    """

    server: str = ""
    port: int = 53
    zone: str = ""
    name: str = ""
    ttl: int = 60
    key_name: str = ""
    key_file: str = ""
    algorithm: Algorithm = Algorithm.HMAC_SHA256

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        needed = ("server", "zone", "name", "key_name", "key_file")
        missing = [key for key in needed if not getattr(self, key)]
        if missing and len(missing) < len(needed):
            raise ValueError(f"dns: {', '.join(missing)}: needed to publish addresses")
        if not 1 <= self.port <= 65535:
            raise ValueError("port: from 1 to 65535")
        if not 0 <= self.ttl <= 0x7FFF_FFFF:
            raise ValueError("ttl: from 0 to 2147483647 seconds (RFC 2181 section 8)")
        if self.zone and not f".{self.name.rstrip('.')}".endswith(f".{self.zone.rstrip('.')}"):
            raise ValueError(f"name: must be in the zone {self.zone}")

    @property
    def key_path(self) -> Path:
        """The file with the key's secret."""
        return Path(self.key_file)


class Naming:
    """Sees to it that the name has the host's Fixed addresses; times are the core's seconds.

    What the name had before this life is not known, so the first update always leaves once there
    is an address; a failed one is repeated with ever longer pauses, up to an hour.
    """

    def __init__(self, config: DnsConfig) -> None:
        self._enabled = bool(config.zone)
        self._wanted: frozenset[IPv6Address] = frozenset()
        self._published: frozenset[IPv6Address] = frozenset()
        self._under_way = False
        self._pause = _FIRST_RETRY
        self._not_before = 0.0

    def want(self, addresses: frozenset[IPv6Address]) -> None:
        """Take in the present Fixed addresses."""
        if addresses != self._wanted:
            self._wanted = addresses
            self._pause, self._not_before = _FIRST_RETRY, 0.0

    def take_due(self, now: float) -> frozenset[IPv6Address] | None:
        """Return what is to be published now, if anything is; `done` must follow."""
        if not self._pending or now < self._not_before:
            return None
        self._under_way = True
        return self._wanted

    def done(self, addresses: frozenset[IPv6Address], succeeded: bool, now: float) -> None:
        """Take in how the update that was due has ended."""
        self._under_way = False
        if succeeded:
            self._published, self._pause = addresses, _FIRST_RETRY
        elif addresses == self._wanted:
            self._not_before = now + self._pause
            self._pause = min(self._pause * 2, _LAST_RETRY)

    def next_timer(self) -> float | None:
        """Return when something will be due, none if nothing will."""
        return self._not_before if self._pending else None

    @property
    def _pending(self) -> bool:
        return self._enabled and not self._under_way and self._wanted != self._published
