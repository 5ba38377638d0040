"""What the operators of networks dictate (draft section 3.4), remembered by domain."""

from __future__ import annotations

from moorage.host.attachment import Attachment
from moorage.host.requester import Requester
from moorage.wire.dhcp6 import NetworkPolicy

_DOMAINS = 64
"""So many domains are remembered; anybody on a link can make some up."""


class Networks:
    """The policies of the networks that the host was on.

    Router advertisements name the domain of a link; what its servers dictate comes by DHCPv6 only.

    Attributes:
        policy: what the network dictates that the host is on, or was on last; none: nothing.
    """

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self._domains: dict[bytes, NetworkPolicy | None] = {}
        self.policy: NetworkPolicy | None = None

    def known(self, attachment: Attachment) -> bool:
        """Whether it is known what is dictated where an interface is attached, be it nothing."""
        return (
            self._requester.policy_known(attachment.interface)
            or _domain(attachment) in self._domains
        )

    def heed(self, attachment: Attachment) -> bool:
        """Go by the network where an interface is attached; return whether that changes anything.

        Until it has answered it is expected to dictate what it did last, and before anything was
        heard of it, to be the network of before.
        """
        before = self.policy
        if self._requester.policy_known(attachment.interface):
            self.policy = self._requester.policy(attachment.interface)
            self._remember(_domain(attachment), self.policy)
        elif attachment.heard:
            self.policy = self._domains.get(_domain(attachment))
        return self.policy != before

    def _remember(self, domain: bytes, policy: NetworkPolicy | None) -> None:
        if not domain:
            return
        self._domains.pop(domain, None)
        self._domains[domain] = policy
        if len(self._domains) > _DOMAINS:
            del self._domains[next(iter(self._domains))]


def _domain(attachment: Attachment) -> bytes:
    return attachment.on_demand.domain_id if attachment.on_demand is not None else b""
