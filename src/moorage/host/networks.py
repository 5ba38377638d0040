"""What the operators of networks dictate (draft section 3.4), remembered by domain."""

from __future__ import annotations

from moorage.host.attachment import Attachment
from moorage.host.requester import Requester
from moorage.wire.dhcp6 import NetworkPolicy

_DOMAINS = 64
"""So many domains are remembered; anybody on a link can make some up."""


class Networks:
    """The policy of the network that an interface is on: of its last answer, or of the last visit.

    Router advertisements name the domain of a link; what its servers dictate comes by DHCPv6 only.
    """

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self._domains: dict[bytes, NetworkPolicy | None] = {}

    def policy(self, attachment: Attachment | None) -> NetworkPolicy | None:
        """Return what holds where an interface is attached, if anything is dictated there."""
        if attachment is None:
            return None
        if self._requester.policy_known(attachment.interface):
            return self._requester.policy(attachment.interface)
        return self._domains.get(_domain(attachment))

    def known(self, attachment: Attachment) -> bool:
        """Whether it is known what is dictated there, be it nothing."""
        return (
            self._requester.policy_known(attachment.interface)
            or _domain(attachment) in self._domains
        )

    def remember(self, attachment: Attachment) -> None:
        """Keep what was last heard where an interface is attached, for the next visit."""
        domain = _domain(attachment)
        if not domain or not self._requester.policy_known(attachment.interface):
            return
        self._domains.pop(domain, None)
        self._domains[domain] = self._requester.policy(attachment.interface)
        while len(self._domains) > _DOMAINS:
            del self._domains[next(iter(self._domains))]


def _domain(attachment: Attachment) -> bytes:
    return attachment.on_demand.domain_id if attachment.on_demand is not None else b""
