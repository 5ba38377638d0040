"""Who may touch a binding: the signature, its time and its link (`docs/protocol.md`, Identity)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv6Address

from moorage.identity import NO_LINK, BadSignature, duid_of, verify
from moorage.store.model import Binding
from moorage.wire.dhcp6 import (
    ClientId,
    LinkLayerAddress,
    Message,
    OnDemand,
    PublicKey,
    Signature,
)

CLOCK_TOLERANCE = 60_000_000
"""How far a signature's time may be from ours, in microseconds."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The message was signed by the holder of ``key``, at ``time`` (microseconds since 1970).

    ``names_link``: for this link, and not for whichever link it comes by. ``mac``: from this
    link-layer address; None: it does not say.
    """

    key: bytes
    time: int
    names_link: bool
    mac: bytes | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The message claims a signature that cannot be accepted."""

    why: str


Standing = Proof | Rejected | None
"""What a message proves about its sender; None: it is not signed."""


def examine(
    datagram: bytes,
    message: Message,
    on_demand: OnDemand | None,
    source: IPv6Address,
    link_id: bytes,
    now: float,
) -> Standing:
    """Return what a message proves, by itself: the time of a binding is `claim`'s matter.

    Args:
        datagram: the message as received.
        message: the same, decoded.
        on_demand: its On-Demand option.
        source: the address that it came from.
        link_id: the id of the link that it came by.
        now: seconds since 1970.
    """
    if on_demand is None:
        return None
    public, claimed = on_demand.first(PublicKey), on_demand.first(Signature)
    if public is None and claimed is None:
        return None
    if public is None or claimed is None:
        return Rejected("key and signature do not come together")
    client = message.first(ClientId)
    if client is None or client.duid != duid_of(public.key):
        return Rejected("the DUID is not of this key")
    if claimed.link_id not in (link_id, NO_LINK):
        return Rejected("signed for another link")
    if abs(claimed.time - now * 1_000_000) > CLOCK_TOLERANCE:
        return Rejected("signed at another time")
    try:
        verify(datagram, on_demand, source, public.key)
    except BadSignature as error:
        return Rejected(str(error))
    named = on_demand.first(LinkLayerAddress)
    mac = None if named is None else named.mac
    return Proof(public.key, claimed.time, claimed.link_id != NO_LINK, mac)


class Claim(Enum):
    """What a message may do with a binding."""

    GOOD = auto()
    """Change it."""

    REPEATED = auto()
    """Nothing new: this very message, or a copy of it, was acted on already."""

    STALE = auto()
    """Nothing: a later message was acted on."""

    FOREIGN = auto()
    """Nothing: the binding belongs to the holder of another key."""


def claim(binding: Binding, standing: Proof | None) -> Claim:
    """Judge a message's claim to a binding of its client.

    A binding without a key is claimed by whoever holds the key that its client's DUID is made of.
    """
    if binding.key is None:
        return Claim.GOOD
    if standing is None or standing.key != binding.key:
        return Claim.FOREIGN
    if standing.time > binding.last_time:
        return Claim.GOOD
    return Claim.REPEATED if standing.time == binding.last_time else Claim.STALE
