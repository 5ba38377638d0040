"""The DHCPv6 server: a message in, changes of the store and an answer out (RFC 8415, RFC 9915)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Final

from moorage.router.answers import answer
from moorage.router.leases import Lessor, Situation
from moorage.router.outcomes import Association, Elsewhere, Outcome, Refused
from moorage.router.request import Request
from moorage.router.supply import on_link
from moorage.router.validation import Discarded
from moorage.store.protocol import Change
from moorage.wire.dhcp6 import (
    IaNa,
    IaPd,
    IaTa,
    Message,
    MessageType,
    Option,
    RapidCommit,
    RefusalReason,
    Status,
    StatusCode,
)

_TREATMENT: Final[Mapping[MessageType, Callable[[Lessor, Association], Outcome]]] = {
    MessageType.SOLICIT: Lessor.assign,
    MessageType.REQUEST: Lessor.assign,
    MessageType.RENEW: Lessor.extend,
    MessageType.REBIND: Lessor.extend,
    MessageType.RELEASE: Lessor.release,
    MessageType.DECLINE: Lessor.decline,
}
"""What is done about each association of a message; the others are not about leases of ours."""

_ACKNOWLEDGED: Final = frozenset({MessageType.RELEASE, MessageType.DECLINE})
"""Messages whose answer says Success as a whole (RFC 8415 sections 18.3.7 and 18.3.8)."""

_NEW: Final = frozenset({MessageType.SOLICIT, MessageType.REQUEST})
"""Messages for something that the client does not have yet."""

_NO_TEMPORARY: Final[Mapping[MessageType, Status]] = {
    MessageType.SOLICIT: Status.NO_ADDRS_AVAIL,
    MessageType.REQUEST: Status.NO_ADDRS_AVAIL,
    MessageType.RENEW: Status.NO_BINDING,
    MessageType.RELEASE: Status.NO_BINDING,
    MessageType.DECLINE: Status.NO_BINDING,
}
"""What is answered about each IA_TA. RFC 9915 lets a server pass the option over; that leaves a
client of RFC 8415 without an answer. A Rebind goes to all servers: it is another one's matter."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a message leads to.

    Attributes:
        changes: to be committed first; with a conflict, everything is decided anew.
        reply: to be sent once they are; None: no answer is due yet.
        waiting: what a keyless client asked for while somebody else is served with it.
        refused: what the client did not get, as far as it is told so.
    """

    changes: tuple[Change, ...]
    reply: Message | None
    waiting: frozenset[IPv6Network]
    refused: tuple[Refused, ...] = ()


def decide(request: Request, situation: Situation) -> Decision:
    """Decide about an admitted message.

    Raises:
        Discarded: no answer is right.
    """
    kind = request.message.type
    if kind is MessageType.INFORMATION_REQUEST:
        return _plainly(request, (), situation)
    if kind is MessageType.CONFIRM:
        return _plainly(request, (_confirmation(request),), situation)
    associations, temporary = _associations(request), _temporary(request.message)
    if not (associations or temporary or kind in _ACKNOWLEDGED):
        raise Discarded(f"{kind.name} for nothing that we have")
    lessor = Lessor(request, situation)
    treat = _TREATMENT[kind]
    outcomes = [treat(lessor, ia) for ia in associations]
    outcomes = [outcome for outcome in outcomes if not isinstance(outcome, Elsewhere)]
    if request.on_demand is None:
        # Only our option can say "later"; for others silence does, and they ask again.
        outcomes = [outcome for outcome in outcomes if not _is_later(outcome)]
    if associations and not outcomes:
        return Decision((), None, frozenset(lessor.waiting))
    changes: tuple[Change, ...] = tuple(lessor.changes)
    answered, options = _frame(request.message)
    if answered is MessageType.ADVERTISE:
        changes = ()
    reply = answer(request, answered, [*options, *temporary], outcomes, situation)
    refused = tuple([outcome for outcome in outcomes if isinstance(outcome, Refused)])
    return Decision(changes, reply, frozenset(lessor.waiting), refused)


def postpone(request: Request, situation: Situation) -> Decision:
    """Have a client that asks for something new come again later: nothing can be decided now.

    Only our option can say so. Who has something goes on asking by himself, and keeps it.
    """
    if request.on_demand is None or request.message.type not in _NEW:
        return Decision((), None, frozenset())
    lessor = Lessor(request, situation)
    refused = tuple([lessor.postpone(ia) for ia in _associations(request)])
    answered, options = _frame(request.message)
    return Decision(
        (), answer(request, answered, options, refused, situation), frozenset(), refused
    )


def _frame(message: Message) -> tuple[MessageType, list[Option]]:
    """Return the type of the answer about leases, and what it says as a whole."""
    if message.type in _ACKNOWLEDGED:
        return MessageType.REPLY, [StatusCode(Status.SUCCESS)]
    if message.type is not MessageType.SOLICIT:
        return MessageType.REPLY, []
    if message.first(RapidCommit):
        return MessageType.REPLY, [RapidCommit()]
    return MessageType.ADVERTISE, []


def _plainly(request: Request, options: tuple[Option, ...], situation: Situation) -> Decision:
    reply = answer(request, MessageType.REPLY, options, (), situation)
    return Decision((), reply, frozenset())


def _associations(request: Request) -> list[Association]:
    """Return the associations that we have something to say about.

    A Rebind goes to all servers: where we assign no addresses, they are another one's matter.
    """
    found: list[Association] = list(request.message.every(IaPd))
    if request.message.type is not MessageType.REBIND or request.place.segment.addresses:
        found += request.message.every(IaNa)
    return found


def _temporary(message: Message) -> list[IaTa]:
    """Return what is said of the associations of temporary addresses: we have none."""
    status = _NO_TEMPORARY.get(message.type)
    if status is None:
        return []
    said = StatusCode(status, "no temporary addresses are assigned")
    return [IaTa(ia.iaid, (said,)) for ia in message.every(IaTa)]


def _is_later(outcome: Outcome) -> bool:
    return isinstance(outcome, Refused) and outcome.reason is RefusalReason.TRY_LATER


def _confirmation(request: Request) -> StatusCode:
    """Whether all addresses are of the client's link (RFC 8415 section 18.3.3)."""
    message = request.message
    associations: list[IaNa | IaTa] = [*message.every(IaNa), *message.every(IaTa)]
    addresses = [IPv6Network(lease.address) for ia in associations for lease in ia.addresses]
    networks = request.place.segment.networks
    if not addresses or not networks:
        raise Discarded("CONFIRM of addresses that nothing can be said about")
    if on_link(addresses, networks):
        return StatusCode(Status.SUCCESS)
    return StatusCode(Status.NOT_ON_LINK, "not on this link")
