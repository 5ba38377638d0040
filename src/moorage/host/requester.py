"""The DHCPv6 client for typed prefixes (RFC 8415 section 18.2), as a core without I/O.

An *exchange* is one message and its retransmissions until the answer. Several run side by side,
told apart by their transaction ids. The caller sends what `Requester.poll` returns and feeds what
comes back to `Requester.receive`, which says what became of each association (one IA_PD each).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from random import Random

from moorage.host.retransmission import SCHEDULES, RateLimit, Retransmission
from moorage.identity import NO_LINK
from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    ClientId,
    ElapsedTime,
    IaPd,
    IaPrefix,
    Message,
    MessageType,
    OnDemand,
    Option,
    OptionRequest,
    PathMtu,
    Preference,
    RapidCommit,
    Refusal,
    RefusalReason,
    ServerId,
    ServiceTypeOf,
    SolMaxRt,
    Status,
    TimeAndLink,
    VendorOpts,
)

_HINT = IPv6Network("::/64")
_RATE = 10
_BEST_PREFERENCE = 255


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
    """The network no longer has this prefix for us."""

    association: Association
    interface: int


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A server without the service answered; ``given`` is what it gave and must get back."""

    association: Association
    interface: int
    server: bytes
    given: IPv6Network | None


Outcome = Granted | Refused | Lost | NotUnderstood


@dataclass(frozen=True, slots=True)
class NetworkTime:
    """The network's clock: microseconds since 1970 at our moment ``heard``."""

    time: int
    heard: float


@dataclass(frozen=True, slots=True)
class Transmission:
    """A message to sign and send on ``interface``.

    ``link_id`` names the link in the signature; ``network_time`` is the network's clock where it
    found ours wanting.
    """

    interface: int
    message: Message
    link_id: bytes
    network_time: NetworkTime | None


@dataclass(slots=True)
class _Exchange:
    type: MessageType
    interface: int
    transaction_id: int
    associations: tuple[Association, ...]
    clock: Retransmission
    server: bytes | None = None
    advertised: tuple[int, bytes] | None = None
    asked_for_link: bool = False


@dataclass(slots=True)
class _LinkState:
    link_id: bytes = NO_LINK
    time: NetworkTime | None = None
    rate: RateLimit = field(default_factory=lambda: RateLimit(_RATE, 1.0))


class Requester:
    """All exchanges of one host, on all of its interfaces."""

    def __init__(self, duid: bytes, random: Random) -> None:
        self._duid = duid
        self._random = random
        self._exchanges: dict[int, _Exchange] = {}
        self._links: dict[int, _LinkState] = {}

    def start(
        self,
        type_: MessageType,
        interface: int,
        associations: Iterable[Association],
        now: float,
        *,
        urgent: bool = False,
        server: bytes | None = None,
    ) -> None:
        """Start an exchange; its associations leave every other one that they were in."""
        wanted = tuple(associations)
        self.cancel(association.iaid for association in wanted)
        transaction_id = self._random.getrandbits(24)
        while transaction_id in self._exchanges:
            transaction_id = self._random.getrandbits(24)
        clock = Retransmission(SCHEDULES[type_], urgent, now, self._random)
        self._exchanges[transaction_id] = _Exchange(
            type_, interface, transaction_id, wanted, clock, server
        )

    def cancel(self, iaids: Iterable[int]) -> None:
        """Take the associations with these IAIDs out of whatever exchange they are in."""
        gone = frozenset(iaids)
        for exchange in list(self._exchanges.values()):
            self._keep(exchange, tuple(a for a in exchange.associations if a.iaid not in gone))

    def link_heard(self, interface: int, link_id: bytes) -> None:
        """Note the id of the link that ``interface`` is on, for later signatures."""
        self._link(interface).link_id = link_id

    def link_lost(self, interface: int) -> None:
        """Forget the link and every exchange on ``interface``."""
        self._links.pop(interface, None)
        for exchange in list(self._exchanges.values()):
            if exchange.interface == interface:
                del self._exchanges[exchange.transaction_id]

    def pending(self, iaid: int) -> tuple[MessageType, int] | None:
        """Return message type and interface of the exchange that holds ``iaid``."""
        for exchange in self._exchanges.values():
            if any(association.iaid == iaid for association in exchange.associations):
                return exchange.type, exchange.interface
        return None

    def next_timer(self) -> float | None:
        """Return when `poll` must be called at the latest."""
        return min((exchange.clock.due for exchange in self._exchanges.values()), default=None)

    def poll(self, now: float) -> list[Transmission]:
        """Return what must be sent now."""
        out = []
        for exchange in list(self._exchanges.values()):
            if exchange.clock.due > now:
                continue
            if exchange.clock.exhausted:
                if exchange.type is not MessageType.REQUEST:
                    del self._exchanges[exchange.transaction_id]
                    continue
                self._look_for_servers(exchange, now)
            link = self._link(exchange.interface)
            earliest = link.rate.earliest(now)
            if earliest > now:
                exchange.clock.due = earliest
                continue
            if exchange.advertised is not None:
                self._accept_advertised(exchange, now)
            link.rate.note(now)
            message = self._message(exchange, now)
            exchange.clock.sent(now)
            out.append(Transmission(exchange.interface, message, link.link_id, link.time))
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
        if client is None or client.duid != self._duid:
            return []
        ondemand = OnDemand.of(message)
        if self._answer_link_question(exchange, ondemand, now):
            return []
        if message.type is MessageType.ADVERTISE and exchange.type is MessageType.SOLICIT:
            return self._advertised(exchange, message, server.duid, ondemand, now)
        if message.type is not MessageType.REPLY:
            return []
        if exchange.type is MessageType.RELEASE:
            # Whatever its status, the prefix is no longer ours (RFC 8415 section 18.2.10.3).
            del self._exchanges[exchange.transaction_id]
            return []
        outcomes = []
        for association in exchange.associations:
            outcome = self._outcome(exchange, association, message, ondemand, source, server.duid)
            if outcome is not None:
                outcomes.append(outcome)
        self.cancel(outcome.association.iaid for outcome in outcomes)
        return outcomes

    # ---- building ------------------------------------------------------------------------------

    def _message(self, exchange: _Exchange, now: float) -> Message:
        elapsed = min(int((now - exchange.clock.started) * 100), 0xFFFF)
        options: list[Option] = [ClientId(self._duid), ElapsedTime(elapsed)]
        if exchange.server is not None:
            options.append(ServerId(exchange.server))
        if exchange.type is not MessageType.RELEASE:
            options.append(OptionRequest((VendorOpts.option_code, SolMaxRt.option_code)))
        if exchange.type is MessageType.SOLICIT:
            options.append(RapidCommit())
        for association in exchange.associations:
            prefix = IaPrefix(0, 0, association.prefix or _HINT, ())
            options.append(IaPd(association.iaid, 0, 0, (prefix,)))
        types = tuple(
            ServiceTypeOf(association.iaid, association.type)
            for association in exchange.associations
            if association.type is not None
        )
        options.append(OnDemand(types).to_option())
        return Message(exchange.type, exchange.transaction_id, tuple(options))

    # ---- answers -------------------------------------------------------------------------------

    def _answer_link_question(
        self, exchange: _Exchange, ondemand: OnDemand | None, now: float
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
        link = self._link(exchange.interface)
        link.link_id = answer.link_id
        link.time = NetworkTime(answer.time, now)
        exchange.clock.at_once(now)
        return True

    def _advertised(
        self,
        exchange: _Exchange,
        message: Message,
        server: bytes,
        ondemand: OnDemand | None,
        now: float,
    ) -> list[Outcome]:
        refusals: list[Outcome] = []
        for association in exchange.associations:
            ia = _ia(message, association.iaid)
            refusal = _refusal(ondemand, association, ia)
            if refusal is not None:
                refusals.append(Refused(association, exchange.interface, refusal))
        if refusals:
            self.cancel(outcome.association.iaid for outcome in refusals)
            return refusals
        preference = message.first(Preference)
        value = preference.value if preference is not None else 0
        if exchange.advertised is None or value > exchange.advertised[0]:
            exchange.advertised = (value, server)
        if value == _BEST_PREFERENCE:
            exchange.clock.at_once(now)
        return []

    def _accept_advertised(self, exchange: _Exchange, now: float) -> None:
        """Turn a Solicit into the Request to the best server heard (RFC 8415 18.2.9)."""
        assert exchange.advertised is not None
        exchange.type = MessageType.REQUEST
        exchange.server = exchange.advertised[1]
        exchange.advertised = None
        exchange.clock = Retransmission(
            SCHEDULES[MessageType.REQUEST], urgent=True, now=now, random=self._random
        )

    def _look_for_servers(self, exchange: _Exchange, now: float) -> None:
        """Turn a Request that its server does not answer into a Solicit (RFC 8415 18.2.2)."""
        exchange.type = MessageType.SOLICIT
        exchange.server = None
        exchange.clock = Retransmission(
            SCHEDULES[MessageType.SOLICIT], urgent=False, now=now, random=self._random
        )

    def _outcome(
        self,
        exchange: _Exchange,
        association: Association,
        message: Message,
        ondemand: OnDemand | None,
        router: IPv6Address,
        server: bytes,
    ) -> Outcome | None:
        interface = exchange.interface
        ia = _ia(message, association.iaid)
        refusal = _refusal(ondemand, association, ia)
        if refusal is RefusalReason.TRY_LATER and exchange.type is MessageType.REBIND:
            return None  # the retransmission is the later try
        if refusal is not None:
            return Refused(association, interface, refusal)
        if ia is None:
            return None
        given = _given(ia, association)
        if ondemand is None:
            # Of our prefixes a server of another network knows nothing, whatever it says.
            return NotUnderstood(
                association, interface, server, given.prefix if given is not None else None
            )
        if ia.status is not None and ia.status.code == Status.NO_BINDING:
            return Lost(association, interface)
        if given is None:
            return None
        if given.valid == 0:
            return Lost(association, interface)
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

    # ---- bookkeeping ---------------------------------------------------------------------------

    def _link(self, interface: int) -> _LinkState:
        return self._links.setdefault(interface, _LinkState())

    def _keep(self, exchange: _Exchange, associations: tuple[Association, ...]) -> None:
        exchange.associations = associations
        if not associations:
            self._exchanges.pop(exchange.transaction_id, None)


def _ia(message: Message, iaid: int) -> IaPd | None:
    return next((ia for ia in message.every(IaPd) if ia.iaid == iaid), None)


def _given(ia: IaPd, association: Association) -> IaPrefix | None:
    """Return the prefix that ``ia`` is about: ours, if it is there, else the first."""
    ours = (prefix for prefix in ia.prefixes if prefix.prefix == association.prefix)
    return next(ours, None) or next(iter(ia.prefixes), None)


def _refusal(
    ondemand: OnDemand | None, association: Association, ia: IaPd | None
) -> RefusalReason | None:
    """Return why this association was refused, or none if it was not."""
    if ondemand is None:
        return None
    said = ondemand.for_iaid(Refusal, association.iaid)
    if said is not None:
        return said.reason
    if ia is not None and ia.status is not None and ia.status.code == Status.NO_PREFIX_AVAIL:
        return RefusalReason.POOL_FULL
    return None
