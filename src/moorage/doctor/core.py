"""Whether the core carries what a router's configuration promises to hosts."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
import time
from collections.abc import Collection, Iterator
from contextlib import closing
from ipaddress import IPv6Address
from typing import Final

from moorage.doctor.check import Check, Missing, User
from moorage.kernel.links import Link, NetlinkLinkTable
from moorage.router.config import ENCAPSULATION, RouterConfig
from moorage.store import open_store
from moorage.store.model import Router
from moorage.store.protocol import StoreError

_ECHO_REQUEST: Final = 128
_ECHO_REPLY: Final = 129
_HEADER: Final = struct.Struct("!BBHHH")
"""Type, code, checksum (which the kernel fills in), identifier, sequence number."""
_HEADERS: Final = 40 + _HEADER.size
_IPV6_MTU_DISCOVER: Final = 23
_PMTUDISC_PROBE: Final = 3
_PATIENCE: Final = 1.0
_ATTEMPTS: Final = 3


def checks(config: RouterConfig) -> Iterator[Check]:
    """Yield what there is to try with a router's configuration, on the router itself."""

    def links() -> str:
        return _links(config)

    def access() -> str:
        return _access(config)

    def routers() -> str:
        return _routers(config)

    users = frozenset({User.ROUTER})
    yield Check(
        "MTU of the configured interfaces",
        users,
        "full-size packets are lost without a word",
        needed=True,
        attempt=links,
        apart=False,
    )
    yield Check(
        "core MTU above the access MTU",
        users,
        "hosts are told to send smaller packets; bigger ones of others to them are lost",
        needed=False,
        attempt=access,
        apart=False,
    )
    yield Check(
        "full-size packets between the routers",
        users,
        "TCP connections hang after a move",
        needed=True,
        attempt=routers,
        apart=False,
    )


def _links(config: RouterConfig) -> str:
    with closing(NetlinkLinkTable()) as table:
        present = {link.name: link for link in table.links()}
    promised = {config.core_interface: config.core_mtu}
    promised |= {link.interface: link.mtu for link in config.access}
    for name, mtu in promised.items():
        _carries(present.get(name), name, mtu)
    return ", ".join(f"{name} {mtu}" for name, mtu in promised.items())


def _carries(link: Link | None, name: str, mtu: int) -> None:
    if link is None:
        raise Missing(f"there is no interface {name}")
    if link.mtu < mtu:
        raise Missing(f"{name} carries {link.mtu} bytes, the configuration says {mtu}")


def _access(config: RouterConfig) -> str:
    for link in config.access:
        wanted = link.mtu + ENCAPSULATION
        if config.core_mtu < wanted:
            raise Missing(
                f"core_mtu is {config.core_mtu}, {link.interface} would need {wanted}:"
                f" its hosts are told {config.path_mtu(link)}"
            )
    return ""


def _routers(config: RouterConfig) -> str:
    try:
        routers = asyncio.run(_others(config))
    except StoreError as error:
        raise Missing(str(error)) from None
    silent = unanswered([router.address for router in routers], config.core_mtu)
    names = [f"{router.id} ({router.address})" for router in routers if router.address in silent]
    if names:
        raise Missing(f"no answer to {config.core_mtu} bytes from {', '.join(names)}")
    return ", ".join(router.id for router in routers) or "no other router is registered"


async def _others(config: RouterConfig) -> list[Router]:
    store = open_store(config.store, create=False)
    try:
        snapshot = await store.snapshot()
    finally:
        await store.close()
    return [router for router in snapshot.routers if router.id != config.id]


def unanswered(destinations: Collection[IPv6Address], size: int) -> set[IPv6Address]:
    """Return those that do not answer an echo request of ``size`` bytes (RFC 4443 section 4).

    Raises:
        OSError: our rights do not suffice.
    """
    left = set(destinations)
    identifier = os.getpid() & 0xFFFF
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        # No fragments, and no regard for what was learnt of the path before.
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        for sequence in range(_ATTEMPTS):
            request = _HEADER.pack(_ECHO_REQUEST, 0, 0, identifier, sequence)
            for destination in left:
                try:
                    sock.sendto(request + bytes(size - _HEADERS), (str(destination), 0))
                except OSError:  # too big for the link, or no route
                    continue
            end = time.monotonic() + _PATIENCE
            while left and select.select([sock], [], [], max(0.0, end - time.monotonic()))[0]:
                answer, (source, *_) = sock.recvfrom(1 << 16)
                kind, _, _, whose, _ = _HEADER.unpack_from(answer)
                if (kind, whose, len(answer)) == (_ECHO_REPLY, identifier, size - 40):
                    left.discard(IPv6Address(source))
    return left
