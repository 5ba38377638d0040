"""How many bytes may be sent from an address: the kernel counts, and tells when they are spent.

The table is ours alone, ``ip6 moorage-host``: a chain that sees what this machine sends, a map from
source addresses to quotas. It drops nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final, Protocol

from moorage.kernel import nft_messages as nft
from moorage.kernel import nft_objects as objects
from moorage.kernel.netlink import NETLINK_NETFILTER, Message, NetlinkError, NetlinkSocket

TABLE: Final = "moorage-host"
_CHAIN: Final = "output"
_MAP: Final = "quotas"
_PRIORITY_FILTER: Final = 0
_SOURCE_OFFSET: Final = 8
_NFNLGRP_NFTABLES: Final = 7
_NAME_PREFIX: Final = "from-"

UNLIMITED: Final = (1 << 63) - 1
"""A quota that nobody ever spends: its bytes are only counted."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Bytes that may be sent, IPv6 headers included, and those that were sent already."""

    limit: int
    used: int = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """As many bytes were sent from ``address`` as its quota allows."""

    address: IPv6Address


@dataclass(frozen=True, slots=True)
class Removed:
    """Somebody took the quotas away; nothing is counted until `SendQuotas.resync`."""


Event = Spent | Removed


class SendQuotas(Protocol):
    """The quotas of one network namespace; every call raises OSError if the kernel refuses."""

    def close(self) -> None:
        """Give back what was opened; the quotas stay."""

    def fileno(self) -> int:
        """Readable when there is something to `read`."""

    def read(self) -> list[Event]:
        """What happened since the last time, without waiting. Raises `netlink.Overrun`."""

    def apply(self, wanted: Mapping[IPv6Address, Quota]) -> None:
        """Have these quotas and no others; what was counted for those that are there stays."""

    def resync(self) -> None:
        """Make the quotas anew that were applied last."""

    def used(self) -> dict[IPv6Address, int]:
        """Bytes counted so far: those of an earlier life, too, until the first `apply`."""

    def remove(self) -> None:
        """Count no more."""


class NetlinkSendQuotas:
    """The kernel's `SendQuotas`, of the network namespace of the thread that makes it.

    Raises:
        OSError: the kernel has no nf_tables, or our rights do not suffice.
    """

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(NETLINK_NETFILTER)
        self._monitor = NetlinkSocket(
            NETLINK_NETFILTER, [_NFNLGRP_NFTABLES], except_port=self._netlink.port
        )
        self._applied: dict[IPv6Address, Quota] | None = None

    def close(self) -> None:
        """See `SendQuotas.close`."""
        self._netlink.close()
        self._monitor.close()

    def fileno(self) -> int:
        """See `SendQuotas.fileno`."""
        return self._monitor.fileno()

    def read(self) -> list[Event]:
        """See `SendQuotas.read`."""
        events = (_event(message) for message in self._monitor.receive())
        return [event for event in events if event is not None]

    def apply(self, wanted: Mapping[IPv6Address, Quota]) -> None:
        """See `SendQuotas.apply`."""
        if self._applied is None:
            self._make(wanted)
            return
        known = self._applied
        gone = [
            each for each in known if each not in wanted or known[each].limit != wanted[each].limit
        ]
        new = {each: quota for each, quota in wanted.items() if each not in known}
        if changed := wanted.keys() & set(gone):
            used = self.used()
            new |= {each: Quota(wanted[each].limit, used.get(each, 0)) for each in changed}
        try:
            self._commit([*_without(gone), *_with(new)])
        except NetlinkError:
            self._make(wanted)
        else:
            for address in gone:
                del self._applied[address]
            self._applied.update(new)

    def resync(self) -> None:
        """See `SendQuotas.resync`."""
        self._make(self._applied or {})

    def used(self) -> dict[IPv6Address, int]:
        """See `SendQuotas.used`."""
        quotas = map(objects.parse_quota, self._netlink.dump(objects.list_quotas(TABLE)))
        return {_address(name): used for _, name, _, used in filter(None, quotas)}

    def remove(self) -> None:
        """See `SendQuotas.remove`."""
        self._applied = None
        self._commit(_removal())

    def _make(self, wanted: Mapping[IPv6Address, Quota]) -> None:
        self._applied = None
        self._commit([*_removal(), *_table(), *_with(wanted)])
        self._applied = dict(wanted)

    def _commit(self, messages: list[Message]) -> None:
        for error in self._netlink.transaction(nft.BATCH_BEGIN, messages, nft.BATCH_END):
            if error is not None:
                raise error


def _removal() -> list[Message]:
    """Delete the table; made first, lest there be none, which would be an error."""
    return [nft.new_table(TABLE), nft.delete_table(TABLE)]


def _table() -> list[Message]:
    source = nft.load(nft.Base.NETWORK_HEADER, _SOURCE_OFFSET, 16)
    return [
        nft.new_table(TABLE),
        nft.new_set(TABLE, _MAP, 1, (nft.Kind.IPV6_ADDRESS,), objects=objects.NFT_OBJECT_QUOTA),
        nft.new_chain(TABLE, _CHAIN, nft.Hook.OUTPUT, _PRIORITY_FILTER),
        nft.new_rule(TABLE, _CHAIN, source, objects.use_object_of(_MAP)),
    ]


def _with(quotas: Mapping[IPv6Address, Quota]) -> list[Message]:
    made = [
        objects.new_quota(TABLE, _name(address), quota.limit, min(quota.used, quota.limit))
        for address, quota in quotas.items()
    ]
    elements = [nft.element_for_object(address.packed, _name(address)) for address in quotas]
    return [*made, *nft.add_elements(TABLE, _MAP, elements)]


def _without(addresses: list[IPv6Address]) -> list[Message]:
    elements = [nft.element(address.packed) for address in addresses]
    return [
        *nft.delete_elements(TABLE, _MAP, elements),
        *(objects.delete_quota(TABLE, _name(address)) for address in addresses),
    ]


def _event(message: Message) -> Event | None:
    if message.type == nft.message_type(nft.NFT_MSG_DELTABLE):
        return Removed() if nft.parse_table(message) == TABLE else None
    if message.type != nft.message_type(objects.NFT_MSG_NEWOBJ):
        return None
    quota = objects.parse_quota(message)
    if quota is None:
        return None
    table, name, limit, used = quota
    return Spent(_address(name)) if table == TABLE and used >= limit else None


def _name(address: IPv6Address) -> str:
    return _NAME_PREFIX + address.packed.hex()


def _address(name: str) -> IPv6Address:
    return IPv6Address(bytes.fromhex(name.removeprefix(_NAME_PREFIX)))
