"""What the host daemon shares with its hooks in the kernel, ``native/hooks.bpf.c``."""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce
from ipaddress import IPv6Address
from itertools import count
from typing import Final

from moorage.kernel.bpf import KernelMap, Object, load
from moorage.kernel.sock_diag import network_cookie
from moorage.service import ServiceType

NAME: Final = "hooks"
_CHECKS: Final = ("check_bind", "check_connect", "check_send")
"""Programs that are there only while there is something to check: everybody's UDP pays for them."""
_NANOSECONDS: Final = 1_000_000_000
_NEVER: Final = (1 << 63) - 1
_OTHERS: Final = 0xFFFF_FFFF
_U32: Final = struct.Struct("=I")
_U64: Final = struct.Struct("=Q")
_OFFER: Final = struct.Struct("=IIIxxxxQQ16s")
_RIGHTS: Final = struct.Struct("=II")
_NO_OFFER: Final = bytes(_OFFER.size)


@dataclass(frozen=True, slots=True)
class Offer:
    """The address that new sockets get of a type without a question to the daemon.

    Attributes:
        until: when it ends, in seconds on CLOCK_BOOTTIME, ...
        valid_until: ... and when the address does.
        restricted: whether there are users who may not use it by themselves.
        known: whether it need not be told that it is taken.
    """

    address: IPv6Address
    until: float
    valid_until: float
    restricted: bool
    known: bool


@dataclass(frozen=True, slots=True)
class Rights:
    """What a user may do.

    Attributes:
        without_asking: types of which he may take what is offered.
        by_himself: types whose addresses he may bind to, or send from, without ``setsc()``.
    """

    without_asking: frozenset[ServiceType]
    by_himself: frozenset[ServiceType]


class Hooks:
    """The hooks' tables.

    Raises:
        OSError: a table is full.
    """

    def __init__(self, programs: Object) -> None:
        self._programs = programs
        self._offers = programs.map("offers")
        self._taken = programs.map("taken")
        self._users = programs.map("users")
        self._restricted = programs.map("restricted")
        self._granted = programs.map("granted")
        self._news = programs.ring("news")
        self._numbers = count(1)
        self._restrictions: set[IPv6Address] = set()

    def close(self) -> None:
        """Take the hooks out of the kernel."""
        self._programs.close()

    @property
    def kept(self) -> KernelMap | None:
        """What sockets keep, which objects can share that are in the kernel, too."""
        kept = self._programs.map("kept")
        return kept if isinstance(kept, KernelMap) else None

    def fileno(self) -> int:
        """Readable when there is something for `read`."""
        return self._news.fileno()

    def read(self) -> set[ServiceType]:
        """Return the types whose offer was taken for the first time since it was made."""
        return {ServiceType(*_U32.unpack(record)) for record in self._news.drain()}

    def offer(self, kind: ServiceType, offer: Offer) -> None:
        """Offer an address in the place of what was offered of the type."""
        self.withdraw(kind)
        content = (
            offer.restricted,
            offer.known,
            _nanoseconds(offer.until),
            _nanoseconds(offer.valid_until),
            offer.address.packed,
        )
        # Only when all the rest is there does the number say so.
        for number in (0, next(self._numbers)):
            self._offers.update(_U32.pack(kind), _OFFER.pack(number, *content))

    def withdraw(self, kind: ServiceType) -> None:
        """Offer nothing of a type; `last_taken` is certain from then on."""
        self._offers.update(_U32.pack(kind), _NO_OFFER)

    def last_taken(self, kind: ServiceType) -> float:
        """Return when what is offered of a type was taken last, in seconds on CLOCK_BOOTTIME."""
        value = self._taken.lookup(_U32.pack(kind))
        return _U64.unpack(value)[0] / _NANOSECONDS if value else 0.0

    def allow(self, user: int | None, rights: Rights | None) -> None:
        """Set what a user may do; no user: all who are not named, no rights: he is not named."""
        key = _U32.pack(_OTHERS if user is None else user)
        if rights is None:
            self._users.delete(key)
        else:
            value = _RIGHTS.pack(_bits(rights.without_asking), _bits(rights.by_himself))
            self._users.update(key, value)

    def restrict(self, address: IPv6Address, kind: ServiceType | None) -> None:
        """Let only sockets that are authorised for the type use an address; none: let all."""
        if kind is None:
            self._restricted.delete(address.packed)
            self._restrictions.discard(address)
        else:
            self._restricted.update(address.packed, _U32.pack(kind))
            self._restrictions.add(address)
        for program in _CHECKS:
            if self._restrictions:
                self._programs.attach(program)
            else:
                self._programs.detach(program)

    def grant(self, cookie: int, kinds: Collection[ServiceType]) -> None:
        """Authorise a socket for types; none: it has ended."""
        if kinds:
            self._granted.update(_U64.pack(cookie), _U32.pack(_bits(kinds)))
        else:
            self._granted.delete(_U64.pack(cookie))


def load_hooks() -> Hooks:
    """Hook into the sockets of the present network namespace, until this process ends.

    Raises:
        Unavailable: something is missing.
    """
    return Hooks(load(NAME, constants=_U64.pack(network_cookie()), later=_CHECKS))


def _bits(kinds: Collection[ServiceType]) -> int:
    return reduce(lambda bits, kind: bits | 1 << kind, kinds, 0)


def _nanoseconds(moment: float) -> int:
    return int(min(max(moment, 0.0) * _NANOSECONDS, _NEVER))
