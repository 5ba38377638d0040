"""What must outlive the daemon: its leases, and what its last links were, in ``leases.json``.

Moments are written as seconds since 1970, since the core's clock starts anew with the machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path as FilePath

import msgspec

from moorage.host.attachment import Traits
from moorage.host.lease import Lease
from moorage.host.lifecycle import State
from moorage.host.outcome import Association
from moorage.host.owed import Owed
from moorage.host.reach import Path, Reach, Reachability
from moorage.service import ServiceType


class StateError(Exception):
    """The state file cannot be understood; the text says where."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What one life of the daemon leaves to the next.

    Attributes:
        leases: those that have an address.
        links: what the last link of each interface was, by the interface's name.
        owed: prefixes that their networks have still to get back.
        whole: whether nothing of it is lost.
    """

    leases: Collection[Lease] = ()
    links: Mapping[str, Traits] = field(default_factory=dict)
    owed: Collection[Owed] = ()
    whole: bool = True


class _SavedPath(msgspec.Struct, frozen=True):
    interface: str
    router: str
    mtu: int


class _SavedLease(msgspec.Struct, frozen=True):
    iaid: int
    domain: str
    type: int
    kept: bool
    retiring: bool
    prefix: str
    address: str
    server: str
    preferred_until: float
    valid_until: float
    path: _SavedPath | None
    granted_at: float
    lifetime: int | None
    succeeds: int | None
    sent: int
    spent: bool
    untyped: bool
    stopgap: bool


class _SavedLink(msgspec.Struct, frozen=True):
    domain_id: str
    link_id: str
    routers: list[str]
    prefixes: list[str]


class _SavedOwed(msgspec.Struct, frozen=True):
    iaid: int
    type: int
    prefix: str
    domain: str
    server: str
    until: float


class _Saved(msgspec.Struct, frozen=True):
    version: int
    leases: list[_SavedLease]
    links: dict[str, _SavedLink]
    owed: list[_SavedOwed]


class StateFile:
    """The file; ``epoch`` is when the core's clock showed zero, in seconds since 1970."""

    def __init__(self, path: FilePath, epoch: float) -> None:
        self._path = path
        self._epoch = epoch
        self._durable: frozenset[tuple[int, IPv6Network | None]] = frozenset()

    def save(self, memory: Memory, name_of: Callable[[int], str]) -> None:
        """Write what is to be remembered; the file is the old or the new one, never half.

        Raises:
            OSError: the file cannot be written.
        """
        leases = [lease for lease in memory.leases if lease.alive]
        saved = _Saved(
            1,
            [self._pack(lease, name_of) for lease in leases],
            {name: _pack_link(link) for name, link in memory.links.items()},
            [self._pack_owed(owed) for owed in memory.owed],
        )
        draft = self._path.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(saved))
            fixed = frozenset((x.iaid, x.prefix) for x in leases if x.type is ServiceType.FIXED)
            if fixed != self._durable:
                # The others end with their sockets, hence with a power cut; and where a Fixed one
                # is served, and for how long, is not worth the wait for the disk at every move.
                os.fsync(file.fileno())
                self._durable = fixed
        draft.replace(self._path)

    def load(self, index_of: Callable[[str], int | None], now: float) -> Memory:
        """Return what was remembered, with leases that have expired since, whose sockets must end.

        Without a file, or after so long that Fixed addresses seem to be over, it is not whole: the
        wall clock, or whoever removed the file, may be wrong.

        Raises:
            OSError: the file cannot be read.
            StateError: the file is something else.
        """
        try:
            saved = msgspec.json.decode(self._path.read_bytes(), type=_Saved)
            leases = [self._unpack(lease, index_of, now) for lease in saved.leases]
            links = {name: _unpack_link(link) for name, link in saved.links.items()}
            owed = [self._unpack_owed(each) for each in saved.owed]
        except FileNotFoundError:
            return Memory(whole=False)
        except (msgspec.DecodeError, ValueError) as error:
            raise StateError(f"{self._path}: {error}") from None
        over = {lease.type for lease in leases if lease.valid_until <= now}
        return Memory(leases, links, owed, whole=ServiceType.FIXED not in over)

    def put_aside(self) -> FilePath:
        """Move a file that cannot be understood out of the way; return where it is.

        Raises:
            OSError: it cannot be moved.
        """
        return self._path.replace(self._path.with_suffix(".damaged"))

    def _pack(self, lease: Lease, name_of: Callable[[int], str]) -> _SavedLease:
        path = lease.path
        return _SavedLease(
            lease.iaid,
            lease.domain.hex(),
            int(lease.type),
            lease.kept,
            lease.state is State.RETIRING,
            str(lease.prefix),
            str(lease.address),
            lease.server.hex(),
            lease.preferred_until + self._epoch,
            lease.valid_until + self._epoch,
            _SavedPath(name_of(path.interface), str(path.router), path.mtu) if path else None,
            lease.granted_at + self._epoch,
            lease.lifetime,
            lease.succeeds,
            lease.sent,
            lease.spent,
            lease.untyped,
            lease.stopgap,
        )

    def _unpack(
        self, saved: _SavedLease, index_of: Callable[[str], int | None], now: float
    ) -> Lease:
        reach = Reachability()
        interface = index_of(saved.path.interface) if saved.path else None
        if saved.path is not None and interface is not None:
            path = Path(interface, IPv6Address(saved.path.router), saved.path.mtu)
            reach = Reachability(Reach.DETACHED, path, since=now)
        return Lease(
            saved.iaid,
            IPv6Network(saved.prefix),
            bytes.fromhex(saved.server),
            reach,
            bytes.fromhex(saved.domain),
            type=ServiceType(saved.type),
            kept=saved.kept,
            state=State.RETIRING if saved.retiring else State.READY,
            address=IPv6Address(saved.address),
            granted_at=saved.granted_at - self._epoch,
            lifetime=saved.lifetime,
            succeeds=saved.succeeds,
            untyped=saved.untyped,
            stopgap=saved.stopgap,
            sent=saved.sent,
            spent=saved.spent,
            preferred_until=saved.preferred_until - self._epoch,
            valid_until=saved.valid_until - self._epoch,
        )

    def _pack_owed(self, owed: Owed) -> _SavedOwed:
        association = owed.association
        assert association.type is not None
        return _SavedOwed(
            association.iaid,
            int(association.type),
            str(association.prefix),
            owed.domain.hex(),
            owed.server.hex(),
            owed.until + self._epoch,
        )

    def _unpack_owed(self, saved: _SavedOwed) -> Owed:
        return Owed(
            Association(saved.iaid, ServiceType(saved.type), IPv6Network(saved.prefix)),
            bytes.fromhex(saved.domain),
            bytes.fromhex(saved.server),
            saved.until - self._epoch,
        )


def _pack_link(link: Traits) -> _SavedLink:
    return _SavedLink(
        link.domain_id.hex(),
        link.link_id.hex(),
        sorted(map(str, link.routers)),
        sorted(map(str, link.prefixes)),
    )


def _unpack_link(saved: _SavedLink) -> Traits:
    return Traits(
        bytes.fromhex(saved.domain_id),
        bytes.fromhex(saved.link_id),
        frozenset(map(IPv6Address, saved.routers)),
        frozenset(map(IPv6Network, saved.prefixes)),
    )
