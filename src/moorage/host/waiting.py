"""Applications that wait in `setsc()`, and how long (``docs/protocol.md``)."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from ipaddress import IPv6Address

from moorage.host.actions import Answer
from moorage.host.admission import Judgement
from moorage.numbers import EAI_REQUIREDIPFAILED, EAI_REQUIREDIPNOTSUPPORTED
from moorage.service import ServiceType
from moorage.wire.app import Reason, Reply

_UNSUPPORTED = frozenset({Reason.TYPE_NOT_OFFERED, Reason.NO_SERVICE, Reason.NO_HOOKS})
_NO_ADDRESS = IPv6Address(0)


@dataclass(slots=True)
class Waiter:
    """A request of an application; times are seconds on the core's clock.

    Attributes:
        judgement: by what right it waits.
        type: the type that it is to get; none: the network's choice.
        fresh: whether only an address will do that is new (ON_NET, draft section 6.2).
        lifetime: seconds to which the application limits the address, if it does.
        iaid: the lease that it waits for, or none if it waits for an ordinary address.
        holds: whether it keeps the address, without a socket, for as long as it is connected.
    """

    client: Hashable
    id: int
    judgement: Judgement
    type: ServiceType | None
    support_deadline: float
    deadline: float
    fresh: bool = False
    lifetime: int | None = None
    iaid: int | None = None
    holds: bool = False

    @property
    def cookie(self) -> int | None:
        """The cookie of its socket, or none if it only holds an address."""
        return self.judgement.cookie

    @property
    def permitted(self) -> frozenset[ServiceType]:
        """The types that it may have."""
        return self.judgement.decision.permitted

    @property
    def needs_service(self) -> bool:
        """Whether it waits for what only a network with the service gives."""
        return self.iaid is not None

    def granted(self, address: IPv6Address, valid_for: float) -> Answer:
        """Return the answer that gives ``address``, valid for so many seconds."""
        seconds = int(max(0, min(valid_for, 0xFFFF_FFFF)))
        return self._answer(Reply(self.id, 0, Reason.NONE, address, seconds))

    def refused(self, reason: Reason) -> Answer:
        """Return the answer that refuses, with the draft's error code for ``reason``."""
        return self._answer(refusal(self.client, self.id, reason).reply)

    def _answer(self, reply: Reply) -> Answer:
        self.judgement.answer = reply
        return Answer(self.client, reply)


def refusal(client: Hashable, request: int, reason: Reason) -> Answer:
    """Return the answer that refuses a request, with the draft's error code for ``reason``."""
    status = EAI_REQUIREDIPNOTSUPPORTED if reason in _UNSUPPORTED else EAI_REQUIREDIPFAILED
    return Answer(client, Reply(request, status, reason, _NO_ADDRESS, 0))


class Waiting:
    """Everybody who waits."""

    def __init__(self) -> None:
        self._waiters: list[Waiter] = []

    def __len__(self) -> int:
        return len(self._waiters)

    def add(self, waiter: Waiter) -> None:
        """Let one more wait."""
        self._waiters.append(waiter)

    def take(self, iaid: int | None) -> list[Waiter]:
        """Remove and return those who wait for a lease (none: for an ordinary address)."""
        taken = [waiter for waiter in self._waiters if waiter.iaid == iaid]
        self._waiters = [waiter for waiter in self._waiters if waiter.iaid != iaid]
        return taken

    def awaits(self, iaid: int) -> bool:
        """Whether anybody waits for a lease."""
        return any(waiter.iaid == iaid for waiter in self._waiters)

    def waits(self, client: Hashable) -> bool:
        """Whether a client waits for anything."""
        return any(waiter.client == client for waiter in self._waiters)

    def forget(self, client: Hashable) -> None:
        """Remove everything that a client asked for."""
        self._waiters = [waiter for waiter in self._waiters if waiter.client != client]

    def socket_closed(self, cookie: int) -> None:
        """Remove what was asked for a socket that has ended."""
        self._waiters = [waiter for waiter in self._waiters if waiter.cookie != cookie]

    def expired(
        self, now: float, service_known: Callable[[ServiceType | None], bool]
    ) -> list[tuple[Waiter, Reason]]:
        """Remove and return those who have waited long enough, and why they fail.

        ``service_known`` says whether a network that may give a type has shown that it knows the
        service.
        """
        out: list[tuple[Waiter, Reason]] = []
        for waiter in self._waiters:
            in_vain = waiter.needs_service and not service_known(waiter.type)
            if in_vain and now >= waiter.support_deadline:
                out.append((waiter, Reason.NO_SERVICE))
            elif now >= waiter.deadline:
                out.append((waiter, Reason.TIMEOUT))
        over = [waiter for waiter, _ in out]
        self._waiters = [waiter for waiter in self._waiters if waiter not in over]
        return out

    def next_timer(self, service_known: Callable[[ServiceType | None], bool]) -> float | None:
        """Return when the next one has waited long enough; see `expired`."""
        return min(
            (
                min(waiter.deadline, waiter.support_deadline)
                if waiter.needs_service and not service_known(waiter.type)
                else waiter.deadline
                for waiter in self._waiters
            ),
            default=None,
        )
