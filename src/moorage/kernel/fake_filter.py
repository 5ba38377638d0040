"""A packet filter in memory, for tests: it remembers the state that it was given."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

from moorage.kernel.netlink import NetlinkError
from moorage.kernel.nftables import (
    NO_MEMBERS,
    Attachment,
    DropReason,
    FilterState,
    Members,
    Served,
)


class FakeSidFilter:
    """A `PacketFilter` that filters nothing."""

    def __init__(self) -> None:
        self._frame: FilterState | None = None
        self._served: set[Served] = set()
        self._attached: set[Attachment] = set()

    @property
    def state(self) -> FilterState | None:
        """What the filter knows, its members as sets; None while there is no filter."""
        if self._frame is None:
            return None
        members = Members(frozenset(self._served), frozenset(self._attached))
        return replace(self._frame, members=members)

    def close(self) -> None:
        """Nothing to give back; the filter stays."""

    def resync(self, state: FilterState) -> None:
        """See `PacketFilter.resync`."""
        members = state.members
        self._served, self._attached = set(members.served), set(members.attached)
        self._frame = replace(state, members=NO_MEMBERS)

    def change(self, add: Members, remove: Members) -> None:
        """See `PacketFilter.change`."""
        if (
            self._frame is None
            or not self._frame.lengths.issuperset(add.lengths)
            or not self._served.issuperset(remove.served)
            or not self._attached.issuperset(remove.attached)
        ):
            raise NetlinkError(errno.ENOENT, os.strerror(errno.ENOENT))
        self._served = self._served.difference(remove.served).union(add.served)
        self._attached = self._attached.difference(remove.attached).union(add.attached)

    def remove(self) -> None:
        """See `PacketFilter.remove`."""
        self._frame = None

    def dropped(self) -> dict[str, int]:
        """See `PacketFilter.dropped`: nothing."""
        return {} if self._frame is None else dict.fromkeys(DropReason, 0)
