"""Asking the network: for what is missing, for more time, and to take something back."""

from __future__ import annotations

from ipaddress import IPv6Network

from moorage.host.actions import SendDhcp
from moorage.host.attachment import Attachment
from moorage.host.config import Obedience
from moorage.host.known import Known
from moorage.host.lease import Lease
from moorage.host.outcome import Association, Granted, NotUnderstood
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType

_NEVER = float("inf")


class Asking:
    """Starts the exchanges of the requester."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def attachment(self) -> Attachment | None:
        """Return the attachment where new prefixes are asked for."""
        serving = self._known.serving
        return self._known.attachments.get(serving.trying) or self._known.attachments.get(
            serving.current
        )

    def next_timer(self) -> float | None:
        """Return when what policy wants may be asked for again."""
        attachment = self.attachment()
        if attachment is None:
            return None
        times = [
            max(attachment.unsupported_until, attachment.retry_at.get(type_, 0.0))
            for type_ in self._missing()
            if attachment.offers(type_)
        ]
        return min((time for time in times if time), default=None)

    def request_missing(self, attachment: Attachment, now: float) -> None:
        """Ask on a link for what policy wants and for what nobody was asked for yet."""
        for type_ in self._missing():
            waits = now < max(attachment.unsupported_until, attachment.retry_at.get(type_, now))
            if not waits and attachment.offers(type_):
                self._known.leases.add(Lease(self._known.new_iaid(), type=type_, kept=True))
        for lease in self._known.leases.awaited():
            if self._known.requester.pending(lease.iaid) is None:
                self._known.requester.start(
                    MessageType.SOLICIT,
                    attachment.interface,
                    [lease.association],
                    now,
                    urgent=True,
                )
        self._ask_policy(attachment, now)

    def _missing(self) -> list[ServiceType]:
        """Return the types that policy wants and that there is no lease of."""
        leases = self._known.leases
        return [
            type_
            for type_ in self._known.types_at_boot
            if not leases.usable(type_) and leases.requested(type_) is None
        ]

    def _ask_policy(self, attachment: Attachment, now: float) -> None:
        """Ask what the network dictates if that is to be followed and nothing else will tell."""
        known = self._known
        follows = known.config.network_policy is Obedience.FOLLOW
        if follows and attachment.on_demand is not None and not known.networks.known(attachment):
            known.requester.ask_policy(attachment.interface, now)

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
            kind, lease.path.interface, [lease.association], now, server=server or None
        )

    def hand_back(self, given: Granted | NotUnderstood, prefix: IPv6Network, now: float) -> None:
        """Release a prefix that we do not take; its server knows it by the IAID."""
        unwanted_ = Association(given.association.iaid, None, prefix)
        self._known.requester.hand_back(given.interface, unwanted_, given.server, now)

    def give_back(self, lease: Lease, now: float) -> None:
        """Release the prefix of a lease that has ended, if its network can be reached."""
        if lease.served and lease.path is not None:
            self._known.requester.start(
                MessageType.RELEASE,
                lease.path.interface,
                [lease.association],
                now,
                server=lease.server,
            )
            self.send(now)

    def send(self, now: float) -> None:
        """Send what is due."""
        self._known.out += [
            SendDhcp(transmission) for transmission in self._known.requester.poll(now)
        ]
