"""The access router's shell: the store, the kernel and the links around the cores."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import time
from collections.abc import Coroutine, Sequence
from ipaddress import IPv6Address
from math import inf

from moorage.bulk import many_objects
from moorage.complaints import Complaints
from moorage.kernel import seg6, sysctl
from moorage.kernel.addresses import NetlinkAddressTable
from moorage.kernel.links import Link, NetlinkLinkTable
from moorage.kernel.monitor import (
    Group,
    NetlinkMonitor,
    RouteChanged,
    RouteRemoved,
    RuleChanged,
    RuleRemoved,
)
from moorage.kernel.neighbours import NetlinkNeighbourTable
from moorage.kernel.netlink import Overrun
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.nftables import SidFilter
from moorage.kernel.reconcile import resync_rules
from moorage.kernel.routes import Remove
from moorage.numbers import ROUTE_PROTOCOL
from moorage.readiness import notify
from moorage.router.config import RouterConfig
from moorage.router.forwarding import Forwarding
from moorage.router.interfaces import (
    HostForgotten,
    HostHeard,
    HostLeft,
    Interfaces,
    News,
    Reindexed,
    Touched,
)
from moorage.router.lifecycle import Departures, Expiry
from moorage.router.link import LinkServer
from moorage.router.mirror import Mirror
from moorage.router.reconfigurer import load_keys
from moorage.router.server import DelegationServer
from moorage.store import open_store
from moorage.store.model import Binding
from moorage.store.protocol import (
    BindingChanged,
    BindingGone,
    BindingStore,
    Change,
    Compacted,
    Conflict,
    Delete,
    RouterChanged,
    StoreError,
)
from moorage.store.protocol import Event as StoreEvent

_log = logging.getLogger("moorage.router")

_HEARTBEAT = 30.0
"""Seconds between two registrations in the store."""
_RETRY = 1.0
"""Seconds until a store that did not answer is asked again."""
_LONGEST_SLEEP = 60.0
_REPAIR_PAUSE = 0.05
"""Seconds between somebody's change of our routes and their repair, so that a flush is one."""


async def run(config: RouterConfig) -> None:
    """Run the access router until SIGTERM or SIGINT.

    Routes, rules and filter stay in the kernel when it ends, so that hosts keep their connections;
    the next start takes them up again, `flush` takes them away.

    Raises:
        OSError: the kernel or our rights do not suffice.
        StoreError: the store cannot be opened.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    store = open_store(config.store)
    try:
        daemon = _RouterDaemon(config, store)
        await daemon.start()
        try:
            await stop.wait()
            notify("STOPPING=1")
        finally:
            daemon.close()
    finally:
        await store.close()


def flush(config: RouterConfig) -> None:
    """Take everything out of the kernel that a router daemon left there.

    Raises:
        OSError: the kernel or our rights do not suffice.
    """
    table = NetlinkRouteTable()
    table.apply([Remove(route) for route in table.routes(ROUTE_PROTOCOL)])
    resync_rules(table, [])
    SidFilter().remove()
    _log.info("%s: routes, rules and filter are removed", config.id)


class _RouterDaemon:
    def __init__(self, config: RouterConfig, store: BindingStore) -> None:
        self._config = config
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._complaints = Complaints(_log)
        self._access = {link.interface: link for link in config.access}
        self._interfaces = Interfaces(self._access)
        self._mirror = Mirror(config.hold)
        self._expiry = Expiry(config)
        self._departures = Departures(config)
        self._table = NetlinkRouteTable()
        self._links = NetlinkLinkTable()
        self._addresses = NetlinkAddressTable()
        self._neighbours = NetlinkNeighbourTable()
        self._forwarding = Forwarding(
            config, self._mirror, self._table, SidFilter(), self._interfaces.macs, _log.error
        )
        self._server = DelegationServer(
            config,
            store,
            self._mirror,
            self,
            self._complaints,
            keys=load_keys(config.dhcp.secret),
        )
        self._monitor = NetlinkMonitor(
            [Group.LINK, Group.ADDRESS, Group.NEIGHBOUR, Group.ROUTE, Group.RULE],
            except_port=self._table.port,
        )
        self._serving: dict[str, LinkServer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._repair: asyncio.TimerHandle | None = None
        self._ready = False

    async def start(self) -> None:
        """Take up an earlier life, and serve."""
        sysctl.write("net/ipv6/conf/all/forwarding", "1")
        self._set_tunnel_source()
        await self._store.register(self._config.router(time.time()))
        self._interfaces.look(self._links.links(), self._neighbours.neighbours())
        revision = await self._list()
        self._loop.add_reader(self._monitor, self._read_monitor)
        self._spawn(self._follow(revision))
        self._spawn(self._register())
        self._serve_all()

    def _set_tunnel_source(self) -> None:
        """Say which address is the outer source of what we encapsulate.

        Only the machine's own root may say it. Otherwise, as in a user namespace, the kernel takes
        an address of the interface that the packet leaves by, so ours has to be on it.
        """
        try:
            seg6.set_tunnel_source(self._config.core_address)
        except OSError as error:
            core = {link.index for link in self._links.links() if self._is_core(link)}
            addresses = {
                address.address
                for address in self._addresses.addresses()
                if address.interface in core and not address.address.is_link_local
            }
            if error.errno != errno.EPERM or addresses != {self._config.core_address}:
                raise
            _log.info("no right to set the tunnel source; the only core address is the one")

    def _is_core(self, link: Link) -> bool:
        return link.name == self._config.core_interface

    def close(self) -> None:
        """Stop to serve; the kernel keeps what it has."""
        self._loop.remove_reader(self._monitor)
        for timer in (self._timer, self._repair):
            if timer is not None:
                timer.cancel()
        for task in self._tasks:
            task.cancel()
        for server in self._serving.values():
            server.farewell()
            server.close()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- the store -----------------------------------------------------------------------------

    async def _list(self) -> int:
        """Know all that the store holds, and return its revision."""
        with many_objects():
            snapshot = await self._store.snapshot()
            self._mirror.reset(snapshot, time.time())
            for binding in snapshot.bindings:
                self._expiry.note(binding)
            self._resync()
        self._set_timer()
        return snapshot.revision

    async def _follow(self, revision: int) -> None:
        """Do what the store says, as it says it."""
        while True:
            try:
                async for event in self._store.watch(revision):
                    self._heard(event)
                return  # the store closes, and we with it
            except Compacted:
                _log.info("the store went on without us; listing it again")
            except StoreError as error:
                self._complaints.complain("watch", "the store", error)
                await asyncio.sleep(_RETRY)
            with contextlib.suppress(StoreError):
                revision = await self._list()

    def _heard(self, event: StoreEvent) -> None:
        if not self._mirror.learn(event, time.time()):
            return
        match event:
            case BindingChanged(_, binding):
                self._forwarding.update([binding.prefix])
                self._expiry.note(binding)
            case BindingGone(_, prefix):
                self._forwarding.update([prefix])
            case RouterChanged():
                self._resync()
        self._set_timer()

    def prepare(self, changes: Sequence[Change]) -> None:
        """Be ready for what comes as soon as others hear of our changes."""
        self._forwarding.prepare(
            change.binding for change in changes if not isinstance(change, Delete)
        )

    def abandoned(self, changes: Sequence[Change]) -> None:
        """Undo what was prepared."""
        self._forwarding.update([change.prefix for change in changes])

    def committed(self, changes: Sequence[Change], revision: int) -> None:
        """Follow our own changes before the client has its answer."""
        now = time.time()
        for change in changes:
            if not isinstance(change, Delete):
                self._mirror.learn(BindingChanged(revision, change.binding), now)
                self._expiry.note(change.binding)
                self._departures.heard(change.binding, now)
        self._forwarding.update([change.prefix for change in changes])
        self._set_timer()

    async def _register(self) -> None:
        """Say again and again that we are alive."""
        while True:
            await asyncio.sleep(_HEARTBEAT)
            try:
                await self._store.register(self._config.router(time.time()))
            except StoreError as error:
                self._complaints.complain("registration", "the store", error)

    async def _commit_each(self, changes: Sequence[Change]) -> None:
        """Commit changes that nobody waits for; where somebody else was faster, he is right."""
        for change in changes:
            try:
                await self._store.commit([change])
            except Conflict:
                continue
            except StoreError as error:
                self._complaints.complain("change", "the store", error)
                self._expiry.next_timer = min(self._expiry.next_timer, time.time() + _RETRY)
                self._set_timer()
                return

    # ---- time ----------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        fading = self._mirror.next_timer()
        due = min(self._expiry.next_timer, inf if fading is None else fading)
        if due < inf:
            # The clock may be set meanwhile.
            delay = min(max(0.0, due - time.time()), _LONGEST_SLEEP)
            self._timer = self._loop.call_later(delay, self._poll)

    def _poll(self) -> None:
        now = time.time()
        self._forwarding.update(self._mirror.forget(now))
        if self._expiry.next_timer <= now:
            self._spawn(self._commit_each(self._expiry.due(self._bindings(), now)))
        self._set_timer()

    def _bindings(self) -> list[Binding]:
        return [known.binding for known in self._mirror.known()]

    # ---- the kernel ----------------------------------------------------------------------------

    def _resync(self) -> None:
        self._forwarding.resync(self._interfaces.indexes)

    def _read_monitor(self) -> None:
        try:
            events = self._monitor.read()
        except Overrun:
            self._interfaces.look(self._links.links(), self._neighbours.neighbours())
            self._resync()
            self._serve_all()
            return
        for event in events:
            match event:
                case RouteChanged(protocol, _) | RouteRemoved(protocol, _):
                    self._plan_repair(protocol)
                case RuleChanged(protocol, _) | RuleRemoved(protocol, _):
                    self._plan_repair(protocol)
                case _:
                    for news in self._interfaces.take(event):
                        self._happened(news)

    def _happened(self, news: News) -> None:
        match news:
            case Reindexed():
                self._resync()
            case Touched(link):
                self._serve(link)
            case HostLeft(link, host):
                gone = self._departures.left(self._bindings(), link, host, time.time())
                self._spawn(self._commit_each(gone))
            case HostHeard(link, host, moved):
                if moved:
                    self._forwarding.update(
                        [known.binding.prefix for known in self._forwarding.at((link, host))]
                    )
                back = self._departures.returned(self._bindings, link, host)
                self._spawn(self._commit_each(back))
            case HostForgotten(link, host):
                if not self._forwarding.at((link, host)):
                    self._interfaces.macs.pop((link, host), None)

    def _left(self, link: str, host: IPv6Address | None) -> None:
        now = time.time()
        doubt = self._departures.doubt(link, host, now) if host is not None else 0.0
        if host is not None and doubt:
            self._loop.call_later(doubt, self._look_again, link, host)
        else:
            changes = self._departures.left(self._bindings(), link, host, now)
            self._spawn(self._commit_each(changes))

    def _look_again(self, link: str, host: IPv6Address) -> None:
        """See whether a host that did not answer a moment ago is still not there."""
        if not self._interfaces.reaches(self._neighbours.neighbours(), link, host):
            self._left(link, host)

    def _plan_repair(self, protocol: int) -> None:
        if protocol == ROUTE_PROTOCOL and self._repair is None:
            self._repair = self._loop.call_later(_REPAIR_PAUSE, self._put_back)

    def _put_back(self) -> None:
        self._repair = None
        self._resync()

    # ---- the links -----------------------------------------------------------------------------

    def _serve_all(self) -> None:
        for name in self._access:
            self._serve(name)

    def _serve(self, name: str) -> None:
        """Serve a link if it can be served, and not if it cannot."""
        link = self._interfaces.present.get(name)
        usable = link is not None and link.up and link.carrier and self._can_send(link)
        server = self._serving.get(name)
        if server is not None and not (usable and server.interface == link):
            server.close()
            del self._serving[name]
        if link is not None and usable and name not in self._serving:
            try:
                self._serving[name] = LinkServer(
                    self._config, self._access[name], link, self._server, self._complaints
                )
            except OSError as error:
                _log.error("%s cannot be served: %s", name, error)
        self._say_ready()

    def _can_send(self, link: Link) -> bool:
        """Whether the link has a link-local address that works."""
        return any(
            address.interface == link.index and address.address.is_link_local and address.usable
            for address in self._addresses.addresses()
        )

    def _say_ready(self) -> None:
        """Report readiness once every access link that is up is served."""
        links = self._interfaces.present
        waiting = [
            name
            for name in self._access
            if name in links and links[name].carrier and name not in self._serving
        ]
        if not self._ready and not waiting:
            self._ready = True
            notify("READY=1")
