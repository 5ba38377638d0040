"""One DHCPv6 message of ours and its retransmissions until the answer (RFC 8415 section 15)."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Network

from moorage.host.outcome import Association
from moorage.host.retransmission import Retransmission
from moorage.wire.dhcp6 import (
    ClientId,
    ElapsedTime,
    IaPd,
    IaPrefix,
    InfMaxRt,
    Message,
    MessageType,
    OnDemand,
    Option,
    OptionRequest,
    RapidCommit,
    RefusalReason,
    ServerId,
    ServiceTypeOf,
    SolMaxRt,
    VendorOpts,
)

_HINT = IPv6Network("::/64")


@dataclass(frozen=True, slots=True)
class Offer:
    """An Advertise.

    Attributes:
        server: the DUID of its sender.
        preference: the value of its Preference option, 0 without one.
        understood: whether it carries our option.
        refusals: the associations that it refuses, and why.
    """

    server: bytes
    preference: int
    understood: bool
    refusals: dict[Association, RefusalReason]

    @property
    def gives(self) -> bool:
        """Whether a server that knows the service would give something."""
        return self.understood and not self.refusals


@dataclass(slots=True)
class Exchange:
    """A message under way.

    Attributes:
        domain: the network domain that is to know its sender.
        server: whom it is for, if it is for one server.
        offers: what servers advertised in answer to a Solicit.
        asked_for_link: whether it was signed again since a router asked for its link.
        doubted: whether an answer was not believed until the network says which one it is.
        beside: whether it is no matter of a prefix of ours, such as to give back what is not.
    """

    type: MessageType
    interface: int
    domain: bytes
    transaction_id: int
    associations: tuple[Association, ...]
    clock: Retransmission
    server: bytes | None = None
    offers: list[Offer] = field(default_factory=list)
    asked_for_link: bool = False
    doubted: bool = False
    beside: bool = False

    @property
    def best_offer(self) -> Offer | None:
        """The offer to take: of the servers that know the service, the most preferred one's."""
        giving = (offer for offer in self.offers if offer.gives)
        return max(giving, key=lambda offer: offer.preference, default=None)

    def message(self, client: bytes, now: float) -> Message:
        """Return what ``client`` sends at ``now``."""
        elapsed = min(int((now - self.clock.started) * 100), 0xFFFF)
        options: list[Option] = [ClientId(client), ElapsedTime(elapsed)]
        if self.server is not None:
            options.append(ServerId(self.server))
        if self.type is not MessageType.RELEASE:
            informing = self.type is MessageType.INFORMATION_REQUEST
            maximum = InfMaxRt.option_code if informing else SolMaxRt.option_code
            options.append(OptionRequest((VendorOpts.option_code, maximum)))
        if self.type is MessageType.SOLICIT:
            options.append(RapidCommit())
        for association in self.associations:
            prefix = IaPrefix(0, 0, association.prefix or _HINT, ())
            options.append(IaPd(association.iaid, 0, 0, (prefix,)))
        types = tuple(
            ServiceTypeOf(association.iaid, association.type)
            for association in self.associations
            if association.type is not None
        )
        options.append(OnDemand(types).to_option())
        return Message(self.type, self.transaction_id, tuple(options))
