"""What a server's answer means for each of our prefixes (RFC 8415 sections 18.2.9 and 18.2.10)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    IaPd,
    IaPrefix,
    Message,
    OnDemand,
    PathMtu,
    Refusal,
    RefusalReason,
    Status,
)


@dataclass(frozen=True, slots=True)
class Association:
    """One IA_PD of ours: its IAID, its type, and its prefix once there is one."""

    iaid: int
    type: ServiceType | None
    prefix: IPv6Network | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """The network gave, or goes on serving, a prefix. Times are seconds from now."""

    association: Association
    interface: int
    router: IPv6Address
    server: bytes
    prefix: IPv6Network
    preferred: int
    valid: int
    t1: int
    t2: int
    type: ServiceType | None
    mtu: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The network knows the service and does not deliver."""

    association: Association
    interface: int
    reason: RefusalReason


@dataclass(frozen=True, slots=True)
class Lost:
    """The network no longer has this prefix for us.

    It has taken it back, or, if ``forgotten``, knows nothing of it: it may give it again.
    """

    association: Association
    interface: int
    forgotten: bool


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A server without the service answered; ``given`` is what it gave and must get back.

    With ``alone`` nobody else was heard on the link who knows the service.
    """

    association: Association
    interface: int
    server: bytes
    given: IPv6Network | None
    alone: bool


@dataclass(frozen=True, slots=True)
class Released:
    """The network took a prefix back, or does not answer."""

    association: Association
    interface: int


Outcome = Granted | Refused | Lost | NotUnderstood | Released


def refusal(
    ondemand: OnDemand | None, association: Association, message: Message
) -> RefusalReason | None:
    """Return why a message with our option refuses an association, or none if it does not."""
    if ondemand is None:
        return None
    said = ondemand.for_iaid(Refusal, association.iaid)
    if said is not None:
        return said.reason
    ia = _ia(message, association.iaid)
    if ia is not None and ia.status is not None and ia.status.code == Status.NO_PREFIX_AVAIL:
        return RefusalReason.POOL_FULL
    return None


def offered(message: Message, association: Association) -> IPv6Network | None:
    """Return the prefix that a message, whoever sent it, has for an association."""
    ia = _ia(message, association.iaid)
    given = _given(ia, association) if ia is not None else None
    return given.prefix if given is not None else None


def outcome(
    association: Association,
    interface: int,
    message: Message,
    ondemand: OnDemand,
    router: IPv6Address,
    server: bytes,
) -> Outcome | None:
    """Return what the Reply of a server that knows the service says of an association."""
    refused = refusal(ondemand, association, message)
    if refused is not None:
        return Refused(association, interface, refused)
    ia = _ia(message, association.iaid)
    if ia is None:
        return None
    if ia.status is not None and ia.status.code == Status.NO_BINDING:
        return Lost(association, interface, forgotten=True)
    given = _given(ia, association)
    if given is None:
        return None
    if given.valid == 0:
        return Lost(association, interface, forgotten=False)
    mtu = ondemand.for_iaid(PathMtu, association.iaid)
    return Granted(
        association,
        interface,
        router,
        server,
        given.prefix,
        given.preferred,
        given.valid,
        ia.t1,
        ia.t2,
        ondemand.service_type(association.iaid),
        mtu.mtu if mtu is not None else 0,
    )


def _ia(message: Message, iaid: int) -> IaPd | None:
    return next((ia for ia in message.every(IaPd) if ia.iaid == iaid), None)


def _given(ia: IaPd, association: Association) -> IaPrefix | None:
    """Return the prefix that ``ia`` is about: ours, if it is there, else the first."""
    ours = (prefix for prefix in ia.prefixes if prefix.prefix == association.prefix)
    return next(ours, None) or next(iter(ia.prefixes), None)
