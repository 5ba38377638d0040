"""The DHCPv6 client for typed prefixes (RFC 8415 section 18.2), as a core without I/O.

An *exchange* is one message and its retransmissions until the answer. Several run side by side,
told apart by their transaction ids. The caller sends what `Requester.poll` returns and feeds what
comes back to `Requester.receive`, which says what became of each association (one IA_PD each).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv6Address
from random import Random

from moorage.host.exchange import Exchange, Offer
from moorage.host.outcome import (
    Association,
    Lost,
    NotUnderstood,
    Outcome,
    Refused,
    Released,
    offered,
    outcome,
    refusal,
)
from moorage.host.retransmission import SCHEDULES, Retransmission
from moorage.host.transmission import LinkState, NetworkTime, Transmission
from moorage.wire.dhcp6 import (
    ClientId,
    Message,
    MessageType,
    NetworkPolicy,
    OnDemand,
    Preference,
    RapidCommit,
    Refusal,
    RefusalReason,
    ServerId,
    TimeAndLink,
)

_BEST_PREFERENCE = 255


DuidOf = Callable[[bytes], bytes]
"""By what DUID the host is known in a network domain."""


class Requester:
    """All DHCPv6 exchanges of the host."""

    def __init__(self, duid_of: DuidOf, random: Random) -> None:
        self._duid_of = duid_of
        self._random = random
        self._exchanges: dict[int, Exchange] = {}
        self._links: dict[int, LinkState] = {}

    def start(
        self,
        type_: MessageType,
        interface: int,
        associations: Iterable[Association],
        now: float,
        *,
        domain: bytes,
        urgent: bool = False,
        server: bytes | None = None,
    ) -> None:
        """Start an exchange; its associations leave every other one that they were in.

        ``domain`` is that of the network whose prefixes these are.
        """
        wanted = tuple(associations)
        self.cancel(association.iaid for association in wanted)
        clock = Retransmission(SCHEDULES[type_], urgent, now, self._random)
        exchange = Exchange(type_, interface, domain, self._new_id(), wanted, clock, server)
        self._exchanges[exchange.transaction_id] = exchange

    def hand_back(
        self, interface: int, domain: bytes, association: Association, server: bytes, now: float
    ) -> None:
        """Release what a server gave that we do not take, whatever else is asked for meanwhile."""
        clock = Retransmission(SCHEDULES[MessageType.RELEASE], False, now, self._random)
        exchange = Exchange(
            MessageType.RELEASE,
            interface,
            domain,
            self._new_id(),
            (association,),
            clock,
            server,
            beside=True,
        )
        self._exchanges[exchange.transaction_id] = exchange

    def ask_policy(self, interface: int, domain: bytes, now: float) -> None:
        """Ask what the network dictates by an Information-request, if nothing else is under way.

        Every answer says it, so a question of its own is needed on a link where we want nothing.
        """
        if any(exchange.interface == interface for exchange in self._exchanges.values()):
            return
        clock = Retransmission(SCHEDULES[MessageType.INFORMATION_REQUEST], True, now, self._random)
        exchange = Exchange(
            MessageType.INFORMATION_REQUEST,
            interface,
            domain,
            self._new_id(),
            (),
            clock,
            beside=True,
        )
        self._exchanges[exchange.transaction_id] = exchange

    def policy_known(self, interface: int) -> bool:
        """Whether a server that knows the service has answered on the link of ``interface``."""
        return self._link(interface).policy_known

    def policy(self, interface: int) -> NetworkPolicy | None:
        """Return what the last such server dictated, if it dictated anything."""
        return self._link(interface).policy

    def cancel(self, iaids: Iterable[int]) -> None:
        """Take the associations with these IAIDs out of whatever exchange they are in."""
        gone = frozenset(iaids)
        for exchange in list(self._exchanges.values()):
            if not exchange.beside:
                self._keep(exchange, tuple(a for a in exchange.associations if a.iaid not in gone))

    def link_heard(self, interface: int, link_id: bytes, now: float) -> None:
        """Note the id of the link that ``interface`` is on, for later signatures."""
        link = self._link(interface)
        link.link_id, link.knows_service, link.announced = link_id, True, True
        for exchange in self._exchanges.values():
            if exchange.interface == interface and exchange.doubted:
                exchange.doubted = False
                exchange.clock.at_once(now)

    def link_lost(self, interface: int) -> None:
        """Forget the link and every exchange on ``interface``."""
        self._links.pop(interface, None)
        for exchange in list(self._exchanges.values()):
            if exchange.interface == interface:
                del self._exchanges[exchange.transaction_id]

    def pending(self, iaid: int) -> tuple[MessageType, int] | None:
        """Return message type and interface of the exchange that holds ``iaid``."""
        for exchange in self._exchanges.values():
            if exchange.beside:
                continue
            if any(association.iaid == iaid for association in exchange.associations):
                return exchange.type, exchange.interface
        return None

    def releases(self, iaid: int) -> bool:
        """Whether a prefix with this IAID is being given back."""
        return any(
            exchange.type is MessageType.RELEASE
            and any(association.iaid == iaid for association in exchange.associations)
            for exchange in self._exchanges.values()
        )

    def rebinds(self, interface: int) -> bool:
        """Whether a Rebind on ``interface`` waits for its answer."""
        return any(
            exchange.type is MessageType.REBIND and exchange.interface == interface
            for exchange in self._exchanges.values()
        )

    def next_timer(self) -> float | None:
        """Return when `settle` and `poll` must be called at the latest."""
        return min((exchange.clock.due for exchange in self._exchanges.values()), default=None)

    def settle(self, now: float) -> list[Outcome]:
        """Decide the Solicits for which the time to collect offers is over, and give up Releases.

        A Solicit with an offer to take becomes a Request (RFC 8415 section 18.2.9); one that was
        only refused has failed.
        """
        outcomes: list[Outcome] = []
        for exchange in list(self._exchanges.values()):
            if exchange.clock.due > now:
                continue
            if exchange.offers:
                outcomes += self._choose(exchange, now)
            elif exchange.type is MessageType.RELEASE and exchange.clock.exhausted:
                outcomes += self._released(exchange)
        return outcomes

    def poll(self, now: float) -> list[Transmission]:
        """Return what must be sent now."""
        out = []
        for exchange in list(self._exchanges.values()):
            if exchange.clock.due > now or exchange.offers:
                continue
            if exchange.clock.exhausted:
                if exchange.type is not MessageType.REQUEST:
                    continue  # a Release, which `settle` gives up
                # Its server does not answer: look for others (RFC 8415 section 18.2.2).
                exchange = self._become(exchange, MessageType.SOLICIT, None, now)
            link = self._link(exchange.interface)
            earliest = link.rate.earliest(now)
            if earliest > now:
                exchange.clock.due = earliest
                continue
            link.rate.note(now)
            message = exchange.message(self._duid_of(exchange.domain), now)
            exchange.clock.sent(now)
            out.append(
                Transmission(exchange.interface, message, exchange.domain, link.link_id, link.time)
            )
        return out

    def receive(
        self, interface: int, source: IPv6Address, message: Message, now: float
    ) -> list[Outcome]:
        """Return what a server's ``message`` from ``source`` means; nothing if it is not for us.

        Raises:
            WireError: our option in it is malformed.
        """
        exchange = self._exchanges.get(message.transaction_id)
        client, server = message.first(ClientId), message.first(ServerId)
        if exchange is None or exchange.interface != interface or server is None:
            return []
        if client is None or client.duid != self._duid_of(exchange.domain):
            return []
        ondemand = OnDemand.of(message)
        if ondemand is not None:
            link = self._link(interface)
            link.knows_service = link.policy_known = True
            link.policy = ondemand.first(NetworkPolicy)
        if self._answer_link_question(exchange, ondemand, now):
            return []
        if message.type is MessageType.ADVERTISE and exchange.type is MessageType.SOLICIT:
            return self._advertised(exchange, message, server.duid, ondemand, now)
        if message.type is not MessageType.REPLY:
            return []
        if exchange.type is MessageType.RELEASE:
            # Whatever its status, the prefix is no longer ours (RFC 8415 section 18.2.10.3).
            return self._released(exchange)
        if exchange.type is MessageType.INFORMATION_REQUEST:
            if ondemand is not None:
                del self._exchanges[exchange.transaction_id]
            return []
        if exchange.type is MessageType.SOLICIT and message.first(RapidCommit) is None:
            return []  # RFC 8415 section 18.2.1
        if ondemand is None:
            return self._not_understood(exchange, message, server.duid, now)
        found = (
            outcome(association, interface, message, ondemand, source, server.duid)
            for association in exchange.associations
        )
        outcomes = [each for each in found if each is not None and not self._later(exchange, each)]
        self.cancel(each.association.iaid for each in outcomes)
        return outcomes

    # ---- answers -------------------------------------------------------------------------------

    def _answer_link_question(
        self, exchange: Exchange, ondemand: OnDemand | None, now: float
    ) -> bool:
        """Sign again at once if the router asks for its link id or has another time."""
        if ondemand is None or exchange.asked_for_link:
            return False
        answer = ondemand.first(TimeAndLink)
        refused = any(
            ondemand.for_iaid(Refusal, association.iaid) is not None
            for association in exchange.associations
        )
        if answer is None or not refused:
            return False
        exchange.asked_for_link = True
        # A new transaction: another router may have acted on the message that this one refused, and
        # of the two it is the one to act on the new message that serves.
        del self._exchanges[exchange.transaction_id]
        exchange.transaction_id = self._new_id()
        self._exchanges[exchange.transaction_id] = exchange
        link = self._link(exchange.interface)
        link.link_id = answer.link_id
        link.time = NetworkTime(answer.time, now)
        exchange.clock.at_once(now)
        return True

    def _advertised(
        self,
        exchange: Exchange,
        message: Message,
        server: bytes,
        ondemand: OnDemand | None,
        now: float,
    ) -> list[Outcome]:
        preference = message.first(Preference)
        refusals = {
            association: why
            for association in exchange.associations
            if (why := refusal(ondemand, association, message)) is not None
        }
        value = preference.value if preference is not None else 0
        offer = Offer(server, value, ondemand is not None, refusals)
        exchange.offers.append(offer)
        if exchange.clock.repeated or (offer.gives and value == _BEST_PREFERENCE):
            return self._choose(exchange, now)
        return []

    def _choose(self, exchange: Exchange, now: float) -> list[Outcome]:
        """Take the best offer, or say why there is none to take."""
        best = exchange.best_offer
        if best is not None:
            self._become(exchange, MessageType.REQUEST, best.server, now)
            return []
        outcomes: list[Outcome] = [
            Refused(association, exchange.interface, why)
            for offer in exchange.offers
            for association, why in offer.refusals.items()
            if association in exchange.associations
        ]
        if not outcomes:
            if self._link(exchange.interface).knows_service:
                # Somebody here knows the service, and has not answered yet.
                exchange.offers.clear()
                return []
            server = exchange.offers[0].server
            outcomes = [
                NotUnderstood(association, exchange.interface, server, None, alone=True)
                for association in exchange.associations
            ]
        self.cancel(each.association.iaid for each in outcomes)
        return outcomes

    def _not_understood(
        self, exchange: Exchange, message: Message, server: bytes, now: float
    ) -> list[Outcome]:
        """Of our prefixes a server of another network knows nothing, whatever it says.

        Who holds a prefix, or knows that somebody else on the link knows the service, goes on
        asking, but more slowly.
        """
        anew = exchange.type in _ASKING_ANEW
        alone = not self._link(exchange.interface).knows_service
        outcomes: list[Outcome] = []
        for association in exchange.associations:
            given = offered(message, association) if anew else None
            if alone or given is not None:
                outcomes.append(
                    NotUnderstood(association, exchange.interface, server, given, alone)
                )
        if alone and anew:
            self.cancel(each.association.iaid for each in outcomes)
        else:
            exchange.clock.relax(now)
        return outcomes

    def _released(self, exchange: Exchange) -> list[Outcome]:
        del self._exchanges[exchange.transaction_id]
        return [Released(each, exchange.interface) for each in exchange.associations]

    def _later(self, exchange: Exchange, found: Outcome) -> bool:
        """Whether a Rebind is to come again later: its retransmission is the later try.

        A network that has not said which one it is may be another than the one that gave the
        prefix, and know nothing of it.
        """
        if exchange.type is not MessageType.REBIND:
            return False
        if isinstance(found, Refused):
            return found.reason is RefusalReason.TRY_LATER
        strange = bool(exchange.domain) and not self._link(exchange.interface).announced
        if not (strange and isinstance(found, Lost)):
            return False
        exchange.doubted = True
        return True

    # ---- bookkeeping ---------------------------------------------------------------------------

    def _become(
        self, exchange: Exchange, type_: MessageType, server: bytes | None, now: float
    ) -> Exchange:
        """Go on with another message, which is another transaction (RFC 8415 section 16.1)."""
        del self._exchanges[exchange.transaction_id]
        urgent = type_ is MessageType.REQUEST
        clock = Retransmission(SCHEDULES[type_], urgent, now, self._random)
        associations, interface = exchange.associations, exchange.interface
        domain = exchange.domain
        new = Exchange(type_, interface, domain, self._new_id(), associations, clock, server)
        self._exchanges[new.transaction_id] = new
        return new

    def _new_id(self) -> int:
        transaction_id = self._random.getrandbits(24)
        while transaction_id in self._exchanges:
            transaction_id = self._random.getrandbits(24)
        return transaction_id

    def _link(self, interface: int) -> LinkState:
        return self._links.setdefault(interface, LinkState())

    def _keep(self, exchange: Exchange, associations: tuple[Association, ...]) -> None:
        exchange.associations = associations
        if not associations:
            self._exchanges.pop(exchange.transaction_id, None)


_ASKING_ANEW = frozenset({MessageType.SOLICIT, MessageType.REQUEST})
