"""The DHCPv6 server: a message in, changes of the store and an answer out (RFC 8415, RFC 9915)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Network

from moorage.router.answers import answer
from moorage.router.leases import Lessor, Outcome, Refused, Situation
from moorage.router.request import Discarded, Request
from moorage.store.protocol import Change
from moorage.wire.dhcp6 import (
    IaNa,
    IaPd,
    Message,
    MessageType,
    Option,
    Preference,
    RapidCommit,
    RefusalReason,
    Status,
    StatusCode,
)

_HIGHEST_PREFERENCE = 255
"""Ends the client's wait for other servers (RFC 8415 section 18.2.1)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a message leads to.

    Attributes:
        changes: to be committed first; with a conflict, everything is decided anew.
        reply: to be sent once they are; None: no answer is due yet.
        waiting: prefixes that a keyless client asked for while somebody else is served with them.
    """

    changes: tuple[Change, ...]
    reply: Message | None
    waiting: frozenset[IPv6Network]


def decide(request: Request, situation: Situation) -> Decision:
    """Decide about an admitted message.

    Raises:
        Discarded: no answer is right.
    """
    lessor = Lessor(request, situation)
    associations = request.message.every(IaPd)
    addresses = request.message.every(IaNa)
    kind = MessageType.REPLY
    options: list[Option] = []
    outcomes: list[Outcome] = []
    match request.message.type:
        case MessageType.SOLICIT | MessageType.REQUEST:
            outcomes = [lessor.assign(ia) for ia in associations]
            options += [_without_address(ia, Status.NO_ADDRS_AVAIL) for ia in addresses]
        case MessageType.RENEW:
            outcomes = [lessor.extend(ia) for ia in associations]
            options += [_without_address(ia, Status.NO_BINDING) for ia in addresses]
        case MessageType.REBIND:
            # The addresses are another server's matter: a Rebind goes to all of them.
            outcomes = [lessor.extend(ia) for ia in associations]
        case MessageType.RELEASE:
            outcomes = [lessor.release(ia) for ia in associations]
            options += [_without_address(ia, Status.NO_BINDING) for ia in addresses]
            options.append(StatusCode(Status.SUCCESS, ""))
        case MessageType.DECLINE:
            options += [_without_address(ia, Status.NO_BINDING) for ia in addresses]
            options.append(StatusCode(Status.SUCCESS, ""))
        case MessageType.CONFIRM:
            options.append(_confirmation(addresses, situation))
        case _:  # Information-request: the rest of the answer says what there is to say
            pass
    if request.on_demand is None:
        # Only our option can say "later"; for others silence does, and they ask again.
        outcomes = [outcome for outcome in outcomes if not _is_later(outcome)]
    if associations and not (outcomes or options):
        return Decision((), None, frozenset(lessor.waiting))
    if request.message.type in _ASKING and not (outcomes or options):
        raise Discarded(f"{request.message.type.name} for nothing that we have")
    changes: tuple[Change, ...] = tuple(lessor.changes)
    if request.message.type is MessageType.SOLICIT:
        if request.message.first(RapidCommit):
            options.insert(0, RapidCommit())
        else:
            kind, changes = MessageType.ADVERTISE, ()
            options.insert(0, Preference(_HIGHEST_PREFERENCE))
    reply = answer(
        request, kind, options, outcomes, situation.config, situation.link, situation.now
    )
    return Decision(changes, reply, frozenset(lessor.waiting))


_ASKING = frozenset(
    {MessageType.SOLICIT, MessageType.REQUEST, MessageType.RENEW, MessageType.REBIND}
)


def _is_later(outcome: Outcome) -> bool:
    return isinstance(outcome, Refused) and outcome.reason is RefusalReason.TRY_LATER


def _without_address(ia: IaNa, status: Status) -> IaNa:
    """Addresses are formed from prefixes here; none is assigned."""
    return IaNa(ia.iaid, 0, 0, (StatusCode(status, "addresses are not assigned"),))


def _confirmation(associations: tuple[IaNa, ...], situation: Situation) -> StatusCode:
    """Whether all addresses are of this link's prefix (RFC 8415 section 18.3.3)."""
    addresses = [lease.address for ia in associations for lease in ia.addresses]
    if not addresses:
        raise Discarded("CONFIRM without an address")
    prefix = situation.link.slaac_prefix
    if prefix is not None and all(address in prefix for address in addresses):
        return StatusCode(Status.SUCCESS, "")
    return StatusCode(Status.NOT_ON_LINK, "not on this link")
