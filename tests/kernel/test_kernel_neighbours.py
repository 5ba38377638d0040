"""The neighbour cache."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import pytest

from moorage.kernel.monitor import NeighbourChanged, NeighbourState
from moorage.kernel.neighbours import NetlinkNeighbourTable

if TYPE_CHECKING:
    from tests.kernel.conftest import Ip, KernelWorld

pytestmark = pytest.mark.netns

HOST = IPv6Address("fe80::5")
MAC = bytes.fromhex("020000000005")


def entry_of(table: NetlinkNeighbourTable) -> list[NeighbourChanged]:
    return [entry for entry in table.neighbours() if entry.address == HOST]


def test_entries_are_listed(kernel: KernelWorld, ip: Ip) -> None:
    index = kernel.add_link("access")
    with closing(NetlinkNeighbourTable()) as table:
        ip("neigh", "add", str(HOST), "lladdr", MAC.hex(":"), "dev", "access", "nud", "stale")
        assert entry_of(table) == [NeighbourChanged(index, HOST, MAC, NeighbourState.STALE)]


def test_entries_are_set_and_removed(kernel: KernelWorld) -> None:
    index = kernel.add_link("access")
    with closing(NetlinkNeighbourTable()) as table:
        table.set_permanent(index, HOST, MAC)
        assert entry_of(table) == [NeighbourChanged(index, HOST, MAC, NeighbourState.PERMANENT)]
        table.remove(index, HOST)
        assert entry_of(table) == []
        with pytest.raises(OSError, match=os.strerror(errno.ENOENT)):
            table.remove(index, IPv6Address("fe80::6"))
