"""A router's membership in its domain: its lease in the store, and the pools that it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Final

from moorage.complaints import Complaints
from moorage.router.announcer import Announcer
from moorage.router.config import RouterConfig
from moorage.router.events import RouterEvent
from moorage.router.mirror import Mirror
from moorage.router.succession import Succession
from moorage.store.protocol import BindingStore, Fenced, Hold, LeaseEnded, StoreError

_SIGNS_OF_LIFE: Final = 3
"""How many there are while a lease lasts: one, or two, may be late."""


class Membership:
    """Says, and goes on to say, that a router is there; takes pools over, and gives them back.

    The network is told which pools to route here, if the operator has said how.

    Args:
        config: the router.
        store: the store.
        mirror: what is known of it.
        complaints: told of a store that does not answer.
        tell: told what the network was told.

    Attributes:
        announcer: tells the network.
    """

    def __init__(
        self,
        config: RouterConfig,
        store: BindingStore,
        mirror: Mirror,
        complaints: Complaints,
        tell: Callable[[RouterEvent], None],
    ) -> None:
        self._config = config
        self._store = store
        self._mirror = mirror
        self._complaints = complaints
        self._loop = asyncio.get_running_loop()
        self._succession = Succession(config)
        self.announcer = None if config.announce is None else Announcer(config.announce, tell)
        self._news = asyncio.Event()
        self._lapsed = asyncio.Event()

    def reconfigure(self, config: RouterConfig) -> None:
        """Go by another configuration from now on."""
        self._config = config
        self._succession.reconfigure(config)
        self.heed()

    async def join(self) -> None:
        """Register, and hold our pool if nobody ever has.

        Raises:
            StoreError: the store cannot take it.
        """
        await self._store.register(self._config.router())
        with suppress(Fenced):
            await self._store.hold(Hold(self._config.anchor(), 0))

    async def keep(self) -> None:
        """Keep the lease; register again when it has ended."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.lease / _SIGNS_OF_LIFE):
                    await self._lapsed.wait()
            self._lapsed.clear()
            try:
                await self._extend()
            except StoreError as error:
                self._complaints.complain("registration", "the store", error)

    async def _extend(self) -> None:
        try:
            await self._store.keep_alive(self._config.id)
        except LeaseEnded:
            await self.join()

    def heed(self) -> None:
        """Consider who is there and who holds what: something of that has changed.

        The kernel has followed by now: what the network is told is true.
        """
        now = self._loop.time()
        self._succession.look(self._mirror.anchors, self._mirror.present, now)
        self._news.set()
        if self._config.id not in self._mirror.present:
            self._lapsed.set()
        self._announce()

    def _announce(self) -> None:
        """Have the network route here what we act for."""
        if self.announcer is None:
            return
        anchors, concern = self._mirror.anchors, {self._config.id, *self._config.standby.routers}
        self.announcer.want(
            (anchor.pool for anchor in anchors.of(self._config.id)),
            (anchor.pool for anchor in anchors if anchor.id in concern),
        )

    def close(self) -> None:
        """Tell the network nothing more; it keeps what it was told."""
        if self.announcer is not None:
            self.announcer.close()

    async def succeed(self) -> None:
        """Take pools over and give them back when it is time for that."""
        while True:
            self._news.clear()
            for hold in self._succession.due(self._loop.time()):
                try:
                    await self._store.hold(hold)
                except Fenced:
                    continue  # somebody was faster, and we shall hear of it
                except StoreError as error:
                    self._complaints.complain("change of a holder", "the store", error)
            due = self._succession.next_timer
            with suppress(TimeoutError):
                async with asyncio.timeout_at(None if due == inf else due):
                    await self._news.wait()
