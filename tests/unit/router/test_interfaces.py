"""What the kernel's reports mean to a router."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address

from moorage.kernel.addresses import Address
from moorage.kernel.links import Link
from moorage.kernel.monitor import (
    AddressChanged,
    AddressRemoved,
    LinkChanged,
    LinkRemoved,
    NeighbourChanged,
    NeighbourState,
)
from moorage.router.interfaces import (
    HostForgotten,
    HostHeard,
    HostLeft,
    Interfaces,
    NextHopLost,
    Reindexed,
    Touched,
)
from moorage.router.next_hop import next_hop

LINK = Link(2, "acc0", b"\x02\0\0\0\0\x01", 1500, up=True, carrier=True, loopback=False)
CORE = replace(LINK, index=1, name="core0")
HOST = IPv6Address("fe80::1")
MAC, OTHER_MAC = b"\x02\0\0\0\0\x02", b"\x02\0\0\0\0\x03"
REACHABLE, FAILED = NeighbourState.REACHABLE, NeighbourState.FAILED


def interfaces() -> Interfaces:
    found = Interfaces(["acc0"])
    found.look([LINK, CORE], [])
    return found


def test_a_new_interface_is_indexed() -> None:
    found = Interfaces(["acc0"])
    assert found.take(LinkChanged(LINK)) == [Reindexed(), Touched("acc0")]
    assert found.take(LinkChanged(CORE)) == [Reindexed()]
    assert found.indexes == {"acc0": 2, "core0": 1}


def test_an_interface_that_is_down_has_no_routes() -> None:
    found = interfaces()
    down = replace(LINK, up=False, carrier=False)
    assert found.take(LinkChanged(down)) == [
        Reindexed(),
        HostLeft("acc0", None),
        Touched("acc0"),
    ]
    assert found.indexes == {"core0": 1}


def test_without_carrier_everybody_has_left() -> None:
    found = interfaces()
    dark = replace(LINK, carrier=False)
    assert found.take(LinkChanged(dark)) == [HostLeft("acc0", None), Touched("acc0")]
    assert found.take(LinkChanged(dark)) == [Touched("acc0")]
    assert found.take(LinkChanged(replace(CORE, carrier=False))) == []


def test_an_interface_that_is_made_anew_or_renamed() -> None:
    found = interfaces()
    assert Reindexed() in found.take(LinkChanged(replace(LINK, index=7)))
    assert found.indexes["acc0"] == 7
    renamed = replace(LINK, index=7, name="other0")
    assert found.take(LinkChanged(renamed))[:2] == [Reindexed(), HostLeft("acc0", None)]
    assert found.indexes == {"core0": 1, "other0": 7}
    assert found.take(LinkRemoved(7, "other0")) == [Reindexed()]
    assert found.indexes == {"core0": 1}


def test_link_local_addresses_of_access_links_matter() -> None:
    found = interfaces()
    local = Address(IPv6Address("fe80::9"), 2, 64)
    assert found.take(AddressChanged(local)) == [Touched("acc0")]
    assert found.take(AddressRemoved(local)) == [Touched("acc0")]
    assert found.take(AddressChanged(replace(local, interface=1))) == []
    assert found.take(AddressChanged(replace(local, address=IPv6Address("2001:db8::1")))) == []


def test_hosts_are_heard_and_lost() -> None:
    found = interfaces()
    heard = NeighbourChanged(2, HOST, MAC, REACHABLE)
    assert found.take(heard) == [HostHeard("acc0", HOST, MAC)]
    assert found.take(NeighbourChanged(2, HOST, b"", NeighbourState.INCOMPLETE)) == []
    assert found.take(NeighbourChanged(2, HOST, MAC, NeighbourState.PROBE)) == []
    assert found.take(NeighbourChanged(2, HOST, MAC, FAILED)) == [HostLeft("acc0", HOST)]
    assert found.take(NeighbourChanged(2, HOST, b"", NeighbourState.NONE)) == [
        HostForgotten("acc0", HOST)
    ]
    assert found.take(replace(heard, mac=OTHER_MAC)) == [HostHeard("acc0", HOST, OTHER_MAC)]


def test_other_neighbours_do_not_matter() -> None:
    found = interfaces()
    assert found.take(NeighbourChanged(1, HOST, MAC, REACHABLE)) == []
    assert found.take(NeighbourChanged(2, IPv6Address("2001:db8::1"), MAC, REACHABLE)) == []


def test_the_neighbours_that_stand_for_hosts_are_not_heard_but_missed() -> None:
    found = interfaces()
    hop = next_hop(HOST, MAC)
    entry = NeighbourChanged(2, hop, MAC, NeighbourState.PERMANENT)
    assert found.take(entry) == []
    for other in (
        replace(entry, mac=OTHER_MAC),
        replace(entry, state=REACHABLE),
        replace(entry, mac=b"", state=NeighbourState.NONE),
    ):
        assert found.take(other) == [NextHopLost("acc0", hop)]
        assert found.take(replace(other, interface=1)) == []


def test_neighbours_that_are_listed_are_known() -> None:
    found = Interfaces(["acc0"])
    stale = NeighbourChanged(2, HOST, MAC, NeighbourState.STALE)
    gone = NeighbourChanged(2, IPv6Address("fe80::2"), b"", FAILED)
    assert found.look([LINK], [stale, gone]) == [HostHeard("acc0", HOST, MAC)]
