"""The host daemon's shell: sockets, timers and the kernel around `HostCore`."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from ipaddress import IPv6Address
from random import SystemRandom
from typing import TYPE_CHECKING

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
from moorage.host.attempt import attempt
from moorage.host.config import HostConfig
from moorage.host.core import HostCore
from moorage.host.counting import ByteCounting
from moorage.host.following import Following, wanted
from moorage.host.group_defaults import DefaultGroup
from moorage.host.hooking import Hooking
from moorage.host.inside import Inside
from moorage.host.kernel import HostKernel
from moorage.host.persistence import Persistence
from moorage.host.programs import Program
from moorage.host.publisher import Publisher
from moorage.host.sending import Sending
from moorage.host.sockets import DhcpSocket, RouterSocket
from moorage.host.subject import Subject
from moorage.host.transmission import Transmission
from moorage.host.unasked import Unasked
from moorage.host.usage import Usage
from moorage.identity import Identities
from moorage.kernel.clock import ClockWatch
from moorage.management.event import ConfigurationRefused, ConfigurationTaken
from moorage.readiness import notify
from moorage.wire import dhcp6, nd
from moorage.wire.app import Operation, Reply, Request
from moorage.wire.errors import WireError

if TYPE_CHECKING:
    from _typeshed import HasFileno

_log = logging.getLogger("moorage.host")

_NAP = 0.1
"""Seconds that the machine has to have slept to be perhaps somewhere else."""


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
        self._following = Following(self._core, self._kernel, self._do, _now)
        self._usage = Usage(self._core, self._kernel, self._hooking, self._do, _now)
        self._publisher = Publisher(config.dns, self._published)
        self._clock = ClockWatch()
        self._inputs: list[tuple[HasFileno, Callable[[], None]]] = [
            (self._dhcp, self._read_dhcp),
            (self._routers, self._read_routers),
            (self._clock, self._read_clock),
        ]
        self._alarm = Alarm(_now, self._poll)
        self._applications: ApplicationServer | None = None

    def start(self) -> None:
        """Take up an earlier life and begin to listen."""
        now = _now()
        indices = {link.name: link.index for link in self._kernel.links.links()}
        actions = self._core.restore(self._persistence.load(indices.get))
        self._kernel.start(wanted(self._core), now)
        self._counting.apply(self._core.quotas())
        self._do(actions)
        for source, read in self._inputs:
            self._loop.add_reader(source, read)
        self._following.start()
        self._usage.start()
        self._unasked.start(self._core.known.admission.policy)
        self._applications = ApplicationServer(
            self._config.socket, self._request, self._hung_up, self._complaints
        )
        self._following.look()

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
            self._following.look()
        notify("READY=1")

    def close(self) -> None:
        """Stop listening; the kernel keeps addresses and routes."""
        if self._applications is not None:
            self._applications.close()
        self._publisher.close()
        self._unasked.close()
        for source, _ in self._inputs:
            self._loop.remove_reader(source)
        self._following.close()
        self._usage.close()
        self._alarm.cancel()
        self._core.sent(self._counting.used())
        self._save()
        self._counting.close()
        self._hooking.close()

    # ---- input ---------------------------------------------------------------------------------

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

    def _read_clock(self) -> None:
        slept = self._clock.read()
        self._alarm.cancel()
        self._persistence.clock_set()
        self._do(self._core.resumed(slept, _now()) if slept >= _NAP else [])

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
                    attempt(self._kernel.probe, interface, router)
                case AddLinkLocal(interface, address):
                    attempt(self._kernel.add_link_local, interface, address)
                case Reconcile():
                    self._reconcile()
                case Answer(DefaultGroup()):
                    pass  # what it gets it is steered to
                case Answer(Program() as program, reply):
                    self._answer(program, reply)
                case Steer(client, address):
                    attempt(self._unasked.steer, client, address)
                case Answer(client, reply):
                    assert isinstance(client, Application)
                    client.answer(reply)
                    self.inside.metrics.answered(reply.reason)
                case Notify(client, notice):
                    assert isinstance(client, Application)
                    client.notify(notice)
                case CountSockets(address, linger):
                    self._usage.count(address, linger)
                case Authorise(cookie, kind):
                    self._hooking.grant(cookie, kind)
                case DestroySockets(address, cookies):
                    attempt(self._kernel.destroy_sockets, address, cookies)
                case RetireLink():
                    attempt(self._kernel.retire, action, self._config.retire_slaac)
                case Publish(addresses):
                    self._publisher.start(addresses)
                case Persist():
                    self._save()
                case Tell(event):
                    self.inside.tell(event)
        self._hooking.publish(self._core.offered(_now()))
        self._alarm.set(self._core.next_timer())

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
        attempt(self._kernel.reconcile, wanted(self._core), _now())
        self._counting.apply(self._core.quotas())

    def _save(self) -> None:
        attempt(self._persistence.save, self._core.memory, self._core.interface_name)

    def _spent(self, address: IPv6Address) -> None:
        self._do(self._core.spent(address, _now()))

    def _published(self, addresses: frozenset[IPv6Address], why_not: str) -> None:
        self._do(self._core.published(addresses, why_not, _now()))
