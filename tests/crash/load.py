"""A program that serves many hosts from one store and says what it has promised, then is killed.

Two access routers, with a connection to the store each, answer hosts that ask for prefixes, move
and give them back, all at the same time. Every Reply becomes a line on standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Network

from moorage.service import ServiceType
from moorage.store import schema
from moorage.store.model import Binding
from moorage.store.protocol import BindingStore, Create
from moorage.store.sqlite import SqliteStore
from moorage.wire.dhcp6 import Message, MessageType, RapidCommit, Refusal, RefusalReason
from tests.bindings import OVER
from tests.domain import ANY, Client, Clock, Site, ia, lease, router_config, said

HOSTS = 24
KIND = ServiceType.SESSION_LASTING


def routers(*stores: BindingStore) -> list[Site]:
    """Routers of one domain whose pools are small, so that prefixes meet; a store for each."""
    clock = Clock()
    return [
        Site(router_config(number, pool=IPv6Network(f"2001:db8:a{number}00::/57")), store, clock)
        for number, store in enumerate(stores, start=1)
    ]


def solicit(client: Client, iaid: int) -> Message:
    return client.message(
        MessageType.SOLICIT, [ia(iaid, ANY)], {iaid: KIND}, options=[RapidCommit()]
    )


async def insist(client: Client, site: Site, message: Message) -> Message:
    """Ask until there is an answer other than that one is to come again."""
    while True:
        reply = await client.try_ask(site, message)
        if reply is not None:
            refusal = said(reply).first(Refusal)
            if refusal is None or refusal.reason is not RefusalReason.TRY_LATER:
                return reply


@dataclass
class Promises:
    """Tells of each Reply, and ends all by SIGKILL when so many were told."""

    limit: int
    told: int = field(default=0, init=False)

    def tell(self, client: Client, prefix: IPv6Network, held: bool) -> None:
        line = {
            "prefix": str(prefix),
            "client": client.duid.hex(),
            "ticks": client.ticks,
            "held": held,
        }
        os.write(1, json.dumps(line).encode() + b"\n")
        self.told += 1
        if self.told == self.limit:
            os.kill(os.getpid(), signal.SIGKILL)


async def live(client: Client, sites: list[Site], promises: Promises) -> None:
    """Ask for prefixes, move with each, and give every other one back."""
    for iaid in range(1, 100):
        prefix = lease(await insist(client, sites[iaid % 2], solicit(client, iaid)), iaid).prefix
        promises.tell(client, prefix, held=True)
        for number in range(3):
            site = sites[number % 2]
            moved = await insist(client, site, client.rebind(prefix, KIND, iaid))
            assert lease(moved, iaid).prefix == prefix
            promises.tell(client, prefix, held=True)
        if iaid % 2:
            await insist(client, sites[0], client.release(sites[0], prefix, iaid))
            promises.tell(client, prefix, held=False)


async def serve_hosts(path: str, limit: int) -> None:
    """Promise things to many hosts at once until the end."""
    schema.JOURNAL_PAGES = 1000  # so that it begins anew in the meantime
    sites = routers(SqliteStore.open(path), SqliteStore.open(path))
    promises = Promises(limit)
    clock = Clock()
    await asyncio.gather(*(live(Client(clock), sites, promises) for _ in range(HOSTS)))


async def commit_at_once(path: str, count: int) -> None:
    """Commit so many bindings at the same moment, and tell when it begins and of each."""
    store = SqliteStore.open(path)
    os.write(1, b"begin\n")

    async def commit(number: int) -> None:
        await store.commit([Create(a_binding(number))])
        os.write(1, b"done\n")

    await asyncio.gather(*map(commit, range(count)))
    os.kill(os.getpid(), signal.SIGKILL)


def a_binding(number: int) -> Binding:
    prefix = IPv6Network(((0x20010DB8 << 96) + (number << 64), 64))
    return replace(OVER, prefix=prefix, client=bytes(18), iaid=number, type=KIND)


async def bring_up_to_date(path: str, count: int) -> None:
    """Open the file, with ``count`` bindings in it."""
    store = SqliteStore.open(path)
    assert len((await store.snapshot()).bindings) == count
    os.write(1, b"done\n")
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    loads = {"serve": serve_hosts, "commit": commit_at_once, "upgrade": bring_up_to_date}
    asyncio.run(loads[sys.argv[1]](sys.argv[2], int(sys.argv[3])))
