"""The neighbour cache."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import pytest

from moorage.kernel.monitor import Group, NeighbourChanged, NeighbourState
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


def test_many_are_set_and_removed_at_once(kernel: KernelWorld) -> None:
    index = kernel.add_link("access")
    hosts = [HOST + number for number in range(300)]
    with closing(NetlinkNeighbourTable()) as table:
        assert table.apply([(index, host, MAC) for host in hosts], ()) == []
        found = {entry.address for entry in table.neighbours() if entry.mac == MAC}
        assert found == set(hosts)
        [error] = table.apply((), [(index, host) for host in (*hosts, HOST + 999)])
        assert error.errno == errno.ENOENT
        assert table.neighbours() == []


def test_a_neighbour_is_asked_at_an_address_of_our_choice(kernel: KernelWorld, ip: Ip) -> None:
    index = kernel.add_link("access")
    monitor = kernel.monitor([Group.NEIGHBOUR])
    with closing(NetlinkNeighbourTable()) as table:
        ip("neigh", "add", str(HOST), "lladdr", "02:00:00:00:00:99", "dev", "access")
        table.probe(index, HOST, MAC)
        asked = NeighbourChanged(index, HOST, MAC, NeighbourState.PROBE)
        kernel.wait(monitor, lambda event: event == asked)


def test_a_neighbour_that_does_not_answer_is_missed(kernel: KernelWorld, ip: Ip) -> None:
    index = kernel.add_link("access")
    kernel.sysctl().write("net/ipv6/neigh/access/retrans_time_ms", "50")
    monitor = kernel.monitor([Group.NEIGHBOUR])
    silent = NeighbourChanged(index, HOST, b"", NeighbourState.FAILED)
    with closing(NetlinkNeighbourTable()) as table:
        # Never heard of; known to be silent; known to have been there.
        for known in (False, False, True):
            if known:
                ip("neigh", "replace", str(HOST), "lladdr", MAC.hex(":"), "dev", "access")
            table.probe(index, HOST)
            kernel.wait(monitor, lambda event: event == silent)
        with pytest.raises(OSError, match=os.strerror(errno.ENODEV)):
            table.probe(9999, HOST)


def test_a_neighbour_that_answers_is_heard(kernel: KernelWorld, ip: Ip) -> None:
    index = kernel.add_link("access")
    mine, theirs = IPv6Address("fe80::a"), IPv6Address("fe80::b")
    kernel.add_address(str(mine), 64, "access")
    kernel.add_address(str(theirs), 64, "access-far")
    monitor = kernel.monitor([Group.NEIGHBOUR])
    with closing(NetlinkNeighbourTable()) as table:
        for _ in range(2):
            table.probe(index, theirs)
            kernel.wait(
                monitor,
                lambda event: (
                    isinstance(event, NeighbourChanged)
                    and (event.interface, event.address) == (index, theirs)
                    and event.state is NeighbourState.REACHABLE
                ),
            )
