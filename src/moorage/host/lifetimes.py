"""How long an address is given to new sockets, and how long it stays when it has none.

``[lifetimes.TYPE]`` (draft section 7) and ``[linger]``.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from moorage.service import ServiceType

_DAY = 86400
_LINGER = 30.0

Amount = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Lifetime(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The lifetime of the addresses of one type; when either is over, a request gets a new one.

    Attributes:
        seconds: since the address came to be; 0: no limit.
        bytes: sent from it, with the IPv6 headers; 0: no limit.
    """

    seconds: Amount = 0
    bytes: Amount = 0


class DailyLifetime(Lifetime, frozen=True):
    """A day, as the preferred lifetime of temporary addresses (RFC 8981 section 3.8)."""

    seconds: Amount = _DAY


_FIELDS = {kind: kind.name.lower() for kind in ServiceType}


class Lifetimes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The lifetimes of every type; a table in the file replaces single values of it."""

    fixed: Lifetime = Lifetime()
    session_lasting: DailyLifetime = DailyLifetime()
    non_persistent: DailyLifetime = DailyLifetime()
    graceful_replacement: DailyLifetime = DailyLifetime()

    def of(self, kind: ServiceType) -> Lifetime:
        """Return the lifetime of one type."""
        lifetime: Lifetime = getattr(self, _FIELDS[kind])
        return lifetime


class Linger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """For how many seconds the addresses of each type stay after their last socket."""

    fixed: Seconds = _LINGER
    session_lasting: Seconds = _LINGER
    non_persistent: Seconds = _LINGER
    graceful_replacement: Seconds = _LINGER

    def of(self, kind: ServiceType) -> float:
        """Return the linger time of one type."""
        linger: float = getattr(self, _FIELDS[kind])
        return linger
