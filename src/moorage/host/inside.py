"""What the host daemon shows to those who look inside: resources, events and metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address

from moorage.host import peer, survey, view, why
from moorage.host.config import HostConfig
from moorage.host.known import Known
from moorage.host.metrics import HostMetrics
from moorage.host.survey import SocketView
from moorage.host.view import AddressView, StatusView
from moorage.host.why import ProgramOf, WhyView
from moorage.kernel import processes
from moorage.kernel.addresses import Address
from moorage.management.event import Event
from moorage.management.journal import Journal
from moorage.management.metrics import new_registry
from moorage.management.server import BadQuery, ManagementServer, NotFound, Query

_log = logging.getLogger("moorage.host")


class Inside:
    """The management interface of the host daemon.

    Args:
        config: the host.
        known: what the host knows.
        present: asks the kernel for all its addresses, ...
        sent: ... and for how many bytes were sent from those that it counts for.
        dropped: what came that was of no use, by kind.
        program_of: says of a process for whom its addresses were asked by default.
        clock: the core's.
    """

    def __init__(
        self,
        config: HostConfig,
        known: Known,
        present: Callable[[], Iterable[Address]],
        sent: Callable[[], Mapping[IPv6Address, int]],
        dropped: Mapping[str, int],
        program_of: ProgramOf,
        clock: Callable[[], float],
    ) -> None:
        self._known = known
        self._present = present
        self._sent = sent
        self._dropped = dropped
        self._program_of = program_of
        self._clock = clock
        self._since = clock()
        self._journal = Journal(config.management.events)
        self.metrics = HostMetrics(known, sent, dropped)
        self._server = ManagementServer(
            config.management,
            self._journal,
            new_registry(self.metrics.look),
            {
                "/status": self._status,
                "/addresses": self._addresses,
                "/sockets": self._sockets,
                "/why": self._why,
            },
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

    def tell(self, event: Event) -> None:
        """Log and remember what happened."""
        _log.info("%s", event)
        self._journal.append(event, time.time())
        self.metrics.told(event, self._clock())

    async def _status(self, query: Query) -> StatusView:
        return view.status(self._known, self._since, self._clock(), self._dropped)

    async def _addresses(self, query: Query) -> list[AddressView]:
        return view.addresses(self._known, self._present(), self._sent(), self._clock())

    async def _sockets(self, query: Query) -> list[SocketView]:
        types = {
            address.address: address.type
            for address in await self._addresses(query)
            if address.address is not None
        }
        return await asyncio.to_thread(survey.sockets, types)

    async def _why(self, query: Query) -> WhyView:
        sockets, addresses = await self._sockets(query), await self._addresses(query)
        match dict(query):
            case {"pid": text} if len(query) == 1 and text.isdecimal():
                pid = int(text)
                try:
                    process, caller = processes.read(pid), peer.describe(pid)
                except OSError:
                    raise NotFound(f"there is no process {pid}") from None
                held = [each for each in sockets if pid in (one.pid for one in each.processes)]
                return why.of_process(
                    self._known, process, caller, held, addresses, self._program_of, self._clock()
                )
            case {"address": text, **rest} if rest.keys() <= {"port"}:
                found = [each for each in sockets if _is_at(each, text, rest.get("port"))]
                if not found:
                    raise NotFound(f"no socket of this host is at {text}")
                return why.of_sockets(
                    self._known, found, addresses, self._program_of, self._clock()
                )
            case _:
                raise BadQuery("allowed: pid=NUMBER, or address=ADDRESS and port=NUMBER")


def _is_at(socket: SocketView, address: str, port: str | None) -> bool:
    try:
        wanted = IPv6Address(address)
    except ValueError:
        raise BadQuery(f"{address}: allowed: an IPv6 address") from None
    return socket.address == wanted and port in (None, str(socket.port))
