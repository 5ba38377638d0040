"""Replies and Advertises: what was decided, in the options of RFC 8415 and ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from moorage.router.config import AccessLink, RouterConfig
from moorage.router.leases import Granted, Outcome, Refused, Released, Unbound, Withdrawn
from moorage.router.request import Request
from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    ClientId,
    GraceTime,
    IaPd,
    IaPrefix,
    Message,
    MessageType,
    NetworkPolicy,
    OfferedTypes,
    OnDemand,
    Option,
    PathMtu,
    Refusal,
    RefusalReason,
    ServerId,
    ServiceTypeOf,
    Status,
    StatusCode,
    SubOption,
    TimeAndLink,
)


def answer(
    request: Request,
    kind: MessageType,
    options: Iterable[Option],
    outcomes: Sequence[Outcome],
    config: RouterConfig,
    link: AccessLink,
    now: float,
) -> Message:
    """Return the message that tells a client the ``outcomes``, beside other ``options``."""
    body: list[Option] = [ServerId(config.server_duid)]
    if request.client:
        body.insert(0, ClientId(request.client))
    body += options
    body += identity_associations(outcomes, config)
    if request.on_demand is not None:
        body.append(on_demand(outcomes, config, link, now).to_option())
    return Message(kind, request.message.transaction_id, tuple(body))


def identity_associations(outcomes: Sequence[Outcome], config: RouterConfig) -> list[IaPd]:
    """Return an IA_PD for each outcome.

    T1 and T2 are the shortest of the types that are given, the same in all of them (RFC 8415
    section 18.3, as section 21.21 asks a client to treat them).
    """
    given = [
        config.lifetimes.of(outcome.binding.type)
        for outcome in outcomes
        if isinstance(outcome, Granted)
    ]
    t1 = min((lifetimes.t1 for lifetimes in given), default=0)
    t2 = min((lifetimes.t2 for lifetimes in given), default=0)
    return [
        IaPd(outcome.iaid, t1, t2, _lease(outcome))
        for outcome in outcomes
        if not isinstance(outcome, Released)
    ]


def _lease(outcome: Outcome) -> tuple[Option, ...]:
    match outcome:
        case Granted(_, binding, preferred, valid, gone):
            lease = IaPrefix(preferred, valid, binding.prefix)
            return (lease, *(IaPrefix(0, 0, prefix) for prefix in gone))
        case Withdrawn(_, _, prefixes):
            return tuple(IaPrefix(0, 0, prefix) for prefix in prefixes)
        case Refused(_, _, reason):
            return (StatusCode(Status.NO_PREFIX_AVAIL, _REASONS[reason]),)
        case Unbound():
            return (StatusCode(Status.NO_BINDING, "no such binding"),)
        case Released():
            return ()


_REASONS = {
    RefusalReason.TYPE_NOT_OFFERED: "this type is not offered",
    RefusalReason.POOL_FULL: "no prefix is left",
    RefusalReason.QUOTA: "the quota is used up",
    RefusalReason.NOT_AUTHORISED: "not authorised",
    RefusalReason.TRY_LATER: "try later",
    RefusalReason.SIGNATURE_OR_TIME: "the signature or its time is not accepted",
}


def on_demand(
    outcomes: Iterable[Outcome], config: RouterConfig, link: AccessLink, now: float
) -> OnDemand:
    """Return our option: what the network offers, and what belongs to each IA_PD."""
    about: list[SubOption] = [OfferedTypes(config.offered_types)]
    if config.policy is not None:
        about.append(
            NetworkPolicy(
                config.policy.permitted_types,
                config.policy.boot_types,
                config.policy.default_type,
            )
        )
    unsigned = False
    for outcome in outcomes:
        match outcome:
            case Granted(iaid, binding):
                about.append(ServiceTypeOf(iaid, binding.type))
                about.append(PathMtu(iaid, config.path_mtu(link)))
                if binding.type is ServiceType.GRACEFUL_REPLACEMENT:
                    about.append(GraceTime(iaid, config.grace))
            case Withdrawn(iaid, kind):
                about.append(ServiceTypeOf(iaid, kind))
            case Refused(iaid, asked, reason):
                if asked is not None:
                    about.append(ServiceTypeOf(iaid, asked))
                about.append(Refusal(iaid, reason))
                unsigned = unsigned or reason is RefusalReason.SIGNATURE_OR_TIME
            case _:
                pass
    if unsigned:
        about.append(TimeAndLink(round(now * 1_000_000), config.link_id(link)))
    return OnDemand(tuple(about))
