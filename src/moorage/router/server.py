"""From a datagram to the answer: decode, examine, decide, commit, answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Network
from secrets import token_bytes
from time import perf_counter
from typing import Final, Protocol

from moorage.complaints import Complaints
from moorage.router.account import Account, Phase
from moorage.router.answers import use_multicast
from moorage.router.authority import Rejected, examine
from moorage.router.config import AccessLink, RouterConfig
from moorage.router.delegation import Decision, decide, postpone
from moorage.router.inbox import Arrival
from moorage.router.leases import Situation
from moorage.router.mirror import Mirror
from moorage.router.reconfigure import ReconfigureKeys
from moorage.router.reconfigurer import Reconfigurer
from moorage.router.relaying import Relayed, unwrap
from moorage.router.request import Request
from moorage.router.segments import Place, Segments
from moorage.router.supply import Prefixes
from moorage.router.terms import Terms
from moorage.router.validation import UNICAST, Discarded, Unicast, admit
from moorage.service import ServiceType
from moorage.store.model import Binding
from moorage.store.protocol import BindingStore, Change, Conflict, Fenced, Mismatch, StoreError
from moorage.wire.dhcp6 import (
    ClientId,
    Message,
    MessageType,
    OnDemand,
    Relay,
    WireError,
    client_of,
    decode_message,
)

_ATTEMPTS: Final = 5
_PATIENCE: Final = 60.0
"""Seconds after its hold that a keyless client's first question is remembered."""
_WAITING: Final = 1024
"""Prefixes at most whose keyless clients are remembered to wait."""
_LONGEST: Final = 8192
"""Bytes of a message that has any sense; the answer to it is a few times as long at most."""
_WITHOUT_BINDINGS: Final = frozenset({MessageType.CONFIRM, MessageType.INFORMATION_REQUEST})
_SECRET: Final = 16


class Follower(Protocol):
    """Makes the kernel follow what the server commits."""

    def prepare(self, changes: Sequence[Change]) -> None:
        """Be ready: others may hear of the changes, and act, before `committed` is called."""

    def committed(self, commits: Sequence[tuple[int, Sequence[Change]]]) -> None:
        """Follow commits that are in the store, by revision, before the answers leave."""

    def abandoned(self, changes: Sequence[Change]) -> None:
        """Undo what was prepared: the changes are not in the store."""


@dataclass(slots=True)
class Draft:
    """What was decided about a message.

    Attributes:
        link: by which the message came.
        arrival: as it came.
        relayed: what relay agents have put around it.
        request: what it asks for.
        decision: what is to be done, and answered.
        decided: when that was decided, seconds since 1970.
        settled: the store agrees, or need not be asked.
        rivals: prefixes that turned out to be somebody else's.
        fenced: our pool turned out to be held by another router.
    """

    link: AccessLink
    arrival: Arrival
    relayed: Relayed | None
    request: Request
    decision: Decision
    decided: float
    settled: bool = False
    rivals: set[IPv6Network] = field(default_factory=set)
    fenced: bool = False


class DelegationServer:
    """Answers DHCPv6 messages with what the store holds.

    Args:
        config: the router.
        store: the bindings.
        mirror: what is known of them.
        follower: makes the kernel follow, so that the client can send when it has its answer.
        complaints: told of messages that are dropped.
        account: where our work is written down.
        clock: seconds since 1970.
        keys: the reconfigure keys; None: no client is reconfigured.

    Attributes:
        reconfigurer: asks clients to come back.
    """

    def __init__(
        self,
        config: RouterConfig,
        store: BindingStore,
        mirror: Mirror,
        follower: Follower,
        complaints: Complaints,
        account: Account,
        clock: Callable[[], float] = time.time,
        keys: ReconfigureKeys | None = None,
    ) -> None:
        self.reconfigurer = Reconfigurer(config, mirror, keys, clock)
        self._config = config
        self._terms = Terms.of(config)
        self._store = store
        self._mirror = mirror
        self._follower = follower
        self._complaints = complaints
        self._account = account
        self._clock = clock
        self._keys = keys
        self._segments = Segments(config, token_bytes(_SECRET))
        self._prefixes = Prefixes(config.pool, config.prefix_lengths, config.id)
        self._waiting: dict[IPv6Network, float] = {}

    def reconfigure(self, config: RouterConfig) -> None:
        """Go by another configuration from now on."""
        self._config = config
        self._terms = Terms.of(config)

    def listed(self, bindings: Iterable[Binding]) -> None:
        """Know what there is, for the first time or anew."""
        self._prefixes.keep_off(binding.prefix for binding in bindings)

    def sender(self, datagram: bytes) -> tuple[bytes, bool]:
        """Return the DUID in a datagram (empty: there is none) and whether it has a binding."""
        client = client_of(datagram) or b""
        return client, bool(self._mirror.holdings.of_client(client))

    def draft(self, link: AccessLink, arrival: Arrival) -> Draft | bytes | None:
        """Decide about a datagram that came by ``link``, upon what is known.

        Returns the answer if it may leave at once, a draft for `settle` if the store has to agree,
        None if nothing is to be answered.
        """
        started = perf_counter()
        try:
            relayed, message, place = self._open(link, arrival)
            if arrival.unicast and relayed is None:
                return self._answer_unicast(message)
            request = self._read(relayed, message, place, arrival)
            if isinstance(request.standing, Rejected):
                self._complain("DHCPv6 signature", link, arrival, request.standing.why)
            self.reconfigurer.heard(request.client, message.type)
            now = self._clock()
            bindings = self._mirror.of_client(request.client)
            decision = self._decide(request, bindings, (), self._epoch, now)
        except WireError as error:
            self._complain("malformed DHCPv6 message", link, arrival, error)
        except Discarded as error:
            self._complain("DHCPv6 message", link, arrival, error)
        else:
            self._account.took(Phase.DECIDE, started)
            draft = Draft(link, arrival, relayed, request, decision, now)
            draft.settled = not decision.changes and _needs_no_store(decision, message.type)
            return self._answer(draft) if draft.settled else draft
        return None

    async def settle(self, drafts: Sequence[Draft]) -> list[bytes | None]:
        """Return the answers, where there are any, once what they say is on the disk.

        The store confirms what was decided when it takes the changes. What it does not take is
        decided anew, upon what it has; and so is what changes nothing, since it may know more.
        While it does not answer, nobody gets anything new.
        """
        left = list(drafts)
        try:
            for _ in range(_ATTEMPTS):
                await self._commit([draft for draft in left if draft.decision.changes])
                left = [draft for draft in left if not draft.settled]
                left = [draft for draft in left if await self._again(draft)]
                if not left:
                    break
            for draft in left:
                why = "others are changing the same bindings"
                self._complain("DHCPv6 message", draft.link, draft.arrival, why)
        except StoreError as error:
            for draft in left:
                if not draft.settled:
                    self._complaints.complain("DHCPv6 message", "everybody", error)
                    draft.decided = self._clock()
                    situation = self._situation((), (), None, draft.decided)
                    draft.decision = postpone(draft.request, situation)
                    draft.settled = True
        return [self._answer(draft) if draft.settled else None for draft in drafts]

    def _answer(self, draft: Draft) -> bytes | None:
        """Return the datagram that tells what was decided."""
        request, decision = draft.request, draft.decision
        self._remember(decision.waiting, draft.decided)
        for refused in decision.refused:
            link = draft.link.interface
            self._account.refused(request.client, refused.type, refused.reason, link)
        if decision.reply is None:
            self._account.postponed += 1
            return None
        self._account.answered[request.message.type] += 1
        started = perf_counter()
        reply = decision.reply.encode()
        if draft.relayed is not None:
            reply = draft.relayed.reply(reply)
        self._account.took(Phase.REPLY, started)
        return reply

    def _complain(self, kind: str, link: AccessLink, arrival: Arrival, why: object) -> None:
        self._complaints.complain(kind, f"{arrival.source} on {link.interface}", why)

    def _open(self, link: AccessLink, arrival: Arrival) -> tuple[Relayed | None, Message, Place]:
        """Return what relay agents have put around a client's message, it, and its place."""
        if len(arrival.data) > _LONGEST:
            raise Discarded(f"longer than {_LONGEST} bytes")
        found = decode_message(arrival.data)
        if isinstance(found, Relay):
            relayed = unwrap(found)
            message = admit(relayed.message, self._terms.server_duid)
            return relayed, message, self._segments.behind(link, arrival.source, relayed)
        place = self._segments.on(link, arrival.source)
        return None, admit(found, self._terms.server_duid), place

    def _answer_unicast(self, message: Message) -> bytes:
        if UNICAST[message.type] is Unicast.DISCARDED:
            raise Discarded(f"{message.type.name} to one server alone")
        self._account.answered[message.type] += 1
        return use_multicast(message, self._terms.server_duid).encode()

    def _read(
        self, relayed: Relayed | None, message: Message, place: Place, arrival: Arrival
    ) -> Request:
        on_demand = OnDemand.of(message)
        client = message.first(ClientId)
        datagram, source = arrival.data, arrival.source
        if relayed is not None:
            datagram, source = relayed.datagram, relayed.client
        return Request(
            message=message,
            client=client.duid if client is not None else b"",
            on_demand=on_demand,
            place=place,
            standing=examine(datagram, message, on_demand, source, place.segment.id, self._clock()),
        )

    def _decide(
        self,
        request: Request,
        bindings: Sequence[Binding],
        rivals: Container[IPv6Network],
        epoch: int | None,
        now: float,
    ) -> Decision:
        """Decide upon the bindings of the client; others have the prefixes of ``rivals``.

        ``epoch`` is that of our pool, None if another router holds it.
        """
        return decide(request, self._situation(bindings, rivals, epoch, now))

    def _situation(
        self,
        bindings: Sequence[Binding],
        rivals: Container[IPv6Network],
        epoch: int | None,
        now: float,
    ) -> Situation:
        def taken(prefix: IPv6Network) -> bool:
            return prefix in self._mirror or prefix in rivals

        return Situation(
            config=self._config,
            terms=self._terms,
            bindings=tuple(bindings),
            taken=taken,
            prefixes=self._prefixes,
            epoch=epoch,
            given=self._given,
            keys=self._keys,
            waiting=self._waiting,
            now=now,
        )

    @property
    def _epoch(self) -> int | None:
        return self._mirror.epoch(self._config.id)

    def _given(self, kind: ServiceType | None) -> int:
        return self._mirror.holdings.given(self._config.id, kind)

    async def _commit(self, drafts: Sequence[Draft]) -> None:
        """Commit what was decided, each for itself, and have the kernel follow.

        A draft that somebody else was faster than is not settled.
        """
        if not drafts:
            return
        started = perf_counter()
        changes = [change for draft in drafts for change in draft.decision.changes]
        self._follower.prepare(changes)
        prepared = perf_counter()
        try:
            outcomes = await self._store.commit_each([draft.decision.changes for draft in drafts])
        except StoreError:
            self._follower.abandoned(changes)
            raise
        committed = self._account.took(Phase.COMMIT, prepared)
        commits: list[tuple[int, Sequence[Change]]] = []
        for draft, outcome in zip(drafts, outcomes, strict=True):
            if isinstance(outcome, Conflict):
                self._follower.abandoned(draft.decision.changes)
                if isinstance(outcome, Mismatch):
                    draft.rivals.add(outcome.prefix)
                draft.fenced |= isinstance(outcome, Fenced)
            else:
                draft.settled = True
                commits.append((outcome, draft.decision.changes))
        self._follower.committed(commits)
        self._account.took(Phase.KERNEL, committed - (prepared - started))

    async def _again(self, draft: Draft) -> bool:
        """Decide upon what the store has; whether that leads to changes."""
        bindings = await self._store.of_client(draft.request.client)
        started = perf_counter()
        draft.decided = self._clock()
        try:
            epoch = None if draft.fenced else self._epoch
            decided = self._decide(draft.request, bindings, draft.rivals, epoch, draft.decided)
            draft.decision = decided
        except Discarded as error:
            self._complain("DHCPv6 message", draft.link, draft.arrival, error)
            return False
        self._account.took(Phase.DECIDE, started)
        draft.settled = not draft.decision.changes
        return not draft.settled

    def _remember(self, waiting: frozenset[IPv6Network], now: float) -> None:
        """Note since when keyless clients have been asking."""
        if not waiting:
            return
        oldest = now - self._config.hold - _PATIENCE
        self._waiting = {prefix: since for prefix, since in self._waiting.items() if since > oldest}
        for prefix in waiting:
            if len(self._waiting) < _WAITING:
                self._waiting.setdefault(prefix, now)


def _needs_no_store(decision: Decision, asked: MessageType) -> bool:
    """Whether a decision that changes nothing is right whatever the store knows: a mere offer."""
    offers = decision.reply is not None and decision.reply.type is MessageType.ADVERTISE
    return offers or asked in _WITHOUT_BINDINGS
