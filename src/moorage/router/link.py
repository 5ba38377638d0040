"""One access link as the daemon runs it: its sockets, its advertisements, its clients' messages."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence

from moorage.complaints import Complaints
from moorage.kernel.links import Link
from moorage.router.advertising import Advertiser, Send, advertisement
from moorage.router.config import AccessLink, RouterConfig
from moorage.router.inbox import Inbox, Work
from moorage.router.server import DelegationServer, Draft
from moorage.router.sockets import DhcpSocket, NewcomerSocket, RouterSocket
from moorage.wire import nd
from moorage.wire.errors import WireError

_AT_ONCE = 64
"""Messages that are read from a socket before anything else may happen."""
_SETTLED_AT_ONCE = 2
"""Groups of messages that the store is asked about at a time: one is written, one waits for that.
What comes meanwhile is the next group. Each costs the store and the kernel a transaction."""


class LinkServer:
    """Serves an interface from when it is up with a working link-local address until `close`.

    Raises:
        OSError: the interface is gone, the server port is taken there, or our rights do not
            suffice.
    """

    def __init__(
        self,
        config: RouterConfig,
        link: AccessLink,
        interface: Link,
        server: DelegationServer,
        complaints: Complaints,
    ) -> None:
        self.interface = interface
        self._link = link
        self._server = server
        self._complaints = complaints
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox(config.new_clients)
        self._pending: list[tuple[Work, Draft]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._advertiser = Advertiser(
            advertisement(config, link, interface.mac), config.ra_interval
        )
        with contextlib.ExitStack() as opened:
            self._dhcp = DhcpSocket(interface.name, interface.index)
            opened.callback(self._dhcp.close)
            self._newcomers = NewcomerSocket(interface.name, interface.index)
            opened.callback(self._newcomers.close)
            self._routers = RouterSocket(interface.name, interface.index)
            opened.pop_all()
        for source in (self._dhcp, self._newcomers):
            self._loop.add_reader(source, self._read_dhcp, source)
        self._loop.add_reader(self._routers, self._read_solicitations)
        server.reconfigurer.attach(link.interface, self._dhcp.send)
        self._advertise()

    def reconfigure(self, config: RouterConfig) -> None:
        """Go by another configuration from now on, and tell the hosts."""
        self._inbox.limit(config.new_clients)
        message = advertisement(config, self._link, self.interface.mac)
        self._advertiser.change(message, config.ra_interval, time.monotonic())
        self._set_timer()

    def farewell(self) -> None:
        """Tell the hosts that we are no default router any longer."""
        self._send(self._advertiser.stop())

    def close(self) -> None:
        """Stop to serve."""
        self._server.reconfigurer.detach(self._link.interface)
        for source in (self._dhcp, self._newcomers, self._routers):
            self._loop.remove_reader(source)
            source.close()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _read_dhcp(self, source: DhcpSocket | NewcomerSocket) -> None:
        now = time.monotonic()
        for _ in range(_AT_ONCE):
            datagram = source.receive()
            if datagram is None:
                break
            client, known = self._server.sender(datagram.data)
            too_many = self._inbox.refuses(client, known, now)
            if too_many is None:
                self._inbox.put(datagram.arrival(), client, known)
            else:
                self._complaints.complain("DHCPv6 flood", self._link.interface, too_many)
        self._answer_some()

    def _answer_some(self) -> None:
        while (work := self._inbox.take()) is not None:
            found = self._draft(work)
            if isinstance(found, Draft):
                self._pending.append((work, found))
            else:
                self._done(work, found)
        if self._pending and len(self._tasks) < _SETTLED_AT_ONCE:
            task = self._loop.create_task(self._settle(self._pending))
            self._pending = []
            self._tasks.add(task)
            task.add_done_callback(self._settled)

    def _draft(self, work: Work) -> Draft | bytes | None:
        try:
            return self._server.draft(self._link, work.arrival)
        except Exception as error:  # a mistake of ours must not cost others their answers
            self._loop.call_exception_handler({"message": "DHCPv6 message", "exception": error})
            return None

    async def _settle(self, pending: Sequence[tuple[Work, Draft]]) -> None:
        replies: Sequence[bytes | None] = [None] * len(pending)
        try:
            replies = await self._server.settle([draft for _, draft in pending])
        finally:
            for (work, _), reply in zip(pending, replies, strict=True):
                self._done(work, reply)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():  # by `close`
            self._answer_some()

    def _done(self, work: Work, reply: bytes | None) -> None:
        self._inbox.done(work)
        if reply is not None:
            # The client of a link that goes away just now asks again elsewhere.
            with contextlib.suppress(OSError):
                self._dhcp.send(reply, work.arrival.source)

    def _read_solicitations(self) -> None:
        while (received := self._routers.receive()) is not None:
            try:
                message = nd.decode_message(received.data)
            except WireError as error:
                sender = f"{received.source} on {self._link.interface}"
                self._complaints.complain("malformed router solicitation", sender, error)
                continue
            if isinstance(message, nd.RouterSolicitation):
                self._send(self._advertiser.solicited(received.source, time.monotonic()))
                self._set_timer()

    def _advertise(self) -> None:
        self._send(self._advertiser.timer(time.monotonic()))
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0.0, self._advertiser.next_timer - time.monotonic())
        self._timer = self._loop.call_later(delay, self._advertise)

    def _send(self, advertisements: Iterable[Send]) -> None:
        for each in advertisements:
            with contextlib.suppress(OSError):
                self._routers.send(each.message.encode(), each.destination)
