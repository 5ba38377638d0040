"""The IPv6 addresses of the interfaces."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass, field
from enum import IntFlag
from ipaddress import IPv6Address
from typing import Final, Protocol

from moorage.kernel import netlink
from moorage.kernel.netlink import Message, NetlinkSocket, attribute, attribute_u32

RTM_NEWADDR: Final = 20
RTM_DELADDR: Final = 21
_RTM_GETADDR: Final = 22

_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_CACHEINFO: Final = 6
_IFA_FLAGS: Final = 8
_IFA_PROTO: Final = 11

_ADDRESS: Final = struct.Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags (the lower 8), scope, interface."""
_CACHE_INFO: Final = struct.Struct("=IIII")
"""struct ifa_cacheinfo: preferred and valid lifetime, time of creation and of the last change.

The times are hundredths of a second of the kernel's uptime (CLOCK_MONOTONIC), modulo 2**32.
"""
_U32: Final = struct.Struct("=I")
_INFINITE: Final = 0xFFFFFFFF
_FROM_ADVERTISEMENT: Final = 2
"""IFAPROT_KERNEL_RA."""


class AddressFlags(IntFlag):
    """The kernel's IFA_F_ flags."""

    NONE = 0
    TEMPORARY = 0x01
    NO_DAD = 0x02
    OPTIMISTIC = 0x04
    DAD_FAILED = 0x08
    HOME_ADDRESS = 0x10
    DEPRECATED = 0x20
    TENTATIVE = 0x40
    PERMANENT = 0x80
    MANAGE_TEMPORARY = 0x100
    NO_PREFIX_ROUTE = 0x200
    MULTICAST_AUTO_JOIN = 0x400
    STABLE_PRIVACY = 0x800


@dataclass(frozen=True, slots=True)
class Address:
    """One address on the interface with this index.

    ``preferred`` and ``valid`` are the remaining lifetimes in seconds, None: infinite.
    ``protocol`` says who added it (0: nobody said; the kernel's own: 1 loopback, 2 router
    advertisement, 3 link-local). ``age`` is how many seconds ago it was added, those not counted
    that the machine slept; two addresses that differ in that alone are equal.
    """

    address: IPv6Address
    interface: int
    prefix_length: int
    preferred: int | None = None
    valid: int | None = None
    protocol: int = 0
    flags: AddressFlags = AddressFlags.NONE
    age: float = field(default=0.0, compare=False)

    @property
    def usable(self) -> bool:
        """Whether packets can be sent from it; an optimistic address can (RFC 4429)."""
        if self.flags & AddressFlags.DAD_FAILED:
            return False
        return self.optimistic or not self.flags & AddressFlags.TENTATIVE

    @property
    def optimistic(self) -> bool:
        """Whether duplicate address detection has not confirmed it yet (RFC 4429)."""
        return bool(self.flags & AddressFlags.OPTIMISTIC)

    @property
    def clashed(self) -> bool:
        """Whether somebody else on the link has it (RFC 4862 section 5.4)."""
        return bool(self.flags & AddressFlags.DAD_FAILED)

    @property
    def deprecated(self) -> bool:
        """Whether new connections should not use it (RFC 4862 section 5.5.4)."""
        return bool(self.flags & AddressFlags.DEPRECATED)

    @property
    def autoconfigured(self) -> bool:
        """Whether the kernel formed it from a router advertisement (RFC 4862, RFC 8981)."""
        # Of temporary ones the kernel does not say who added them.
        temporary = bool(self.flags & AddressFlags.TEMPORARY)
        return temporary or self.protocol == _FROM_ADVERTISEMENT


class AddressTable(Protocol):
    """The IPv6 addresses of one network namespace."""

    def addresses(self, protocol: int | None = None) -> list[Address]:
        """All addresses, or those with this protocol number. Raises OSError."""

    def add(self, address: Address) -> None:
        """Add an address, or change the lifetimes of the one that is there.

        Of the flags only those count that are an administrator's to set, such as NO_DAD; the
        others follow from the lifetimes. Raises OSError, ENODEV if there is no such interface,
        EINVAL if the address is preferred for longer than it is valid.
        """

    def remove(self, address: Address) -> None:
        """Remove an address, whoever added it. Raises OSError, EADDRNOTAVAIL if there is none."""


class NetlinkAddressTable:
    """The kernel's `AddressTable`, of the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(netlink.NETLINK_ROUTE)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def addresses(self, protocol: int | None = None) -> list[Address]:
        """All addresses, or those with this protocol number. Raises OSError."""
        question = _ADDRESS.pack(socket.AF_INET6, 0, 0, 0, 0)
        answers = self._socket.dump(Message(_RTM_GETADDR, question))
        found = (parse_address(answer.payload) for answer in answers)
        return [address for address in found if protocol in (None, address.protocol)]

    def add(self, address: Address) -> None:
        """Add an address, or change the lifetimes of the one that is there. Raises OSError."""
        body = _encode(address) + b"".join(
            (
                attribute(
                    _IFA_CACHEINFO,
                    _CACHE_INFO.pack(_seconds(address.preferred), _seconds(address.valid), 0, 0),
                ),
                attribute_u32(_IFA_FLAGS, address.flags),
                attribute(_IFA_PROTO, bytes((address.protocol,))),
            )
        )
        self._request(Message(RTM_NEWADDR, body, netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE))

    def remove(self, address: Address) -> None:
        """Remove an address, whoever added it. Raises OSError, EADDRNOTAVAIL if there is none."""
        self._request(Message(RTM_DELADDR, _encode(address)))

    def _request(self, message: Message) -> None:
        [error] = self._socket.request([message])
        if error is not None:
            raise error


def _encode(address: Address) -> bytes:
    head = _ADDRESS.pack(socket.AF_INET6, address.prefix_length, 0, 0, address.interface)
    return head + attribute(_IFA_LOCAL, address.address.packed)


def _seconds(lifetime: int | None) -> int:
    return _INFINITE if lifetime is None else lifetime


def _age(created: int) -> float:
    elapsed = (int(time.monotonic() * 100) - created) % (1 << 32)
    return elapsed / 100 if elapsed < 1 << 31 else 0.0  # the two clocks differ a little


def parse_address(body: bytes) -> Address:
    """The address of a message."""
    _, length, flags, _, interface = _ADDRESS.unpack_from(body)
    found = netlink.parse_attributes(body, _ADDRESS.size)
    preferred, valid, created, _ = _CACHE_INFO.unpack(found[_IFA_CACHEINFO])
    if _IFA_FLAGS in found:
        [flags] = _U32.unpack(found[_IFA_FLAGS])
    return Address(
        # Between two points IFA_ADDRESS is the far end.
        address=IPv6Address(found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS, b""))),
        interface=interface,
        prefix_length=length,
        preferred=None if preferred == _INFINITE else preferred,
        valid=None if valid == _INFINITE else valid,
        protocol=found.get(_IFA_PROTO, b"\0")[0],
        flags=AddressFlags(flags),
        age=_age(created),
    )
