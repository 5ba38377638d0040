"""How many addresses somebody holds, and how often he makes the host ask the network for more.

So no application can use up what others need (draft section 7). Only what costs the network
something counts: a request that an existing address answers is no request here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Annotated

import msgspec

_MINUTE = 60.0
_Amount = Annotated[int, msgspec.Meta(ge=0)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one party may have.

    Attributes:
        addresses: typed addresses at once.
        requests: requests to the network a minute, on average; as many may come at once.
    """

    addresses: _Amount
    requests: _Amount


class ApplicationLimits(Limits, frozen=True):
    """Defaults for one program of one user."""

    addresses: _Amount = 8
    requests: _Amount = 30


class UserLimits(Limits, frozen=True):
    """Defaults for one user."""

    addresses: _Amount = 16
    requests: _Amount = 60


class HostLimits(Limits, frozen=True):
    """Defaults for all together; routers give one host 32 prefixes unless they are told to."""

    addresses: _Amount = 32
    requests: _Amount = 120


class QuotaTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ``[quota]`` tables."""

    application: ApplicationLimits = ApplicationLimits()
    user: UserLimits = UserLimits()
    all: HostLimits = HostLimits()


class TokenBucket:
    """A bucket of ``size`` tokens that is full at first and fills up in a minute."""

    def __init__(self, size: int, now: float) -> None:
        self._size = size
        self._tokens = float(size)
        self._at = now

    def tokens(self, now: float) -> float:
        """Return how many tokens are in it."""
        return min(float(self._size), self._tokens + (now - self._at) * self._size / _MINUTE)

    def take(self, now: float) -> None:
        """Take one token out, which must be there."""
        self._tokens, self._at = self.tokens(now) - 1, now

    def full(self, now: float) -> bool:
        """Whether it is as good as a new one."""
        return self.tokens(now) >= self._size


@dataclass(frozen=True, slots=True)
class Holder:
    """Who is answerable for an address: a user and his program, none if it is not known."""

    uid: int
    executable: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of one limit is used up.

    Attributes:
        party: whose limit it is: ``application``, ``user`` or ``all``.
        what: ``addresses`` or ``requests``.
        used: how much of it is taken; of requests, in the last minute.
        limit: how much there is.
    """

    party: str
    what: str
    used: int
    limit: int

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left."""
        return self.used >= self.limit


class Quotas:
    """Who holds which lease, by IAID, and the buckets of everybody.

    A lease counts for all whose sockets are on it; while there are none, for him who had the last,
    or caused it.
    """

    def __init__(self, limits: QuotaTable) -> None:
        self._limits = limits
        self._causes: dict[int, Holder] = {}
        self._users: defaultdict[int, Counter[Holder]] = defaultdict(Counter)
        self._sockets: defaultdict[int, list[tuple[int, Holder]]] = defaultdict(list)
        self._buckets: dict[Hashable, TokenBucket] = {}

    def change(self, limits: QuotaTable) -> None:
        """Count by other limits from now on; what is held stays held."""
        self._limits = limits
        self._buckets.clear()

    def caused(self, iaid: int, holder: Holder) -> None:
        """Note that ``holder`` made the host ask for a lease."""
        self._causes[iaid] = holder

    def opened(self, iaid: int, cookie: int, holder: Holder) -> None:
        """Note that a socket of ``holder`` took the address of a lease."""
        self._users[iaid][holder] += 1
        self._sockets[cookie].append((iaid, holder))

    def closed(self, cookie: int) -> None:
        """Note that a socket has ended."""
        for iaid, holder in self._sockets.pop(cookie, ()):
            if iaid in self._users:
                self._users[iaid][holder] -= 1
                self._users[iaid] = +self._users[iaid]
                self._causes[iaid] = holder

    def holds(self, iaid: int, holder: Holder) -> bool:
        """Whether a lease counts for ``holder`` already."""
        return holder in self._holders(iaid)

    def addresses(self, holder: Holder, leases: Collection[int]) -> tuple[Standing, ...]:
        """Return how many of the ``leases`` that there are count for ``holder``."""
        for ended in (self._causes.keys() | self._users.keys()) - set(leases):
            self._causes.pop(ended, None)
            self._users.pop(ended, None)
        held = [self._holders(iaid) for iaid in leases]
        limits = self._limits
        return (
            Standing(
                "application",
                "addresses",
                sum(holder in holders for holders in held),
                limits.application.addresses,
            ),
            Standing(
                "user",
                "addresses",
                sum(any(holder.uid == x.uid for x in holders) for holders in held),
                limits.user.addresses,
            ),
            Standing("all", "addresses", len(leases), limits.all.addresses),
        )

    def suffice(self, leases: int) -> bool:
        """Whether of so many leases none can be one too many for anybody."""
        return leases <= min(self._limits.application.addresses, self._limits.user.addresses)

    def requests(self, holder: Holder, now: float) -> tuple[Standing, ...]:
        """Return how often ``holder`` made the host ask the network of late."""
        return tuple(
            Standing(party, "requests", size - int(self._bucket(key, size, now).tokens(now)), size)
            for party, key, size in self._parties(holder)
        )

    def take(self, holder: Holder, now: float) -> None:
        """Count one request to the network, for which nothing may be exhausted."""
        full = [key for key, bucket in self._buckets.items() if bucket.full(now)]
        for key in full:
            del self._buckets[key]
        for _, key, size in self._parties(holder):
            self._bucket(key, size, now).take(now)

    def _holders(self, iaid: int) -> Collection[Holder]:
        users = self._users.get(iaid)
        if users:
            return users.keys()
        return {self._causes[iaid]} if iaid in self._causes else ()

    def _parties(self, holder: Holder) -> tuple[tuple[str, Hashable, int], ...]:
        limits = self._limits
        return (
            ("application", holder, limits.application.requests),
            ("user", holder.uid, limits.user.requests),
            ("all", None, limits.all.requests),
        )

    def _bucket(self, key: Hashable, size: int, now: float) -> TokenBucket:
        return self._buckets.setdefault(key, TokenBucket(size, now))
