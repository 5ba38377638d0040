"""Replies and Advertises: what was decided, in the options of RFC 8415 and ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv6Network

from moorage.router.config import RouterConfig
from moorage.router.leases import Situation
from moorage.router.outcomes import (
    Elsewhere,
    Granted,
    OffLink,
    Outcome,
    Refused,
    Released,
    Unbound,
    Withdrawn,
)
from moorage.router.reconfigure import key_option
from moorage.router.request import Request
from moorage.router.segments import Segment
from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    ClientId,
    GraceTime,
    IaAddr,
    IaNa,
    IaPd,
    IaPrefix,
    InfMaxRt,
    InformationRefreshTime,
    Message,
    MessageType,
    OnDemand,
    Option,
    PathMtu,
    Preference,
    PrefixExclude,
    ReconfigureAccept,
    Refusal,
    RefusalReason,
    ServerId,
    ServiceTypeOf,
    SolMaxRt,
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
    situation: Situation,
) -> Message:
    """Return the message that tells a client the ``outcomes``, beside other ``options``."""
    config = situation.config
    body = envelope(request.message, situation.terms.server_duid)
    if kind is MessageType.ADVERTISE and config.dhcp.preference:
        body.append(Preference(config.dhcp.preference))
    body += options
    body += identity_associations(request, outcomes, config)
    body += wished_for(request, kind, config)
    body += reconfiguring(request, kind, situation)
    if request.on_demand is not None:
        body.append(on_demand(outcomes, request.place.segment, situation).to_option())
    return Message(kind, request.message.transaction_id, tuple(body))


def use_multicast(message: Message, server_duid: bytes) -> Message:
    """Return the answer to a message that should have gone to the group of all servers."""
    kind = MessageType.ADVERTISE if message.type is MessageType.SOLICIT else MessageType.REPLY
    status = StatusCode(Status.USE_MULTICAST, "send to the group of all servers")
    body = (*envelope(message, server_duid), status)
    return Message(kind, message.transaction_id, body)


def envelope(message: Message, server_duid: bytes) -> list[Option]:
    """Return what every answer begins with: who is talked to, if it was said, and who talks."""
    return [*message.every(ClientId), ServerId(server_duid)]


def wished_for(request: Request, kind: MessageType, config: RouterConfig) -> list[Option]:
    """Return what the client's Option Request asks for and the configuration has an answer to."""
    dhcp = config.dhcp
    found: list[Option] = []
    if dhcp.sol_max_rt is not None and request.asks_for(SolMaxRt.option_code):
        found.append(SolMaxRt(dhcp.sol_max_rt))
    if kind is not MessageType.REPLY:
        return found
    if dhcp.inf_max_rt is not None and request.asks_for(InfMaxRt.option_code):
        found.append(InfMaxRt(dhcp.inf_max_rt))
    informs = request.message.type is MessageType.INFORMATION_REQUEST
    if informs and request.asks_for(InformationRefreshTime.option_code):
        found.append(InformationRefreshTime(dhcp.information_refresh_time))
    return found


_KEY_IS_GIVEN = frozenset(
    {MessageType.SOLICIT, MessageType.REQUEST, MessageType.INFORMATION_REQUEST}
)
"""Messages whose Reply brings the reconfigure key (RFC 8415 section 20.4.2)."""


def reconfiguring(request: Request, kind: MessageType, situation: Situation) -> list[Option]:
    """Return the consent to Reconfigure messages, if the client consents, and their key."""
    if situation.keys is None or not request.reconfigurable:
        return []
    gives = kind is MessageType.REPLY and request.message.type in _KEY_IS_GIVEN
    if not gives or request.rejected or not request.client:
        return [ReconfigureAccept()]
    public_key = request.proof.key if request.proof else None
    key = situation.keys.of(request.client, public_key)
    return [ReconfigureAccept(), key_option(key, situation.now)]


def identity_associations(
    request: Request, outcomes: Sequence[Outcome], config: RouterConfig
) -> list[IaNa | IaPd]:
    """Return the associations that tell the outcomes, all with the same T1 and T2."""
    t1, t2 = _timers(outcomes, config)
    return [
        type(outcome.ia)(outcome.ia.iaid, t1, t2, _content(outcome))
        for outcome in outcomes
        if not isinstance(outcome, Released)
    ]


def _timers(outcomes: Iterable[Outcome], config: RouterConfig) -> tuple[int, int]:
    """Return T1 and T2: one pair for the whole message (RFC 8415 section 18.3.2).

    They are the shortest of the types that are given. If nothing is given that can be extended,
    they say that there is no point in trying (section 18.3.4).
    """
    granted = [outcome for outcome in outcomes if isinstance(outcome, Granted)]
    lasting = [config.lifetimes.of(each.binding.type) for each in granted if each.preferred]
    if lasting:
        return min(each.t1 for each in lasting), min(each.t2 for each in lasting)
    end = min((each.valid for each in granted), default=0)
    return end, end


def _content(outcome: Outcome) -> tuple[Option, ...]:
    lease = _address if isinstance(outcome.ia, IaNa) else _prefix
    match outcome:
        case Granted(_, binding, preferred, valid, gone):
            given = lease(binding.prefix, preferred, valid)
            if isinstance(given, IaPrefix) and binding.excluded_prefix is not None:
                option = PrefixExclude.of(given.prefix, binding.excluded_prefix)
                given = replace(given, options=(option,))
            return (given, *(lease(each, 0, 0) for each in gone))
        case Withdrawn(_, _, prefixes):
            return tuple([lease(each, 0, 0) for each in prefixes])
        case Refused(ia, _, reason):
            none = Status.NO_ADDRS_AVAIL if isinstance(ia, IaNa) else Status.NO_PREFIX_AVAIL
            return (StatusCode(none, _REASONS[reason]),)
        case OffLink():
            return (StatusCode(Status.NOT_ON_LINK, "not an address of this link"),)
        case Unbound():
            return (StatusCode(Status.NO_BINDING, "no such binding"),)
        case Elsewhere() | Released():
            return ()


def _prefix(prefix: IPv6Network, preferred: int, valid: int) -> IaPrefix:
    return IaPrefix(preferred, valid, prefix)


def _address(address: IPv6Network, preferred: int, valid: int) -> IaAddr:
    return IaAddr(address.network_address, preferred, valid)


_REASONS = {
    RefusalReason.TYPE_NOT_OFFERED: "this type is not offered",
    RefusalReason.POOL_FULL: "no prefix is left",
    RefusalReason.QUOTA: "the quota is used up",
    RefusalReason.NOT_AUTHORISED: "not authorised",
    RefusalReason.TRY_LATER: "try later",
    RefusalReason.SIGNATURE_OR_TIME: "the signature or its time is not accepted",
}


def on_demand(outcomes: Iterable[Outcome], segment: Segment, situation: Situation) -> OnDemand:
    """Return our option: what the network offers, and what belongs to each IA_PD."""
    about = [*situation.terms.about]
    for outcome in outcomes:
        if isinstance(outcome.ia, IaPd):
            about += _about(outcome, situation.config, segment)
    if any(
        isinstance(outcome, Refused) and outcome.reason is RefusalReason.SIGNATURE_OR_TIME
        for outcome in outcomes
    ):
        about.append(TimeAndLink(round(situation.now * 1_000_000), segment.id))
    return OnDemand(tuple(about))


def _about(outcome: Outcome, config: RouterConfig, segment: Segment) -> Iterable[SubOption]:
    iaid = outcome.ia.iaid
    match outcome:
        case Granted(_, binding):
            yield ServiceTypeOf(iaid, binding.type)
            yield PathMtu(iaid, config.path_mtu(segment.link))
            if binding.type is ServiceType.GRACEFUL_REPLACEMENT:
                yield GraceTime(iaid, config.grace)
        case Withdrawn(_, kind):
            yield ServiceTypeOf(iaid, kind)
        case Refused(_, asked, reason):
            if asked is not None:
                yield ServiceTypeOf(iaid, asked)
            yield Refusal(iaid, reason)
        case _:
            pass
