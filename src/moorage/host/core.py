"""The host daemon's core: what happens to it goes in, what it wants done comes out.

Every method takes the present moment (seconds on one clock that never goes back), returns actions
for the shell, and does no I/O. `HostCore.next_timer` says when `HostCore.poll` is due.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from ipaddress import IPv6Address
from random import Random

from moorage.host import desired
from moorage.host.actions import (
    Action,
    Answer,
    Authorise,
    CountSockets,
    Persist,
    Publish,
    Reconcile,
    SendDhcp,
    Steer,
)
from moorage.host.asking import Asking
from moorage.host.attachment import Attachment
from moorage.host.caller import Caller
from moorage.host.config import HostConfig
from moorage.host.defaults import Defaults
from moorage.host.demand import Demand
from moorage.host.events import NameNotPublished, NamePublished, Resumed
from moorage.host.findings import Clash
from moorage.host.known import Known
from moorage.host.lease import Lease
from moorage.host.movement import Movement
from moorage.host.nonpersistent import NonPersistent
from moorage.host.occupancy import Occupancy
from moorage.host.offering import Offered, offered
from moorage.host.recovery import Recovery
from moorage.host.renewal import Renewal
from moorage.host.requester import DuidOf
from moorage.host.state import Memory
from moorage.host.stopgap import StopGap
from moorage.host.subject import Subject
from moorage.host.tenure import Tenure
from moorage.host.watching import Watching
from moorage.kernel.addresses import Address
from moorage.kernel.links import Link
from moorage.kernel.routes import Route
from moorage.kernel.send_quotas import Quota
from moorage.service import ServiceType
from moorage.wire.app import Request
from moorage.wire.dhcp6 import Message
from moorage.wire.nd import RouterAdvertisement


class HostCore:
    """All that the host daemon knows and decides.

    ``duid_of`` says by what DUID a network domain knows the host. ``secret`` is what only this host
    knows: its Fixed addresses follow from it.
    """

    def __init__(self, config: HostConfig, duid_of: DuidOf, secret: bytes, random: Random) -> None:
        self._known = Known(config, duid_of, secret, random)
        self._recovery = Recovery(self._known)
        self._asking = Asking(self._known, self._recovery)
        self._nonpersistent = NonPersistent(self._known)
        self._occupancy = Occupancy(self._known, self._asking, self._nonpersistent)
        self._renewal = Renewal(self._known, self._asking, self._occupancy)
        self._tenure = Tenure(
            self._known, self._asking, self._recovery, self._occupancy, self._renewal
        )
        self._demand = Demand(
            self._known,
            self._asking,
            self._nonpersistent,
            self._occupancy,
            self._renewal,
            self._tenure,
        )
        self._defaults = Defaults(
            self._known, self._demand, self._occupancy, self._renewal, self._nonpersistent
        )
        self._stopgap = StopGap(self._known, self._occupancy, self._tenure)
        self._movement = Movement(
            self._known, self._asking, self._nonpersistent, self._demand, self._stopgap
        )
        self._watching = Watching(self._known)
        self._due: float | None = None
        self._due_known = False
        self._offered: Offered | None = None

    # ---- what the shell reads ------------------------------------------------------------------

    @property
    def known(self) -> Known:
        """Everything that the core knows, to look at and not to touch."""
        return self._known

    @property
    def leases(self) -> Collection[Lease]:
        """Every lease that has not ended."""
        return self._known.leases.all()

    @property
    def memory(self) -> Memory:
        """What the next life has to know."""
        known = self._known
        return Memory(self.leases, known.attachments.last, known.debts.all())

    def attachment(self, interface: int) -> Attachment | None:
        """Return where an interface is attached, if it is."""
        return self._known.attachments.get(interface)

    def interface_name(self, interface: int) -> str:
        """Return the name of an interface of ours."""
        return self._known.attachments.name(interface)

    def desired_routes(self) -> set[Route]:
        """Return the routes that must be in the kernel."""
        wanted = desired.routes(self._known.leases.all())
        default = self._known.default_lease()
        return wanted if default is None else wanted | {desired.default_route(default)}

    def silenced(self) -> set[desired.Neighbour]:
        """Return the neighbours that packets must not wait for: not those that are heard again."""
        return {
            (interface, router)
            for interface, router in desired.silenced(self._known.leases.all())
            if not self._known.attachments.hears(interface, router)
        }

    def formed(self) -> dict[tuple[int, IPv6Address], float]:
        """Return the addresses of our own by interface, and until when they are valid."""
        return {(own.interface, key): own.valid_until for key, own in self._nonpersistent.all()}

    def keeps(self, address: Address) -> bool:
        """Whether an address of the kernel's is one that we want to be there."""
        if (address.interface, address.address) in self.formed():
            return True
        return self._known.leases.of_address(address.address) is not None

    def offered(self, now: float) -> Offered:
        """Return what the hooks are to know; the same object as before if nothing has changed."""
        if self._offered is None:
            self._offered = offered(self._known, self._renewal, now)
        return self._offered

    def next_timer(self) -> float | None:
        """Return when `poll` must be called at the latest, or none if nothing is due."""
        if not self._due_known:
            self._due, self._due_known = self._earliest(), True
        return self._due

    def _earliest(self) -> float | None:
        times = [
            self._known.requester.next_timer(),
            self._known.waiting.next_timer(self._known.lanes.service_known),
            self._known.leases.next_timer(self._known.config.hold),
            self._nonpersistent.next_timer(),
            self._renewal.next_timer(),
            self._movement.next_timer(),
            self._asking.next_timer(),
            self._defaults.next_timer(),
            self._known.naming.next_timer(),
        ]
        return min((time for time in times if time is not None), default=None)

    # ---- what happens --------------------------------------------------------------------------

    def restore(self, memory: Memory) -> list[Action]:
        """Take up what an earlier life knew, and find out who uses its addresses."""
        self._known.attachments.remember(memory.links)
        for owed in memory.owed:
            self._known.debts.add(owed)
        if not memory.whole:
            self._recovery.begin()
        for lease in memory.leases:
            lease.kept = lease.kept and lease.type in self._known.types_at_boot
            self._known.leases.add(lease)
            if lease.address is not None:
                linger = self._known.config.linger.of(lease.type)
                self._known.out.append(CountSockets(lease.address, linger))
        self._known.out.insert(0, Reconcile())
        return self._flush()

    def link_changed(self, link: Link, now: float) -> list[Action]:
        """Take in what the kernel says of an interface."""
        self._movement.take(self._known.attachments.link_changed(link, now), now)
        return self._flush()

    def link_removed(self, interface: int, now: float) -> list[Action]:
        """Take in that an interface no longer exists, and the routes over it with it."""
        found = self._known.attachments.link_removed(interface)
        self._movement.take(found, now)
        for lease in self._known.leases.alive():
            if lease.reach.vanish(interface, now):
                self._known.out.append(Reconcile())
        return self._flush()

    def address_changed(self, address: Address, now: float) -> list[Action]:
        """Take in an address of the kernel's."""
        self._stopgap.changed(address)
        if not self._known.attachments.manages(address.interface):
            return self._review(now)
        if address.address.is_link_local:
            self._movement.take(self._known.attachments.link_local_changed(address, now), now)
            return self._flush()
        if address.clashed:
            self._movement.take([Clash(address.interface, address.address)], now)
        self._nonpersistent.changed(address, now)
        self._demand.serve_ordinary(now)
        return self._review(now)

    def address_removed(self, address: Address, now: float) -> list[Action]:
        """Take in that the kernel has an address no more."""
        self._stopgap.removed(address)
        if address.address.is_link_local:
            self._movement.take(self._known.attachments.link_local_removed(address, now), now)
            return self._flush()
        self._nonpersistent.removed(address, now)
        return self._review(now)

    def router_advertised(
        self, interface: int, router: IPv6Address, message: RouterAdvertisement, now: float
    ) -> list[Action]:
        """Take in a router advertisement."""
        found = self._known.attachments.advertised(interface, router, message, now)
        self._movement.take(found, now)
        return self._flush()

    def router_unreachable(self, interface: int, router: IPv6Address, now: float) -> list[Action]:
        """Take in that a neighbour, perhaps a router, does not answer any longer."""
        self._movement.take(self._known.attachments.unreachable(interface, router), now)
        return self._flush()

    def resumed(self, slept: float, now: float) -> list[Action]:
        """Take in that the host has slept for so many seconds, and may be anywhere by now."""
        self._known.tell(Resumed(slept))
        self._movement.take(self._known.attachments.resumed(now), now)
        return self._flush()

    def dhcp_received(
        self, interface: int, source: IPv6Address, message: Message, now: float
    ) -> list[Action]:
        """Take in a DHCPv6 message.

        Raises:
            WireError: our option in it is malformed.
        """
        outcomes = self._known.requester.receive(interface, source, message, now)
        self._tenure.take(outcomes, now)
        self._renewal.poll(now)
        return self._review(now)

    def setsc(
        self, client: Hashable, caller: Caller, request: Request, cookie: int | None, now: float
    ) -> list[Action]:
        """Take in a request of ``caller``; ``cookie`` is that of its socket, if it has one."""
        changed = self._demand.request(client, caller, request, cookie, now)
        return self._flush() if changed else self._take_out()

    def run(self, client: Hashable, caller: Caller, request: Request, now: float) -> list[Action]:
        """Take in a request of ``caller`` for the program ``client``, which is told by `Steer`."""
        self._defaults.begin(client, caller, request, now)
        return self._flush()

    def watch(self, client: Hashable, request: int, subject: Subject, now: float) -> list[Action]:
        """Take in that ``client`` wants to know what happens to the address of its socket."""
        self._watching.begin(client, request, subject, now)
        return self._flush()

    def client_gone(self, client: Hashable, now: float) -> list[Action]:
        """Forget the requests of an application that has hung up, and what it held."""
        self._defaults.end(client)
        self._known.watchers.forget(client)
        asked = self._demand.forget(client)
        held = self._occupancy.hung_up(client, now)
        return self._flush() if asked or held else self._take_out()

    def socket_destroyed(self, cookie: int, now: float) -> list[Action]:
        """Take in that a socket has ended."""
        self._known.waiting.socket_closed(cookie)
        changed = self._occupancy.closed(cookie, now)
        return self._flush() if changed else self._take_out()

    def sockets_counted(
        self, address: IPv6Address, cookies: Collection[int], now: float
    ) -> list[Action]:
        """Take in which sockets the kernel has on an address of ours; see `Occupancy.counted`."""
        self._occupancy.counted(address, cookies, now)
        return self._flush()

    def taken(self, address: IPv6Address, now: float) -> list[Action]:
        """Take in that the hooks have given an address to a socket; see `Occupancy.taken`."""
        self._occupancy.taken(address, now)
        return self._flush()

    def quotas(self) -> dict[IPv6Address, Quota]:
        """Return how many bytes may be sent from which addresses; then tell `spent`."""
        return self._renewal.quotas() | self._nonpersistent.quotas()

    def spent(self, address: IPv6Address, now: float) -> list[Action]:
        """Take in that as many bytes were sent from an address as policy allows."""
        self._renewal.spent(address, now)
        self._nonpersistent.spent(address, now)
        return self._review(now)

    def sent(self, counts: Mapping[IPv6Address, int]) -> None:
        """Take in, before the end, how many bytes were sent from which addresses."""
        for address, sent in counts.items():
            lease = self._known.leases.of_address(address)
            if lease is not None:
                lease.sent = sent

    def reconfigure(self, config: HostConfig, now: float) -> list[Action]:
        """Go by another configuration; what is in use stays in use."""
        self._known.reconfigure(config)
        self._demand.policy_changed(now)
        return self._review(now)

    def poll(self, now: float) -> list[Action]:
        """Do what is due."""
        known = self._known
        for waiter, reason in known.waiting.expired(now, known.lanes.service_known):
            self._demand.give_up(waiter, reason, now)
        self._occupancy.poll(now)
        for lease in known.leases.alive():
            if lease.reach.poll(known.config.hold, now):
                known.out += [Reconcile(), Persist()]
        for lease in known.leases.to_renew(now):
            self._asking.renew(lease, now)
        self._tenure.take(known.requester.settle(now), now)
        self._renewal.poll(now)
        self._movement.poll(now)
        self._defaults.poll(now)
        self._asking.send(now)
        addresses = known.naming.take_due(now)
        if addresses is not None:
            known.out.append(Publish(addresses))
        return self._flush()

    def published(
        self, addresses: frozenset[IPv6Address], why_not: str, now: float
    ) -> list[Action]:
        """Take in that the host's name has these addresses, unless there is a reason why not."""
        name = self._known.config.dns.name
        self._known.naming.done(addresses, not why_not, now)
        self._known.tell(
            NameNotPublished(name, why_not) if why_not else NamePublished(name, tuple(addresses))
        )
        return self._flush()

    def _review(self, now: float) -> list[Action]:
        """Find out what follows for links and networks, and return all that was decided."""
        self._movement.review(now)
        self._asking.send(now)
        return self._flush()

    def _flush(self) -> list[Action]:
        """Return what was decided.

        The kernel comes first, once, so that no answer and no message is ahead of the addresses
        and routes that it speaks of. The state comes next, since what an application was told must
        be known to the daemon's next life. Then comes what somebody waits for: at a hand-off a
        router that were solicited first would be busy with its advertisement when the Rebind
        arrives.
        """
        self._due_known = False
        self._offered = None
        self._known.naming.want(self._known.leases.addresses(ServiceType.FIXED))
        self._defaults.settle()
        return sorted(_without_repeats(self._take_out()), key=_order)

    def _take_out(self) -> list[Action]:
        """Return what was decided where no address changed and nothing is due any earlier.

        So it is with most requests; what `_flush` does besides takes longer than the answer.
        """
        out, self._known.out = self._known.out, []
        return out


def _without_repeats(actions: Iterable[Action]) -> Iterable[Action]:
    """Return ``actions`` with each of the two that concern everything at most once."""
    once = {type(action): action for action in actions if isinstance(action, (Reconcile, Persist))}
    return [*once.values(), *(a for a in actions if not isinstance(a, (Reconcile, Persist)))]


def _order(action: Action) -> int:
    match action:
        case Reconcile() | Steer():
            return 0
        case Persist() | Authorise():
            return 1
        case SendDhcp() | Answer():
            return 2
        case _:
            return 3
