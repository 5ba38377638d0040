"""The packet filter of an access router: who may send into its anchored paths, and who as whom.

A router decapsulates whatever is sent to its SIDs, so nobody but the domain's routers may send
there, and an anchor takes up packets only from the router that serves their source
(``docs/protocol.md``, "Paths"). Nor does a router send back to the core what came from there to a
pool: while the network and the routers do not agree on who acts for it, that would loop. The table
is ours alone, ``ip6 moorage``: a chain before the routing decision and one after it, sets that
change with the bindings, a counter for each reason to drop. It stays when the daemon goes, as the
paths do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from ipaddress import IPv6Address, IPv6Network, collapse_addresses
from typing import Any, Final, Generic, Protocol, TypeVar

from moorage.kernel import nft_messages as nft
from moorage.kernel import nft_objects as objects
from moorage.kernel.netlink import NETLINK_NETFILTER, Message, NetlinkSocket

S = TypeVar("S")

TABLE: Final = "moorage"
_ARRIVING: Final = "prerouting"
_FORWARDED: Final = "forward"
_PRIORITY_RAW: Final = -300
_PRIORITY_FILTER: Final = 0
_SERVED: Final = "served"
_ATTACHED: Final = "attached"

_IPV6_IN_IPV6: Final = b"\x29"
_HEADER_BYTES: Final = 40
_NEXT_HEADER_OFFSET: Final = 6
_SOURCE_OFFSET: Final = 8
_DESTINATION_OFFSET: Final = 24
_ETHERNET_SOURCE_OFFSET: Final = 6


class DropReason(StrEnum):
    """Why a packet was dropped: the name of the counter."""

    FORGED_SOURCE = "forged-source"
    """From an access interface, with a source that is neither the sender's nor the link's."""
    FROM_ACCESS_LINK = "from-access-link"
    """From an access interface to a SID."""
    UNKNOWN_ROUTER = "unknown-router"
    """To a SID, from an outer source that is no router of the domain."""
    NOT_ENCAPSULATED = "not-encapsulated"
    """To a SID, without an inner IPv6 packet right behind the header."""
    NOT_SERVED = "not-served"
    """To the *up* SID, with an inner source that the sending router does not serve."""
    RETURNED = "returned"
    """From the core to a pool that another router acts for, back to the core; hosts' own apart."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A delegated prefix and the host that holds it: the access interface and its MAC there."""

    interface: str
    mac: bytes
    prefix: IPv6Network


Served = tuple[IPv6Address, IPv6Network]
"""A router (its outer source) and a prefix that is anchored here and that it serves."""


@dataclass(frozen=True, slots=True)
class Members:
    """What bindings put into the filter's sets."""

    served: Collection[Served] = ()
    attached: Collection[Attachment] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.served or self.attached)

    @property
    def lengths(self) -> frozenset[int]:
        """The lengths of their prefixes."""
        served = {prefix.prefixlen for _, prefix in self.served}
        return frozenset(served.union(each.prefix.prefixlen for each in self.attached))


NO_MEMBERS: Final = Members()


@dataclass(frozen=True, slots=True)
class FilterState:
    """What the filter knows.

    ``access`` are the names of the access interfaces, ``core`` is the other one's; ``block`` holds
    all SIDs of the domain, ``routers`` are the outer sources of its routers. From an access
    interface, sources in ``pools`` (what the domain delegates from) must be ``attached`` there, and
    all others must be ``local`` to it. ``lengths`` are those that delegated prefixes may have.
    """

    access: frozenset[str]
    core: str
    block: IPv6Network
    up_sid: IPv6Address
    routers: frozenset[IPv6Address]
    lengths: frozenset[int]
    pools: frozenset[IPv6Network] = frozenset()
    local: frozenset[tuple[str, IPv6Network]] = frozenset()
    members: Members = NO_MEMBERS


class PacketFilter(Protocol):
    """A filter that can be brought to a wanted state; each change is made at once or not at all."""

    def resync(self, state: FilterState) -> None:
        """Make the filter anew, whatever is there; the counters begin at 0."""

    def change(self, add: Members, remove: Members) -> None:
        """Change members, which costs nothing for the others.

        What is added may be there; raises OSError if what is to go is not, if there is no filter,
        or if it knows no prefixes of that length.
        """

    def remove(self) -> None:
        """Filter no more."""

    def dropped(self) -> dict[str, int]:
        """Packets dropped, by reason; empty without a filter."""


class SidFilter:
    """The `PacketFilter` of the network namespace of the thread that creates it, by nf_tables.

    Raises OSError where the kernel has no nf_tables; every call raises NetlinkError if the kernel
    refuses.
    """

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(NETLINK_NETFILTER)

    def close(self) -> None:
        """Give back the file descriptor; the filter stays."""
        self._netlink.close()

    @property
    def port(self) -> int:
        """What a `FilterMonitor` needs to know to leave our own changes out."""
        return self._netlink.port

    def resync(self, state: FilterState) -> None:
        """See `PacketFilter.resync`."""
        self._commit([*_removal(), *_table(state)])

    def change(self, add: Members, remove: Members) -> None:
        """See `PacketFilter.change`."""
        messages: list[Message] = []
        for length in add.lengths | remove.lengths:
            for each in _member_sets(length):
                gone, come = (each.encoded(each.members(members)) for members in (remove, add))
                messages += nft.delete_elements(TABLE, each.name, gone)
                messages += nft.add_elements(TABLE, each.name, come)
        self._commit(messages)

    def remove(self) -> None:
        """See `PacketFilter.remove`."""
        self._commit(_removal())

    def dropped(self) -> dict[str, int]:
        """See `PacketFilter.dropped`."""
        return dict(map(objects.parse_counter, self._netlink.dump(objects.list_counters(TABLE))))

    def _commit(self, messages: list[Message]) -> None:
        for error in self._netlink.transaction(nft.BATCH_BEGIN, messages, nft.BATCH_END):
            if error is not None:
                raise error


@dataclass(frozen=True, slots=True)
class _Set(Generic[S]):
    """A set of the table: what of a state is in it, and how that is written as elements."""

    name: str
    kinds: tuple[nft.Kind, ...]
    members: Callable[[S], Collection[Any]]
    elements: Callable[[Any], tuple[bytes, ...]]
    interval: bool = False

    def encoded(self, members: Iterable[Any]) -> Iterator[bytes]:
        return (element for member in members for element in self.elements(member))


def _access_elements(interface: str) -> tuple[bytes, ...]:
    return (nft.element(_interface_key(interface)),)


def _router_elements(router: IPv6Address) -> tuple[bytes, ...]:
    return (nft.element(router.packed),)


def _served_elements(member: tuple[IPv6Address, IPv6Network]) -> tuple[bytes, ...]:
    router, prefix = member
    return (nft.element(router.packed + prefix.network_address.packed),)


def _pool_elements(pool: IPv6Network) -> tuple[bytes, ...]:
    behind = IPv6Address(int(pool.broadcast_address) + 1)
    return (
        nft.element(pool.network_address.packed),
        nft.element(behind.packed, ends_interval=True),
    )


def _local_elements(member: tuple[str, IPv6Network]) -> tuple[bytes, ...]:
    interface, network = member
    key = _interface_key(interface)
    ends = (network.network_address, network.broadcast_address)
    return (nft.range_of_keys(*(key + end.packed for end in ends)),)


def _attached_elements(member: Attachment) -> tuple[bytes, ...]:
    key = _interface_key(member.interface) + nft.padded(member.mac)
    return (nft.element(key + member.prefix.network_address.packed),)


@cache
def _interface_key(name: str) -> bytes:
    return name.encode().ljust(nft.Kind.INTERFACE_NAME.size, b"\0")


_FRAME_SETS: Final[tuple[_Set[FilterState], ...]] = (
    _Set("access", (nft.Kind.INTERFACE_NAME,), lambda state: state.access, _access_elements),
    _Set("routers", (nft.Kind.IPV6_ADDRESS,), lambda state: state.routers, _router_elements),
    _Set(
        "pools",
        (nft.Kind.IPV6_ADDRESS,),
        # The kernel refuses ranges that overlap.
        lambda state: tuple(collapse_addresses(state.pools)),
        _pool_elements,
        interval=True,
    ),
    _Set(
        "local",
        (nft.Kind.INTERFACE_NAME, nft.Kind.IPV6_ADDRESS),
        lambda state: _apart(state.local),
        _local_elements,
        interval=True,
    ),
)


@cache
def _member_sets(length: int) -> tuple[_Set[Members], ...]:
    """The sets of prefixes of one length: each is one look-up, of the source cut to that length."""
    return (
        _Set(
            f"{_SERVED}{length}",
            (nft.Kind.IPV6_ADDRESS,) * 2,
            lambda members: [each for each in members.served if each[1].prefixlen == length],
            _served_elements,
        ),
        _Set(
            f"{_ATTACHED}{length}",
            (nft.Kind.INTERFACE_NAME, nft.Kind.ETHERNET_ADDRESS, nft.Kind.IPV6_ADDRESS),
            lambda members: [each for each in members.attached if each.prefix.prefixlen == length],
            _attached_elements,
        ),
    )


def _apart(local: Iterable[tuple[str, IPv6Network]]) -> list[tuple[str, IPv6Network]]:
    """Make ranges that do not overlap: the kernel refuses those that do."""
    of_interface: defaultdict[str, list[IPv6Network]] = defaultdict(list)
    for interface, network in local:
        of_interface[interface].append(network)
    return [
        (interface, network)
        for interface, networks in of_interface.items()
        for network in collapse_addresses(networks)
    ]


def _removal() -> list[Message]:
    """Delete the table; made first, lest there be none, which would be an error."""
    return [nft.new_table(TABLE), nft.delete_table(TABLE)]


def _table(state: FilterState) -> list[Message]:
    messages = [nft.new_table(TABLE)]
    sets: list[tuple[_Set[Any], Collection[Any]]] = [
        (each, each.members(state)) for each in _FRAME_SETS
    ]
    for length in state.lengths:
        sets += [(each, each.members(state.members)) for each in _member_sets(length)]
    for number, (each, members) in enumerate(sets, 1):
        messages.append(nft.new_set(TABLE, each.name, number, each.kinds, interval=each.interval))
        messages += nft.add_elements(TABLE, each.name, each.encoded(members))
    messages += [objects.new_counter(TABLE, reason) for reason in DropReason]
    messages.append(nft.new_chain(TABLE, _ARRIVING, nft.Hook.PREROUTING, _PRIORITY_RAW))
    messages += [nft.new_rule(TABLE, _ARRIVING, *rule) for rule in _rules(state)]
    messages.append(nft.new_chain(TABLE, _FORWARDED, nft.Hook.FORWARD, _PRIORITY_FILTER))
    messages.append(nft.new_rule(TABLE, _FORWARDED, *_returned(state)))
    return messages


def _returned(state: FilterState) -> tuple[bytes, ...]:
    core = nft.equal(_interface_key(state.core))
    return (
        *(nft.load_interface(), core),
        *(nft.load_leaving_interface(), core),
        # What has a source of a pool may come out of a tunnel that ends here.
        nft.load(nft.Base.NETWORK_HEADER, _SOURCE_OFFSET, 16),
        nft.missing_in("pools"),
        nft.load(nft.Base.NETWORK_HEADER, _DESTINATION_OFFSET, 16),
        nft.found_in("pools"),
        *_drop(DropReason.RETURNED),
    )


def _rules(state: FilterState) -> tuple[tuple[bytes, ...], ...]:
    """The rules for what arrives; only addresses and lengths of the domain make a difference."""
    source = nft.load(nft.Base.NETWORK_HEADER, _SOURCE_OFFSET, 16)
    destination = nft.load(nft.Base.NETWORK_HEADER, _DESTINATION_OFFSET, 16)
    next_header = nft.load(nft.Base.NETWORK_HEADER, _NEXT_HEADER_OFFSET, 1)
    from_access = (nft.load_interface(), nft.found_in("access"))
    interface_and_mac = (
        nft.load_interface(register=0),
        nft.load(nft.Base.LINK_HEADER, _ETHERNET_SOURCE_OFFSET, 6, register=4),
    )
    interface_and_source = (
        nft.load_interface(register=0),
        nft.load(nft.Base.NETWORK_HEADER, _SOURCE_OFFSET, 16, register=4),
    )
    router = nft.load(nft.Base.NETWORK_HEADER, _SOURCE_OFFSET, 16, register=0)

    def in_none(family: str, offset: int, register: int) -> tuple[bytes, ...]:
        """Go on if the address at ``offset`` is of no prefix that the registers before fit."""
        return tuple(
            part
            for length in sorted(state.lengths, reverse=True)
            for part in (
                nft.load(nft.Base.NETWORK_HEADER, offset, 16, register=register),
                nft.mask(_mask(length), register=register),
                nft.missing_in(f"{family}{length}"),
            )
        )

    return (
        (
            *from_access,
            *(source, nft.found_in("pools")),
            *(*interface_and_mac, *in_none(_ATTACHED, _SOURCE_OFFSET, register=6)),
            *_drop(DropReason.FORGED_SOURCE),
        ),
        (
            *from_access,
            *(source, nft.missing_in("pools")),
            *(*interface_and_source, nft.missing_in("local")),
            *_drop(DropReason.FORGED_SOURCE),
        ),
        (
            *(destination, nft.mask(_mask(state.block.prefixlen))),
            nft.different(state.block.network_address.packed),
            nft.decide(nft.Verdict.ACCEPT),
        ),
        (*from_access, *_drop(DropReason.FROM_ACCESS_LINK)),
        (source, nft.missing_in("routers"), *_drop(DropReason.UNKNOWN_ROUTER)),
        (next_header, nft.different(_IPV6_IN_IPV6), *_drop(DropReason.NOT_ENCAPSULATED)),
        (
            *(destination, nft.equal(state.up_sid.packed)),
            *(router, *in_none(_SERVED, _HEADER_BYTES + _SOURCE_OFFSET, register=4)),
            *_drop(DropReason.NOT_SERVED),
        ),
    )


def _drop(reason: DropReason) -> tuple[bytes, bytes]:
    return objects.count(reason), nft.decide(nft.Verdict.DROP)


def _mask(length: int) -> bytes:
    return IPv6Network((0, length)).netmask.packed
