"""What leaves for the network, and what is known of the link that it leaves by."""

from __future__ import annotations

from dataclasses import dataclass, field

from moorage.host.retransmission import RateLimit
from moorage.identity import NO_LINK
from moorage.wire.dhcp6 import Message, NetworkPolicy

_RATE = 10
"""Messages a second at most."""


@dataclass(frozen=True, slots=True)
class NetworkTime:
    """The network's clock: microseconds since 1970 at our moment ``heard``."""

    time: int
    heard: float

    def at(self, now: float) -> int:
        """Return what it says at our moment ``now``."""
        return self.time + int((now - self.heard) * 1_000_000)


@dataclass(frozen=True, slots=True)
class Transmission:
    """A message to sign and send on ``interface``.

    ``domain`` is the network domain that is to know its sender; ``link_id`` names the link in the
    signature; ``network_time`` is the network's clock where it found ours wanting.
    """

    interface: int
    message: Message
    domain: bytes
    link_id: bytes
    network_time: NetworkTime | None


@dataclass(slots=True)
class LinkState:
    """What the exchanges on one link have in common.

    Attributes:
        link_id: the link's, for signatures; `NO_LINK` before one was heard.
        announced: whether a router has said which network this is.
        time: the network's clock, where it found ours wanting.
        knows_service: whether anybody on the link has shown that he knows the service.
        policy: what the network dictates, if it dictates anything.
        policy_known: whether a server that would say so has answered.
        rate: how often messages may leave.
    """

    link_id: bytes = NO_LINK
    announced: bool = False
    time: NetworkTime | None = None
    knows_service: bool = False
    policy: NetworkPolicy | None = None
    policy_known: bool = False
    rate: RateLimit = field(default_factory=lambda: RateLimit(_RATE, 1.0))
