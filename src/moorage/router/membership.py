"""A router's membership in its domain: the registration in the store, and the lease on it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from moorage.complaints import Complaints
from moorage.router.config import RouterConfig
from moorage.store.protocol import BindingStore, Fenced, Hold, LeaseEnded, StoreError

_SIGNS_OF_LIFE: Final = 3
"""How many there are while a lease lasts: one, or two, may be late."""


class Membership:
    """Says, and goes on to say, that a router is there.

    Args:
        config: the router.
        store: the store.
        complaints: told of a store that does not answer.
    """

    def __init__(self, config: RouterConfig, store: BindingStore, complaints: Complaints) -> None:
        self._config = config
        self._store = store
        self._complaints = complaints

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
            await asyncio.sleep(self._config.lease / _SIGNS_OF_LIFE)
            try:
                await self._extend()
            except StoreError as error:
                self._complaints.complain("registration", "the store", error)

    async def _extend(self) -> None:
        try:
            await self._store.keep_alive(self._config.id)
        except LeaseEnded:
            await self.join()
