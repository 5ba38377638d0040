"""What the host daemon shows to those who look inside: resources, events and metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping

from moorage.host import survey, view
from moorage.host.config import HostConfig
from moorage.host.events import HostEvent
from moorage.host.known import Known
from moorage.host.metrics import HostMetrics
from moorage.host.survey import SocketView
from moorage.host.view import AddressView, StatusView
from moorage.kernel.addresses import Address
from moorage.management.journal import Journal
from moorage.management.metrics import new_registry
from moorage.management.server import ManagementServer, Query

_log = logging.getLogger("moorage.host")


class Inside:
    """The management interface of the host daemon.

    Args:
        config: the host.
        known: what the host knows.
        present: asks the kernel for all its addresses.
        dropped: what came that was of no use, by kind.
        clock: the core's.
    """

    def __init__(
        self,
        config: HostConfig,
        known: Known,
        present: Callable[[], Iterable[Address]],
        dropped: Mapping[str, int],
        clock: Callable[[], float],
    ) -> None:
        self._known = known
        self._present = present
        self._dropped = dropped
        self._clock = clock
        self._since = clock()
        self._journal = Journal(config.management.events)
        registry = new_registry()
        self.metrics = HostMetrics(registry, known, dropped)
        self._server = ManagementServer(
            config.management,
            self._journal,
            registry,
            {"/status": self._status, "/addresses": self._addresses, "/sockets": self._sockets},
        )

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the socket cannot be made.
            ConfigError: the group does not exist.
        """
        await self._server.start()

    async def close(self) -> None:
        """Hang up on everybody."""
        await self._server.close()

    def tell(self, event: HostEvent) -> None:
        """Log and remember what happened."""
        _log.info("%s", event)
        self._journal.append(event, time.time())
        self.metrics.told(event, self._clock())

    async def _status(self, query: Query) -> StatusView:
        return view.status(self._known, self._since, self._clock(), self._dropped)

    async def _addresses(self, query: Query) -> list[AddressView]:
        return view.addresses(self._known, self._present(), self._clock())

    async def _sockets(self, query: Query) -> list[SocketView]:
        types = {
            address.address: address.type
            for address in await self._addresses(query)
            if address.address is not None
        }
        return await asyncio.to_thread(survey.sockets, types)
