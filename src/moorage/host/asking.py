"""Asking the network: for what is missing, for more time, and to take something back."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Network

from moorage.host.actions import SendDhcp
from moorage.host.attachment import DOMAIN_WAIT
from moorage.host.config import Obedience
from moorage.host.known import Known
from moorage.host.lease import Lease
from moorage.host.outcome import Association, Granted, NotUnderstood
from moorage.host.owed import Owed
from moorage.host.recovery import Recovery
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType

_NEVER = float("inf")


class Asking:
    """Starts the exchanges of the requester."""

    def __init__(self, known: Known, recovery: Recovery) -> None:
        self._known = known
        self._recovery = recovery

    def next_timer(self) -> float | None:
        """Return when what is missing may be asked for."""
        known = self._known
        times = [known.lanes.next_timer([lease.asked for lease in known.leases.awaited()])]
        for type_ in self._missing():
            link = known.lanes.present(type_)
            if link is not None and link.offers(type_):
                times.append(max(link.unsupported_until, link.retry_at.get(type_, 0.0)) or None)
        for lease in known.leases.awaited():
            link = known.lanes.present(lease.asked.type)
            if link is not None and known.requester.pending(lease.iaid) is None:
                times.append(link.since + DOMAIN_WAIT)
        return min((time for time in times if time is not None), default=None)

    def request_missing(self, now: float) -> None:
        """Ask for what was lost, what policy wants and what nobody was asked for yet."""
        self._recovery.ask(now)
        for type_ in self._missing():
            link = self._known.lanes.asked(type_, now)
            if link is None or not link.offers(type_):
                continue
            if now >= max(link.unsupported_until, link.retry_at.get(type_, now)):
                self._known.leases.add(Lease(self._known.new_iaid(type_), type=type_, kept=True))
        for lease in self._known.leases.awaited():
            self._solicit(lease, now)
        self._ask_policy(now)

    def _solicit(self, lease: Lease, now: float) -> None:
        """Ask for a new prefix where it is to come from, by the name that is known there."""
        link = self._known.lanes.asked(lease.asked.type, now)
        domain = link.domain(now) if link is not None else None
        if link is None or domain is None:
            return
        pending = self._known.requester.pending(lease.iaid)
        if pending is not None and (pending[1], lease.domain) == (link.interface, domain):
            return
        lease.domain = domain
        self._known.requester.start(
            MessageType.SOLICIT,
            link.interface,
            [lease.association],
            now,
            domain=domain,
            urgent=True,
        )

    def _missing(self) -> list[ServiceType]:
        """Return the types that policy wants and that there is no lease of."""
        leases = self._known.leases
        return [
            type_
            for type_ in self._known.types_at_boot
            if not leases.usable(type_) and leases.requested(type_) is None
        ]

    def _ask_policy(self, now: float) -> None:
        """Ask what the network dictates if that is to be followed and nothing else will tell."""
        known = self._known
        link = known.lanes.foremost()
        if known.config.network_policy is not Obedience.FOLLOW or link is None:
            return
        if link.on_demand is not None and not known.networks.known(link):
            known.requester.ask_policy(link.interface, link.on_demand.domain_id, now)

    def rebind(self, interface: int, domain: bytes, leases: Iterable[Lease], now: float) -> None:
        """Ask the network of ``domain`` to serve its leases where an interface is now."""
        associations = []
        for lease in leases:
            lease.reclaimed = False
            associations.append(lease.association)
        self._known.requester.start(
            MessageType.REBIND, interface, associations, now, domain=domain, urgent=True
        )

    def renew(self, lease: Lease, now: float) -> None:
        """Renew a lease whose T1 has come, or rebind it at T2 (RFC 8415 section 18.2.4, 5)."""
        if lease.path is None:
            return
        kind, server = MessageType.RENEW, lease.server
        lease.renew_at = _NEVER
        if now >= lease.rebind_at:
            kind, server = MessageType.REBIND, b""
            lease.rebind_at = _NEVER
        elif self._known.requester.pending(lease.iaid) is not None:
            return  # a Rebind on a newer link is under way and will say more
        self._known.requester.start(
            kind,
            lease.path.interface,
            [lease.association],
            now,
            domain=lease.domain,
            server=server or None,
        )

    def reclaim(self, lease: Lease, interface: int, now: float) -> None:
        """Ask a network for a prefix that it gave us and that it has forgotten."""
        lease.reclaimed = True
        self._known.requester.start(
            MessageType.SOLICIT,
            interface,
            [lease.association],
            now,
            domain=lease.domain,
            urgent=True,
        )

    def hand_back(
        self, lease: Lease, given: Granted | NotUnderstood, prefix: IPv6Network, now: float
    ) -> None:
        """Release a prefix that we do not take for a lease; its server knows it by the IAID."""
        unwanted_ = Association(lease.iaid, None, prefix)
        self._known.requester.hand_back(given.interface, lease.domain, unwanted_, given.server, now)

    def give_back(self, lease: Lease, now: float) -> None:
        """Release the prefix of a lease that has ended, as soon as its network can be reached."""
        self._known.debts.add(
            Owed(lease.association, lease.domain, lease.server, lease.valid_until)
        )
        if lease.served and lease.path is not None:
            place = lease.path.interface, lease.domain, lease.server
            self._release(*place, [lease.association], now)
            self.send(now)

    def pay_debts(self, now: float) -> None:
        """Release what is owed to networks that are there again."""
        known = self._known
        known.debts.forget_expired(now)
        payable: dict[tuple[int, bytes, bytes], list[Association]] = {}
        for owed in known.debts.all():
            links = (x for x in known.lanes.links(owed.lane) if x.domain(now) == owed.domain)
            link = next(links, None)
            if link is not None and not known.requester.releases(owed.association.iaid):
                place = link.interface, owed.domain, owed.server
                payable.setdefault(place, []).append(owed.association)
        for place, associations in payable.items():
            self._release(*place, associations, now)

    def _release(
        self,
        interface: int,
        domain: bytes,
        server: bytes,
        associations: list[Association],
        now: float,
    ) -> None:
        self._known.requester.start(
            MessageType.RELEASE, interface, associations, now, domain=domain, server=server
        )

    def send(self, now: float) -> None:
        """Send what is due."""
        self._known.out += [
            SendDhcp(transmission) for transmission in self._known.requester.poll(now)
        ]
