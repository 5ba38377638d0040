"""The access router's shell: the store, the kernel and the links around the cores."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from ipaddress import IPv6Network
from math import inf

from moorage.bulk import many_objects
from moorage.complaints import Complaints
from moorage.config import ConfigError, changed
from moorage.kernel import seg6, sysctl
from moorage.kernel.addresses import NetlinkAddressTable
from moorage.kernel.links import Link
from moorage.kernel.neighbours import NetlinkNeighbourTable
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.nftables import SidFilter
from moorage.kernel.reconcile import resync_rules
from moorage.kernel.routes import Remove
from moorage.management.event import ConfigurationRefused, ConfigurationTaken
from moorage.numbers import ROUTE_PROTOCOL
from moorage.readiness import notify
from moorage.router.config import RouterConfig
from moorage.router.events import AnchorHeld, LinkClosed, LinkServed, RouterJoined, RouterLeft
from moorage.router.inside import Inside
from moorage.router.lifecycle import Expiry
from moorage.router.link import LinkServer
from moorage.router.membership import Membership
from moorage.router.mirror import Mirror
from moorage.router.next_hop import NextHops
from moorage.router.reconfigurer import load_keys
from moorage.router.server import DelegationServer
from moorage.router.tunnel_errors import TunnelErrors
from moorage.router.watch import KernelWatch
from moorage.store import open_store
from moorage.store.model import Binding
from moorage.store.protocol import (
    AnchorChanged,
    BindingChanged,
    BindingGone,
    BindingStore,
    Change,
    Compacted,
    Delete,
    RouterChanged,
    RouterGone,
    StoreError,
)
from moorage.store.protocol import Event as StoreEvent

_log = logging.getLogger("moorage.router")

_RETRY = 1.0
"""Seconds until a store that did not answer is asked again."""
_LONGEST_SLEEP = 60.0
_TOGETHER = 64
"""Changes that nobody waits for and that are committed at the same time."""


async def run(config: RouterConfig, load: Callable[[], RouterConfig]) -> None:
    """Run the access router until SIGTERM or SIGINT.

    Routes, rules and filter stay in the kernel when it ends, so that hosts keep their connections;
    the next start takes them up again, `flush` takes them away. On SIGHUP it takes over what
    ``load`` returns: all of it, or nothing.

    Args:
        config: the router.
        load: reads the configuration again; raises `ConfigError` if that is not to be used.

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
        try:
            await daemon.inside.start()
            await daemon.start()
            loop.add_signal_handler(signal.SIGHUP, daemon.reload, load)
            await stop.wait()
            notify("STOPPING=1")
        finally:
            daemon.close()
            await daemon.inside.close()
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
    hops = NextHops(NetlinkNeighbourTable(), _log.error)
    hops.remove(hops.listing().surplus())
    SidFilter().remove()
    _log.info("%s: routes, rules and filter are removed", config.id)


class _RouterDaemon:
    def __init__(self, config: RouterConfig, store: BindingStore) -> None:
        self._config = config
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._complaints = Complaints(_log)
        self._access = {link.interface: link for link in config.access}
        self._mirror = Mirror(config.hold)
        self._expiry = Expiry(config, self._mirror.holder)
        self._addresses = NetlinkAddressTable()
        self._watch = KernelWatch(config, self._mirror, self._commit_soon, self._serve, _log.error)
        self._forwarding = self._watch.forwarding
        self._serving: dict[str, LinkServer] = {}
        self.inside = Inside(
            config, self._mirror, self._forwarding, self._complaints.counts, self._serving
        )
        self._membership = Membership(
            config, store, self._mirror, self._complaints, self.inside.tell
        )
        self.inside.announcer = self._membership.announcer
        self._account = self.inside.account
        self._server = DelegationServer(
            config,
            store,
            self._mirror,
            self,
            self._complaints,
            self._account,
            keys=load_keys(config.dhcp.secret),
        )
        self._tunnel_errors = TunnelErrors(self._forwarding.sends)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._ready = False

    async def start(self) -> None:
        """Take up an earlier life, and serve."""
        sysctl.write("net/ipv6/conf/all/forwarding", "1")
        self._set_tunnel_source()
        await self._membership.join()
        revision = await self._list()
        self._watch.start()
        self._spawn(self._follow(revision))
        self._spawn(self._membership.keep())
        self._spawn(self._membership.succeed())
        for name in self._access:
            self._serve(name)

    def _set_tunnel_source(self) -> None:
        """Say which address is the outer source of what we encapsulate.

        Only the machine's own root may say it. Otherwise, as in a user namespace, the kernel takes
        an address of the interface that the packet leaves by, so ours has to be on it.
        """
        try:
            seg6.set_tunnel_source(self._config.core_address)
        except OSError as error:
            core = self._watch.present.get(self._config.core_interface)
            addresses = {
                address.address
                for address in self._addresses.addresses()
                if core is not None
                and address.interface == core.index
                and not address.address.is_link_local
            }
            if error.errno != errno.EPERM or addresses != {self._config.core_address}:
                raise
            _log.info("no right to set the tunnel source; the only core address is the one")

    def reload(self, load: Callable[[], RouterConfig]) -> None:
        """Go by another configuration from now on, unless there is something wrong with it."""
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            config = load()
            config.check_takes_over(self._config)
        except ConfigError as error:
            _log.error("the configuration stays as it was: %s", error)
            self.inside.tell(ConfigurationRefused(str(error)))
        else:
            self._reconfigure(config)
        notify("READY=1")

    def _reconfigure(self, config: RouterConfig) -> None:
        before, self._config = self._config, config
        self._mirror.hold = config.hold
        for part in (self._server, self._expiry, self._watch, self._membership, self.inside):
            part.reconfigure(config)
        for server in self._serving.values():
            server.reconfigure(config)
        self.inside.tell(ConfigurationTaken(changed(before, config)))
        if config.tells_other_than(before):
            self._spawn(self._ask_back())

    async def _ask_back(self) -> None:
        """Have the clients fetch what is different now: those that can be asked."""
        await self._server.reconfigurer.run()

    def close(self) -> None:
        """Stop to serve; the kernel keeps what it has."""
        self._watch.close()
        self._tunnel_errors.close()
        self._membership.close()
        if self._timer is not None:
            self._timer.cancel()
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
            self._survey()
        return snapshot.revision

    def _survey(self) -> None:
        """Go through all that is known, since anything may be another matter now."""
        bindings = [known.binding for known in self._mirror.known()]
        self._expiry.start(bindings)
        self._account.listed(bindings)
        self._server.listed(bindings)
        self._watch.resync()
        self._membership.heed()
        self._set_timer()

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
        match event:
            case BindingChanged(_, binding):
                before = self._binding(binding.prefix)
                if self._mirror.learn(event, time.time()):
                    self._forwarding.update([binding.prefix])
                    self._expiry.note(binding, before)
                    self._account.changed(before, binding)
                    self._set_timer()
            case BindingGone(_, prefix):
                before = self._binding(prefix)
                if self._mirror.learn(event, time.time()):
                    self._forwarding.update([prefix])
                    self._account.changed(before, None)
            case RouterChanged(_, router):
                known = self._mirror.routers.get(router.id)
                if self._mirror.learn(event, time.time()):
                    self.inside.tell(RouterJoined(router.id))
                    self._membership.heed()
                if known != router:
                    self._watch.resync()
            case RouterGone(_, router_id):
                if self._mirror.learn(event, time.time()):
                    self.inside.tell(RouterLeft(router_id))
                    self._membership.heed()
            case AnchorChanged(_, anchor):
                if self._mirror.learn(event, time.time()):
                    self._survey()
                    self.inside.tell(AnchorHeld(anchor.id, anchor.pool, anchor.holder))

    def prepare(self, changes: Sequence[Change]) -> None:
        """Be ready for what comes as soon as others hear of our changes."""
        self._forwarding.prepare(
            change.binding for change in changes if not isinstance(change, Delete)
        )

    def abandoned(self, changes: Sequence[Change]) -> None:
        """Undo what was prepared."""
        self._forwarding.update([change.prefix for change in changes])

    def committed(self, commits: Sequence[tuple[int, Sequence[Change]]]) -> None:
        """Follow our own changes before the clients have their answers."""
        now = time.time()
        for revision, changes in commits:
            for change in changes:
                if not isinstance(change, Delete):
                    before = self._binding(change.prefix)
                    self._mirror.learn(BindingChanged(revision, change.binding), now)
                    self._expiry.note(change.binding, before)
                    self._account.changed(before, change.binding)
                    self._watch.expect(change.binding)
        self._forwarding.update([each.prefix for _, changes in commits for each in changes])
        self._set_timer()

    def _commit_soon(self, changes: Sequence[Change]) -> None:
        """Commit changes that nobody waits for."""
        if changes:
            self._spawn(self._commit_each(changes))

    async def _commit_each(self, changes: Sequence[Change]) -> None:
        """Commit each change for itself; where somebody else was faster, he is right."""
        for start in range(0, len(changes), _TOGETHER):
            portion = changes[start : start + _TOGETHER]
            try:
                await self._store.commit_each([[each] for each in portion])
            except StoreError as error:
                self._complaints.complain("change", "the store", error)

    # ---- time ----------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        """See that `_poll` is called in time; a call too many does no harm."""
        fading = self._mirror.next_timer()
        due = min(
            self._expiry.next_timer,
            self._mirror.anchors.next_timer,
            inf if fading is None else fading,
        )
        if due < inf:
            # The clock may be set meanwhile.
            delay = min(max(0.0, due - time.time()), _LONGEST_SLEEP)
            at = self._loop.time() + delay
            if self._timer is not None:
                if self._timer.when() <= at:
                    return
                self._timer.cancel()
            self._timer = self._loop.call_at(at, self._poll)

    def _poll(self) -> None:
        self._timer = None
        now = time.time()
        if self._mirror.anchors.forget(now):
            self._survey()
        self._forwarding.update(self._mirror.forget(now))
        self._commit_soon(self._expiry.due(self._binding, now))
        self._set_timer()

    def _binding(self, prefix: IPv6Network) -> Binding | None:
        known = self._mirror.get(prefix)
        return None if known is None else known.binding

    # ---- the links -----------------------------------------------------------------------------

    def _serve(self, name: str) -> None:
        """Serve a link if it can be served, and not if it cannot."""
        link = self._watch.present.get(name)
        usable = link is not None and link.up and link.carrier and self._can_send(link)
        server = self._serving.get(name)
        if server is not None and not (usable and server.interface == link):
            server.close()
            del self._serving[name]
            self.inside.tell(LinkClosed(name))
        if link is not None and usable and name not in self._serving:
            try:
                self._serving[name] = LinkServer(
                    self._config, self._access[name], link, self._server, self._complaints
                )
                self.inside.tell(LinkServed(name))
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
        links = self._watch.present
        waiting = [
            name
            for name in self._access
            if name in links and links[name].carrier and name not in self._serving
        ]
        if not self._ready and not waiting:
            self._ready = True
            notify("READY=1")
