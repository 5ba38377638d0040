"""A client's message as the DHCPv6 server judges it, after the checks of RFC 8415 section 16."""

from __future__ import annotations

from dataclasses import dataclass

from moorage.router.authority import Proof, Rejected, Standing
from moorage.router.segments import Place
from moorage.service import ServiceType
from moorage.wire.dhcp6 import Message, OnDemand, OptionRequest, ReconfigureAccept


@dataclass(frozen=True, slots=True)
class Request:
    """A message that may be answered.

    Attributes:
        message: what was received.
        client: the client's DUID; empty in an Information-request that does not say it.
        on_demand: our option, None: the client does not know it and is not sent it.
        place: where the client is.
        standing: what it proves about its sender.
    """

    message: Message
    client: bytes
    on_demand: OnDemand | None
    place: Place
    standing: Standing

    @property
    def proof(self) -> Proof | None:
        """The accepted signature."""
        return self.standing if isinstance(self.standing, Proof) else None

    @property
    def rejected(self) -> bool:
        """Whether there is a signature that was not accepted."""
        return isinstance(self.standing, Rejected)

    @property
    def mac(self) -> bytes | None:
        """The client's link-layer address, if that is proved and it is who packets are sent to."""
        proof = self.proof
        return None if proof is None or self.place.segment.relayed else proof.mac

    @property
    def reconfigurable(self) -> bool:
        """Whether the client takes Reconfigure messages, and can be sent some: directly."""
        willing = self.message.first(ReconfigureAccept) is not None
        return willing and not self.place.segment.relayed

    def type_of(self, iaid: int) -> ServiceType | None:
        """Return the type that the client names for an IA_PD."""
        return None if self.on_demand is None else self.on_demand.service_type(iaid)

    def asks_for(self, code: int) -> bool:
        """Whether the client would like to have the option ``code``."""
        wishes = self.message.first(OptionRequest)
        return wishes is not None and code in wishes.codes
