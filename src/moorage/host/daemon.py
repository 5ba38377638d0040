"""The host daemon's shell: sockets, timers and the kernel around `HostCore`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from ipaddress import IPv6Address
from random import SystemRandom
from typing import TYPE_CHECKING, ParamSpec

from moorage.complaints import Complaints
from moorage.config import ConfigError, changed
from moorage.host.actions import (
    Action,
    AddLinkLocal,
    Answer,
    Authorise,
    CountSockets,
    DestroySockets,
    Notify,
    Persist,
    ProbeRouter,
    Publish,
    Reconcile,
    RetireLink,
    SendDhcp,
    SolicitRouters,
    Steer,
    Tell,
)
from moorage.host.alarm import Alarm
from moorage.host.applications import Application, ApplicationServer
from moorage.host.config import HostConfig
from moorage.host.core import HostCore
from moorage.host.counting import ByteCounting
from moorage.host.group_defaults import DefaultGroup
from moorage.host.hooking import Hooking
from moorage.host.inside import Inside
from moorage.host.kernel import HostKernel, Until, Wanted, use_optimistic_addresses
from moorage.host.persistence import Persistence
from moorage.host.programs import Program
from moorage.host.publisher import Publisher
from moorage.host.sending import Sending
from moorage.host.sockets import DhcpSocket, RouterSocket
from moorage.host.subject import Subject
from moorage.host.transmission import Transmission
from moorage.host.unasked import Unasked
from moorage.identity import Identities
from moorage.kernel.clock import ClockWatch
from moorage.kernel.monitor import (
    AddressChanged,
    AddressRemoved,
    Event,
    Group,
    LinkChanged,
    LinkRemoved,
    NeighbourChanged,
    NeighbourState,
    NetlinkMonitor,
    RouteRemoved,
    RuleRemoved,
)
from moorage.kernel.netlink import Overrun
from moorage.kernel.sock_diag import DestroyMonitor
from moorage.management.event import ConfigurationRefused, ConfigurationTaken
from moorage.numbers import ROUTE_PROTOCOL
from moorage.readiness import notify
from moorage.wire import dhcp6, nd
from moorage.wire.app import Operation, Reply, Request
from moorage.wire.errors import WireError

if TYPE_CHECKING:
    from _typeshed import HasFileno

_P = ParamSpec("_P")
_log = logging.getLogger("moorage.host")

_NAP = 0.1
"""Seconds that the machine has to have slept to be perhaps somewhere else."""
_DESTROYED_PAUSE = 0.02
"""Seconds between two looks at which sockets have ended, perhaps many, since it is everybody's."""
_RECONCILE_PAUSE = 0.05
"""Seconds between somebody's removal of what is ours and its repair, so that a flush is one."""


def _now() -> float:
    """Return seconds on the core's clock, which goes on during suspend and never jumps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def run(config: HostConfig, load: Callable[[], HostConfig]) -> None:
    """Run the host daemon until SIGTERM or SIGINT.

    Addresses and routes stay in the kernel when it ends, so that connections go on; the next
    start takes them up again. On SIGHUP it takes over what ``load`` returns: all of it, or nothing.

    Args:
        config: the host.
        load: reads the configuration again; raises `ConfigError` if that is not to be used.

    Raises:
        OSError: the kernel, our rights or the files do not suffice.
        ValueError: the key file is something else.
    """
    daemon = _HostDaemon(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    daemon.start()
    await daemon.inside.start()
    loop.add_signal_handler(signal.SIGHUP, daemon.reload, load)
    notify("READY=1")
    await stop.wait()
    notify("STOPPING=1")
    daemon.close()
    await daemon.inside.close()


class _HostDaemon:
    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._persistence = Persistence(config.state, _now)
        key = self._persistence.key
        identities = Identities(key)
        self._complaints = Complaints(_log)
        self._kernel = HostKernel(_log.error)
        self._core = HostCore(
            config,
            lambda domain: identities.of(domain).duid,
            key.secret_for(b"interface identifiers"),
            SystemRandom(),
        )
        self._counting = ByteCounting(self._spent, _log.error)
        self._hooking = Hooking(config.hooks, _log.error)
        self._unasked = Unasked(self._core, self._hooking.hooks, self._do, _now, _log.error)
        self.inside = Inside(
            config,
            self._core.known,
            self._kernel.all_addresses,
            self._counting.used,
            self._complaints.counts,
            self._unasked.program_of,
            _now,
        )
        self._dhcp = DhcpSocket()
        self._routers = RouterSocket()
        self._sending = Sending(self._dhcp, self._routers, identities, _now)
        self._destroyed = DestroyMonitor()
        self._monitor = NetlinkMonitor(
            [Group.LINK, Group.ADDRESS, Group.ROUTE, Group.RULE],
            except_port=self._kernel.route_port,
        )
        self._publisher = Publisher(config.dns, self._published)
        self._neighbours = NetlinkMonitor(
            [Group.NEIGHBOUR], except_port=self._kernel.neighbour_port
        )
        self._clock = ClockWatch()
        self._inputs: list[tuple[HasFileno, Callable[[], None]]] = [
            (self._dhcp, self._read_dhcp),
            (self._routers, self._read_routers),
            (self._monitor, self._read_monitor),
            (self._neighbours, self._read_neighbours),
            (self._destroyed, self._read_destroyed),
            (self._clock, self._read_clock),
        ]
        if self._hooking.hooks is not None:
            self._inputs.append((self._hooking.hooks, self._read_hooks))
        self._alarm = Alarm(_now, self._poll)
        self._repair: asyncio.TimerHandle | None = None
        self._deaf: asyncio.TimerHandle | None = None
        self._applications: ApplicationServer | None = None
        self._optimistic: set[str] = set()

    def start(self) -> None:
        """Take up an earlier life and begin to listen."""
        now = _now()
        indices = {link.name: link.index for link in self._kernel.links.links()}
        actions = self._core.restore(self._persistence.load(indices.get))
        self._kernel.start(self._wanted(), now)
        self._counting.apply(self._core.quotas())
        self._do(actions)
        for source, read in self._inputs:
            self._loop.add_reader(source, read)
        self._unasked.start(self._core.known.admission.policy)
        self._applications = ApplicationServer(
            self._config.socket, self._request, self._hung_up, self._complaints
        )
        self._look()

    def reload(self, load: Callable[[], HostConfig]) -> None:
        """Go by another configuration from now on, unless there is something wrong with it."""
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            config = load()
            config.check_takes_over(self._config)
        except ConfigError as error:
            _log.error("the configuration stays as it was: %s", error)
            self.inside.tell(ConfigurationRefused(str(error)))
        else:
            self.inside.tell(ConfigurationTaken(changed(self._config, config)))
            self._config = config
            self._do(self._core.reconfigure(config, _now()))
            self._unasked.go_by(self._core.known.admission.policy)
            self._look()
        notify("READY=1")

    def close(self) -> None:
        """Stop listening; the kernel keeps addresses and routes."""
        if self._applications is not None:
            self._applications.close()
        self._publisher.close()
        self._unasked.close()
        for source, _ in self._inputs:
            self._loop.remove_reader(source)
        self._alarm.cancel()
        for timer in (self._repair, self._deaf):
            if timer is not None:
                timer.cancel()
        self._core.sent(self._counting.used())
        self._save()
        self._counting.close()
        self._hooking.close()

    # ---- input ---------------------------------------------------------------------------------

    def _look(self) -> None:
        """Take in the present interfaces and addresses."""
        for link in self._kernel.links.links():
            self._event(LinkChanged(link))
        for address in self._kernel.all_addresses():
            self._event(AddressChanged(address))

    def _read_monitor(self) -> None:
        try:
            events = self._monitor.read()
        except Overrun:
            self._look()
            self._plan_repair()
            return
        for event in events:
            self._event(event)

    def _read_neighbours(self) -> None:
        # What is lost in an overrun is told again when the next packet finds no way.
        with contextlib.suppress(Overrun):
            for event in self._neighbours.read():
                self._event(event)

    def _event(self, event: Event) -> None:
        now = _now()
        match event:
            case LinkChanged(link):
                self._prepare(link.name)
                self._do(self._core.link_changed(link, now))
            case LinkRemoved(index, name):
                self._optimistic.discard(name)
                self._do(self._core.link_removed(index, now))
            case AddressChanged(address) if not self._kernel.is_typed(address):
                self._do(self._core.address_changed(address, now))
            case AddressRemoved(address):
                if not self._kernel.is_typed(address):
                    self._do(self._core.address_removed(address, now))
                if self._core.keeps(address):
                    self._plan_repair()
            case NeighbourChanged(interface, address, _, NeighbourState.FAILED):
                self._do(self._core.router_unreachable(interface, address, now))
            case RouteRemoved(protocol, _) | RuleRemoved(protocol, _):
                if protocol == ROUTE_PROTOCOL:
                    self._plan_repair()

    def _prepare(self, interface: str) -> None:
        if not self._config.optimistic_dad or interface not in self._config.interfaces:
            return
        if interface not in self._optimistic:
            self._optimistic.add(interface)
            try:
                use_optimistic_addresses(interface)
            except OSError as error:
                _log.info("%s: no optimistic addresses: %s", interface, error)

    def _read_dhcp(self) -> None:
        for received in self._dhcp.receive():
            try:
                message = dhcp6.decode_message(received.data)
                if isinstance(message, dhcp6.Message):
                    self.inside.metrics.received(message.type)
                    self._do(
                        self._core.dhcp_received(
                            received.interface, received.source, message, _now()
                        )
                    )
            except WireError as error:
                self._complaints.complain("DHCPv6 message", received.source, error)

    def _read_routers(self) -> None:
        for received in self._routers.receive():
            try:
                message = nd.decode_message(received.data)
            except WireError as error:
                self._complaints.complain("router advertisement", received.source, error)
                continue
            if isinstance(message, nd.RouterAdvertisement):
                self._do(
                    self._core.router_advertised(
                        received.interface, received.source, message, _now()
                    )
                )

    def _read_destroyed(self) -> None:
        self._loop.remove_reader(self._destroyed)
        self._deaf = self._loop.call_later(
            _DESTROYED_PAUSE, self._loop.add_reader, self._destroyed, self._read_destroyed
        )
        try:
            ended = self._destroyed.read()
        except Overrun:
            for lease in list(self._core.leases):
                if lease.address is not None:
                    self._recount(lease.address, lease.sockets)
            return
        for cookie in ended:
            self._hooking.ended(cookie)
            self._do(self._core.socket_destroyed(cookie, _now()))

    def _read_hooks(self) -> None:
        for address in self._hooking.read():
            self._do(self._core.taken(address, _now()))

    def _read_clock(self) -> None:
        slept = self._clock.read()
        self._alarm.cancel()
        self._persistence.clock_set()
        self._do(self._core.resumed(slept, _now()) if slept >= _NAP else [])

    def _recount(self, address: IPv6Address, known: set[int]) -> None:
        """Find out which of the known sockets have ended while we could not hear of it."""
        for cookie in known - self._kernel.sockets_on(address):
            self._do(self._core.socket_destroyed(cookie, _now()))

    def _request(self, application: Application, request: Request, subject: Subject | None) -> None:
        now = _now()
        if request.operation is Operation.WATCH and subject is not None:
            self._do(self._core.watch(application, request.id, subject, now))
        elif request.operation is Operation.RUN:
            self._unasked.request(application, request)
        else:
            cookie = subject.cookie if subject is not None and subject.counted else None
            self._do(self._core.setsc(application, application.caller, request, cookie, now))

    def _hung_up(self, application: Application) -> None:
        self._unasked.hung_up(application)
        self._do(self._core.client_gone(application, _now()))

    def _poll(self) -> None:
        self._do(self._core.poll(_now()))

    # ---- output --------------------------------------------------------------------------------

    def _do(self, actions: list[Action]) -> None:
        self._hooking.prepare(self._core.offered(_now()))
        for action in actions:
            match action:
                case SendDhcp(transmission):
                    self._send(transmission)
                case SolicitRouters(interface):
                    self._solicit(interface)
                case ProbeRouter(interface, router):
                    self._try(self._kernel.probe, interface, router)
                case AddLinkLocal(interface, address):
                    self._try(self._kernel.add_link_local, interface, address)
                case Reconcile():
                    self._reconcile()
                case Answer(DefaultGroup()):
                    pass  # what it gets it is steered to
                case Answer(Program() as program, reply):
                    self._answer(program, reply)
                case Steer(client, address):
                    self._try(self._unasked.steer, client, address)
                case Answer(client, reply):
                    assert isinstance(client, Application)
                    client.answer(reply)
                    self.inside.metrics.answered(reply.reason)
                case Notify(client, notice):
                    assert isinstance(client, Application)
                    client.notify(notice)
                case CountSockets(address, linger):
                    self._count(address, linger)
                case Authorise(cookie, kind):
                    self._hooking.grant(cookie, kind)
                case DestroySockets(address, cookies):
                    self._try(self._kernel.destroy_sockets, address, cookies)
                case RetireLink():
                    self._try(self._kernel.retire, action, self._config.retire_slaac)
                case Publish(addresses):
                    self._publisher.start(addresses)
                case Persist():
                    self._save()
                case Tell(event):
                    self.inside.tell(event)
        self._hooking.publish(self._core.offered(_now()))
        self._alarm.set(self._core.next_timer())

    def _count(self, address: IPv6Address, linger: float) -> None:
        """Find out who uses an address."""
        given = self._hooking.last_given(address)
        cookies = self._kernel.sockets_on(address)
        if _now() < given + linger:
            cookies.add(0)
        self._do(self._core.sockets_counted(address, cookies, _now()))

    def _answer(self, program: Program, reply: Reply) -> None:
        told = self._unasked.answer(program, reply)
        if told is not None:
            self.inside.metrics.answered(told.reason)

    def _send(self, transmission: Transmission) -> None:
        attachment = self._core.attachment(transmission.interface)
        if attachment is not None:
            self._sending.transmit(transmission, attachment)
            self.inside.metrics.sent(transmission.message.type)

    def _solicit(self, interface: int) -> None:
        attachment = self._core.attachment(interface)
        if attachment is not None:
            self._sending.solicit(attachment)

    def _reconcile(self) -> None:
        self._try(self._kernel.reconcile, self._wanted(), _now())
        self._counting.apply(self._core.quotas())

    def _wanted(self) -> Wanted:
        default = self._core.known.default_lease()
        addresses = {
            lease.address: Until(
                lease.valid_until, lease.preferred_until if lease is default else 0.0
            )
            for lease in self._core.leases
            if lease.address is not None
        }
        return Wanted(
            self._core.desired_routes(), addresses, self._core.silenced(), self._core.formed()
        )

    def _plan_repair(self) -> None:
        if self._repair is None:
            self._repair = self._loop.call_later(_RECONCILE_PAUSE, self._put_back)

    def _put_back(self) -> None:
        self._repair = None
        self._try(self._kernel.repair, self._wanted(), _now())

    def _save(self) -> None:
        self._try(self._persistence.save, self._core.memory, self._core.interface_name)

    def _try(self, operation: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> None:
        """Do what the system may refuse without the daemon's end."""
        try:
            operation(*args, **kwargs)
        except OSError as error:
            _log.error("%s", error)

    def _spent(self, address: IPv6Address) -> None:
        self._do(self._core.spent(address, _now()))

    def _published(self, addresses: frozenset[IPv6Address], why_not: str) -> None:
        self._do(self._core.published(addresses, why_not, _now()))
