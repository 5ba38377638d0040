"""The host daemon's core: what happens to it goes in, what it wants done comes out.

Every method takes the present moment (seconds on one clock that never goes back), returns actions
for the shell, and does no I/O. `HostCore.next_timer` says when `HostCore.poll` is due.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from ipaddress import IPv6Address, IPv6Network
from random import Random

from moorage.host import desired
from moorage.host.actions import (
    Action,
    CountSockets,
    DestroySockets,
    Note,
    Persist,
    Reconcile,
    RetireLink,
    SendDhcp,
    SolicitRouters,
)
from moorage.host.attachment import (
    Advertised,
    Attached,
    Attachment,
    Attachments,
    Finding,
    Left,
)
from moorage.host.config import HostConfig, RetireSlaac
from moorage.host.lease import Lease, Path, new_address, unwanted
from moorage.host.leases import Leases
from moorage.host.lifecycle import Event, State
from moorage.host.ordinary import OrdinaryAddresses
from moorage.host.requester import (
    Association,
    Granted,
    Lost,
    NotUnderstood,
    Outcome,
    Refused,
    Requester,
)
from moorage.host.serving import Serving
from moorage.host.waiting import Waiter, Waiting, refusal
from moorage.kernel.addresses import Address
from moorage.kernel.links import Link
from moorage.kernel.routes import Route
from moorage.service import ServiceType
from moorage.wire.app import Reason, Request
from moorage.wire.dhcp6 import Message, MessageType, RefusalReason
from moorage.wire.nd import RouterAdvertisement

_NEVER = float("inf")
_RETRY_REFUSED = 60.0
"""Seconds until a type that policy wants is asked for again after a refusal."""


class HostCore:
    """All that the host daemon knows and decides."""

    def __init__(self, config: HostConfig, duid: bytes, random: Random) -> None:
        self._config = config
        self._at_boot = config.types_at_boot
        self._random = random
        self._attachments = Attachments(config.interfaces)
        self._serving = Serving(config.dwell)
        self._requester = Requester(duid, random)
        self._leases = Leases()
        self._waiting = Waiting()
        self._ordinary = OrdinaryAddresses()
        self._retry_at: dict[ServiceType, float] = {}
        self._out: list[Action] = []

    # ---- what the shell reads ------------------------------------------------------------------

    @property
    def leases(self) -> Collection[Lease]:
        """Every lease that has not ended."""
        return self._leases.all()

    def attachment(self, interface: int) -> Attachment | None:
        """Return where an interface is attached, if it is."""
        return self._attachments.get(interface)

    def interface_index(self, name: str) -> int | None:
        """Return the index of the interface of ours called ``name``, if it is there."""
        return self._attachments.index(name)

    def interface_name(self, interface: int) -> str:
        """Return the name of an interface of ours."""
        return self._attachments.name(interface)

    def desired_routes(self) -> set[Route]:
        """Return the routes that must be in the kernel."""
        return desired.routes(self._leases.all())

    def silenced(self) -> set[desired.Neighbour]:
        """Return the neighbours that packets must not wait for."""
        return desired.silenced(self._leases.all())

    def next_timer(self) -> float | None:
        """Return when `poll` must be called at the latest, or none if nothing is due."""
        times = [
            self._requester.next_timer(),
            self._waiting.next_timer(service_known=self._service_known),
            self._leases.next_timer(self._config.hold),
            self._serving.next_timer(self._attachments.newest_first()),
            min(self._retry_at.values(), default=None),
        ]
        return min((time for time in times if time is not None), default=None)

    # ---- what happens --------------------------------------------------------------------------

    def restore(self, leases: Iterable[Lease]) -> list[Action]:
        """Take up the leases of an earlier life and find out who uses them."""
        for lease in leases:
            self._leases.add(lease)
            if lease.address is not None:
                self._out.append(CountSockets(lease.address))
        self._out.insert(0, Reconcile())
        return self._flush()

    def link_changed(self, link: Link, now: float) -> list[Action]:
        """Take in what the kernel says of an interface."""
        return self._found(self._attachments.link_changed(link, now), now)

    def link_removed(self, interface: int, now: float) -> list[Action]:
        """Take in that an interface no longer exists, and the routes over it with it."""
        found = self._attachments.link_removed(interface)
        for lease in self._leases.through(interface):
            lease.path = None
            lease.detached_since = lease.detached_since or now
            self._out.append(Reconcile())
        return self._found(found, now)

    def address_changed(self, address: Address, now: float) -> list[Action]:
        """Take in an address of the kernel's."""
        if not self._attachments.manages(address.interface):
            return []
        if address.address.is_link_local:
            usable = address.address if address.usable else None
            found = self._attachments.link_local_changed(
                address.interface, usable, address.optimistic, now
            )
            return self._found(found, now)
        self._ordinary.changed(address)
        self._serve_ordinary()
        return self._flush()

    def address_removed(self, address: Address, now: float) -> list[Action]:
        """Take in that the kernel has an address no more."""
        if address.address.is_link_local:
            found = self._attachments.link_local_changed(address.interface, None, False, now)
            return self._found(found, now)
        self._ordinary.removed(address)
        return []

    def router_advertised(
        self, interface: int, router: IPv6Address, message: RouterAdvertisement, now: float
    ) -> list[Action]:
        """Take in a router advertisement."""
        found = self._attachments.advertised(interface, router, message, now)
        return self._found(found, now)

    def dhcp_received(
        self, interface: int, source: IPv6Address, message: Message, now: float
    ) -> list[Action]:
        """Take in a DHCPv6 message.

        Raises:
            WireError: our option in it is malformed.
        """
        outcomes = self._requester.receive(interface, source, message, now)
        for outcome in outcomes:
            self._take(outcome, now)
        if outcomes:
            self._serving.answered(interface, now)
            self._review(now)
        self._send(now)
        return self._flush()

    def setsc(
        self, client: Hashable, request: Request, cookie: int | None, now: float
    ) -> list[Action]:
        """Take in an application's request; ``cookie`` is its socket's, if it has one."""
        try:
            type_ = ServiceType(request.type)
        except ValueError:
            return [refusal(client, request.id, Reason.BAD_REQUEST)]
        timeout = request.timeout_ms / 1000 or self._config.wait
        waiter = Waiter(
            client, request.id, cookie, type_, now + self._config.support_wait, now + timeout
        )
        lease = None if request.on_net else self._leases.usable(type_)
        if lease is not None:
            self._give(waiter, lease, now)
        elif type_ is not ServiceType.NON_PERSISTENT:
            self._ask_for(waiter, request.on_net, now)
        elif not self._give_ordinary(waiter, advertised=True):
            self._await_ordinary(waiter, now)
        return self._flush()

    def client_gone(self, client: Hashable) -> None:
        """Forget the requests of an application that has hung up."""
        self._waiting.forget(client)

    def socket_destroyed(self, cookie: int, now: float) -> list[Action]:
        """Take in that a socket has ended."""
        self._waiting.socket_closed(cookie)
        self._ordinary.closed(cookie)
        for lease in self._leases.of_socket(cookie):
            lease.sockets.discard(cookie)
            if not lease.sockets:
                self._unused(lease, now)
        return self._flush()

    def sockets_counted(
        self, address: IPv6Address, cookies: Collection[int], now: float
    ) -> list[Action]:
        """Take in which sockets the kernel has on an address of ours.

        0 stands for sockets whose end is not announced: the address lingers on while they live.
        """
        lease = self._leases.of_address(address)
        if lease is None:
            return []
        counting, lease.counting = lease.counting, False
        if any(cookies):
            lease.sockets |= set(cookies) - {0}
            lease.step(Event.OPEN)
        elif lease.state is State.LINGERING and counting and not cookies:
            self._release(lease, now)
        elif lease.state is State.READY:
            self._unused(lease, now)
        return self._flush()

    def poll(self, now: float) -> list[Action]:
        """Do what is due."""
        for waiter, reason in self._waiting.expired(now, service_known=self._service_known):
            self._give_up(waiter, reason, now)
        for lease in self._leases.expired(now):
            self._end(lease, Reason.TIMEOUT, "its lifetime is over")
        for lease in self._leases.lingered(now):
            lease.linger_until = now + self._config.linger
            lease.counting = True
            if lease.address is not None:
                self._out.append(CountSockets(lease.address))
        for lease in self._leases.held(now - self._config.hold):
            lease.refusing = True
            self._out.append(Reconcile())
        for lease in self._leases.to_renew(now):
            self._renew(lease, now)
        self._retry_at = {type_: at for type_, at in self._retry_at.items() if at > now}
        self._review(now)
        self._send(now)
        return self._flush()

    # ---- links ---------------------------------------------------------------------------------

    @property
    def _service_known(self) -> bool:
        """Whether any link that we are on has shown that it knows the service."""
        return any(link.knows_service for link in self._attachments.newest_first())

    def _found(self, findings: Sequence[Finding], now: float) -> list[Action]:
        for finding in findings:
            match finding:
                case Attached(interface):
                    self._serving.heard(interface)
                    self._out.append(SolicitRouters(interface))
                    self._note(f"{self._attachments.name(interface)}: attached")
                case Left(interface):
                    self._left(interface, now)
                case Advertised(interface, moved):
                    self._advertised(interface, moved, now)
        if findings:
            self._review(now)
            self._send(now)
        return self._flush()

    def _left(self, interface: int, now: float) -> None:
        self._requester.link_lost(interface)
        self._serving.left(interface)
        for lease in self._leases.through(interface):
            if lease.detached_since is None:
                lease.detached_since = now
                self._out.append(Reconcile())
        self._retire_departed()
        self._note(f"interface {interface}: left its link")

    def _advertised(self, interface: int, moved: bool, now: float) -> None:
        attachment = self._attachments.get(interface)
        if attachment is None:
            return
        if attachment.on_demand is not None:
            self._requester.link_heard(interface, attachment.on_demand.link_id)
        self._serving.heard(interface)
        if not self._leases.alive():
            self._serving.answered(interface, now)
        if moved:
            foreign = self._ordinary.take_foreign(attachment)
            self._retire(interface, foreign, frozenset(attachment.routers))
        self._retire_departed()
        self._serve_ordinary()

    def _retire_departed(self) -> None:
        """Retire the ordinary addresses of interfaces without a link, once there is another."""
        if not any(link.heard for link in self._attachments.newest_first()):
            return
        for interface in self._ordinary.interfaces():
            if interface not in self._attachments:
                self._retire(interface, self._ordinary.take_all(interface), frozenset())

    def _retire(
        self, interface: int, addresses: frozenset[IPv6Address], routers: frozenset[IPv6Address]
    ) -> None:
        if self._config.retire_slaac is RetireSlaac.NO:
            return
        self._out.append(RetireLink(interface, addresses, routers))
        for address in addresses:
            users = self._ordinary.take_users(address)
            if users:
                self._out.append(DestroySockets(address, users))

    def _review(self, now: float) -> None:
        """Decide which interface serves, move there, and ask for what is missing."""
        chosen = self._serving.choose(self._attachments.newest_first(), now)
        if chosen is not None:
            kept = [lease.association for lease in self._leases.alive()]
            attachment = self._attachments.get(chosen)
            if kept:
                self._requester.start(MessageType.REBIND, chosen, kept, now, urgent=True)
            elif attachment is not None and attachment.heard:
                self._serving.answered(chosen, now)
        attachment = self._asking()
        if attachment is not None:
            self._request_missing(attachment, now)

    def _asking(self) -> Attachment | None:
        """Return the attachment where new prefixes are asked for."""
        serving = self._serving
        return self._attachments.get(serving.trying) or self._attachments.get(serving.current)

    # ---- asking the network --------------------------------------------------------------------

    def _request_missing(self, attachment: Attachment, now: float) -> None:
        for type_ in self._at_boot:
            present = self._leases.usable(type_) or self._leases.requested(type_)
            waits = now < max(attachment.unsupported_until, self._retry_at.get(type_, now))
            if present is None and not waits and attachment.offers(type_):
                self._leases.add(Lease(self._new_iaid(), type_, kept=True))
        for lease in self._leases.awaited():
            if self._requester.pending(lease.iaid) is None:
                self._requester.start(
                    MessageType.SOLICIT,
                    attachment.interface,
                    [lease.association],
                    now,
                    urgent=True,
                )

    def _renew(self, lease: Lease, now: float) -> None:
        if lease.path is None:
            return
        kind, server = MessageType.RENEW, lease.server
        lease.renew_at = _NEVER
        if now >= lease.rebind_at:
            kind, server = MessageType.REBIND, b""
            lease.rebind_at = _NEVER
        self._requester.start(
            kind, lease.path.interface, [lease.association], now, server=server or None
        )

    def _send(self, now: float) -> None:
        self._out += [SendDhcp(transmission) for transmission in self._requester.poll(now)]

    def _new_iaid(self) -> int:
        iaid = self._random.getrandbits(32)
        while iaid in self._leases:
            iaid = self._random.getrandbits(32)
        return iaid

    # ---- what the network answers --------------------------------------------------------------

    def _take(self, outcome: Outcome, now: float) -> None:
        attachment = self._attachments.get(outcome.interface)
        lease = self._leases.get(outcome.association.iaid)
        if attachment is None or lease is None:
            return
        if not isinstance(outcome, NotUnderstood):
            attachment.knows_service = True
        match outcome:
            case Granted():
                self._granted(lease, outcome, now)
            case Refused():
                self._refused(lease, attachment, outcome, now)
            case Lost():
                self._end(lease, Reason.TRY_LATER, "the network no longer has it")
            case NotUnderstood():
                self._not_understood(lease, attachment, outcome, now)

    def _granted(self, lease: Lease, granted: Granted, now: float) -> None:
        objection = self._objection(lease, granted)
        if objection:
            self._note(f"{granted.prefix} ({lease.type.slug}) refused: {objection}")
            self._hand_back(granted.interface, granted.server, granted.prefix, now)
            if lease.state is State.REQUESTED:
                self._retry_at[lease.type] = now + _RETRY_REFUSED
                self._end(lease, Reason.TRY_LATER, objection)
            return
        replaced = granted.preferred == 0
        if lease.address is None:
            lease.prefix = granted.prefix
            lease.address = new_address(granted.prefix, self._random)
            lease.granted_at = now
        lease.step(Event.REPLACE if replaced else Event.GRANT)
        lease.server = granted.server
        lease.path = Path(granted.interface, granted.router, granted.mtu)
        lease.detached_since = None
        lease.refusing = False
        lease.preferred_until = now + granted.preferred
        lease.valid_until = now + granted.valid
        lease.renew_at = now + (granted.t1 or granted.preferred * 0.5 or granted.valid)
        lease.rebind_at = now + (granted.t2 or granted.preferred * 0.8 or granted.valid)
        self._note(
            f"{lease.address} ({lease.type.slug}) served on"
            f" {self._attachments.name(granted.interface)} by {granted.router}"
        )
        self._out += [Reconcile(), Persist()]
        for waiter in self._waiting.take(lease.iaid):
            self._give(waiter, lease, now)
        if lease.state is State.READY:
            self._unused(lease, now)

    def _objection(self, lease: Lease, granted: Granted) -> str:
        """Return why we do not take what was granted, or an empty text."""
        if granted.preferred > granted.valid:
            return "preferred for longer than it is valid"
        if granted.type is not lease.type:
            return "not of the type that was asked for"
        if lease.prefix is not None and granted.prefix != lease.prefix:
            return f"another prefix than {lease.prefix}"
        other = self._leases.overlapping(granted.prefix, lease.iaid)
        if other is not None:
            return f"already ours as {other.type.slug}"
        if lease.state is State.REQUESTED and granted.preferred == 0:
            return "given for a grace time only"
        return unwanted(granted.prefix)

    def _refused(self, lease: Lease, attachment: Attachment, refused: Refused, now: float) -> None:
        if refused.reason is RefusalReason.TYPE_NOT_OFFERED:
            attachment.not_offered.add(lease.type)
        if lease.state is not State.REQUESTED:
            self._note(f"{lease.prefix}: not served here: {refused.reason.name}")
            return
        self._retry_at[lease.type] = now + _RETRY_REFUSED
        self._end(lease, Reason(refused.reason), refused.reason.name)

    def _not_understood(
        self, lease: Lease, attachment: Attachment, answer: NotUnderstood, now: float
    ) -> None:
        if not attachment.knows_service:
            attachment.unsupported_until = now + self._config.unsupported_memory
        if lease.state is State.REQUESTED:
            if answer.given is not None:
                self._hand_back(answer.interface, answer.server, answer.given, now)
            self._end(lease, Reason.NO_SERVICE, "the network does not know the service")

    def _hand_back(self, interface: int, server: bytes, prefix: IPv6Network, now: float) -> None:
        """Release a prefix that we do not take."""
        unwanted_ = Association(self._new_iaid(), None, prefix)
        self._requester.start(MessageType.RELEASE, interface, [unwanted_], now, server=server)

    # ---- applications --------------------------------------------------------------------------

    def _ask_for(self, waiter: Waiter, fresh: bool, now: float) -> None:
        """Let ``waiter`` wait for a lease that the network is asked for, if that has a point."""
        attachment = self._asking() or next(iter(self._attachments.newest_first()), None)
        if attachment is None:
            self._out.append(waiter.refused(Reason.DETACHED))
        elif not attachment.offers(waiter.type):
            self._out.append(waiter.refused(Reason.TYPE_NOT_OFFERED))
        elif now < attachment.unsupported_until and not attachment.knows_service:
            self._out.append(waiter.refused(Reason.NO_SERVICE))
        else:
            lease = None if fresh else self._leases.requested(waiter.type)
            if lease is None:
                lease = Lease(self._new_iaid(), waiter.type, kept=False)
                self._leases.add(lease)
            waiter.iaid = lease.iaid
            self._waiting.add(waiter)
            self._request_missing(attachment, now)
            self._send(now)

    def _await_ordinary(self, waiter: Waiter, now: float) -> None:
        """Let ``waiter`` wait for an ordinary address, or for one delegated in its place."""
        attachment = self._asking()
        if not self._attachments.newest_first():
            self._out.append(waiter.refused(Reason.DETACHED))
        elif attachment is not None and attachment.delegates_only:
            self._ask_for(waiter, False, now)
        else:
            self._waiting.add(waiter)

    def _give(self, waiter: Waiter, lease: Lease, now: float) -> None:
        assert lease.address is not None
        self._out.append(waiter.granted(lease.address, lease.valid_until - now))
        if waiter.cookie is not None:
            lease.sockets.add(waiter.cookie)
            lease.step(Event.OPEN)
        elif not lease.sockets:
            self._unused(lease, now)

    def _give_ordinary(self, waiter: Waiter, *, advertised: bool) -> bool:
        """Answer with an ordinary address, if there is one."""
        attached = self._attachments.newest_first()
        found = self._ordinary.best(attached, advertised=advertised)
        if found is None:
            return False
        if waiter.cookie is not None:
            self._ordinary.opened(found.address, waiter.cookie)
        valid_for = _NEVER if found.valid is None else found.valid
        self._out.append(waiter.granted(found.address, valid_for))
        return True

    def _serve_ordinary(self) -> None:
        """Answer those who wait for an ordinary address, now that one may have come."""
        for waiter in self._waiting.take(None):
            if not self._give_ordinary(waiter, advertised=True):
                self._waiting.add(waiter)

    def _give_up(self, waiter: Waiter, reason: Reason, now: float) -> None:
        """Answer a waiter whose time is over."""
        if waiter.iaid is None:
            if not self._give_ordinary(waiter, advertised=False):
                self._out.append(waiter.refused(Reason.TIMEOUT))
            return
        self._out.append(waiter.refused(reason))
        if reason is Reason.NO_SERVICE:
            for attachment in self._attachments.newest_first():
                attachment.unsupported_until = now + self._config.unsupported_memory
        lease = self._leases.get(waiter.iaid)
        if lease is not None and not lease.kept and not self._waiting.awaits(lease.iaid):
            self._end(lease, reason, "nobody waits for it any more")

    # ---- ends ----------------------------------------------------------------------------------

    def _unused(self, lease: Lease, now: float) -> None:
        """Let an address that no socket uses linger, unless it is one that stays."""
        if lease.kept or lease.type is ServiceType.FIXED:
            lease.step(Event.UNUSED)
        else:
            lease.step(Event.LAST_CLOSE)
            lease.linger_until = now + self._config.linger

    def _release(self, lease: Lease, now: float) -> None:
        """Give an address back that nobody uses; it is gone here before the network hears it."""
        lease.step(Event.LINGER_END)
        self._leases.remove(lease)
        self._note(f"{lease.address} ({lease.type.slug}) released")
        self._out += [Reconcile(), Persist()]
        if lease.served and lease.path is not None:
            self._requester.start(
                MessageType.RELEASE,
                lease.path.interface,
                [lease.association],
                now,
                server=lease.server,
            )
            self._send(now)

    def _end(self, lease: Lease, reason: Reason, why: str) -> None:
        """End a lease that is refused, lost or invalid, and whatever depends on it."""
        lease.step(Event.END)
        self._leases.remove(lease)
        self._requester.cancel([lease.iaid])
        for waiter in self._waiting.take(lease.iaid):
            self._out.append(waiter.refused(reason))
        if lease.address is not None:
            self._note(f"{lease.address} ({lease.type.slug}) is gone: {why}")
            self._out += [DestroySockets(lease.address, None), Reconcile(), Persist()]

    # ---- output --------------------------------------------------------------------------------

    def _note(self, text: str) -> None:
        self._out.append(Note(text))

    def _flush(self) -> list[Action]:
        """Return what was decided.

        The kernel comes first, once, so that no answer and no message is ahead of the addresses
        and routes that it speaks of; sockets are ended, then the state is written, last of all.
        """
        out, self._out = self._out, []
        return sorted(_without_repeats(out), key=_order)


def _without_repeats(actions: Iterable[Action]) -> Iterable[Action]:
    """Return ``actions`` with each of the two that concern everything at most once."""
    once = {type(action): action for action in actions if isinstance(action, (Reconcile, Persist))}
    return [*once.values(), *(a for a in actions if not isinstance(a, (Reconcile, Persist)))]


def _order(action: Action) -> int:
    match action:
        case Reconcile():
            return 0
        case Persist():
            return 2
        case _:
            return 1
