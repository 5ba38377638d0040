"""Programs that get an address of a type without asking: which one it is at every moment.

One that is run with a type has one for as long as it runs. All programs in a control group to which
a rule gives a type are as one here. An address that is over gives way as it does where a program
asks again: make before break, so the old one is theirs until there is another.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import IPv6Address
from math import inf

from moorage.host.actions import Action, Answer, Steer
from moorage.host.caller import Caller
from moorage.host.demand import Demand
from moorage.host.known import Known
from moorage.host.lease import Lease
from moorage.host.nonpersistent import NonPersistent
from moorage.host.occupancy import Occupancy
from moorage.host.renewal import Renewal
from moorage.service import ServiceType
from moorage.wire.app import Reason, Reply, Request

_PAUSE = 1.0
"""Seconds until an address may be asked for that was refused; twice as many after each time ..."""
_LONGEST_PAUSE = 60.0
"""... until it is so many."""


@dataclass(slots=True)
class _Program:
    """A program; moments are seconds on the core's clock.

    Attributes:
        caller: who started it.
        request: what he asked for.
        address: what its sockets get; none: it has none yet.
        told: what the shell knows of that; none where the address is no longer there.
        answered: whether its request was answered, and it asks again by itself.
        ask_at: when another address may be asked for.
        pause: the time until then at the next refusal.
    """

    caller: Caller
    request: Request
    address: IPv6Address | None = None
    told: IPv6Address | None = None
    answered: bool = False
    ask_at: float = 0.0
    pause: float = _PAUSE


class Defaults:
    """Finds addresses for programs, and tells the shell."""

    def __init__(
        self,
        known: Known,
        demand: Demand,
        occupancy: Occupancy,
        renewal: Renewal,
        nonpersistent: NonPersistent,
    ) -> None:
        self._known = known
        self._demand = demand
        self._occupancy = occupancy
        self._renewal = renewal
        self._nonpersistent = nonpersistent
        self._programs: dict[Hashable, _Program] = {}

    def begin(self, client: Hashable, caller: Caller, request: Request, now: float) -> None:
        """Take in a program; its request is answered as any other is."""
        program = self._programs[client] = _Program(caller, request)
        self._ask(client, program, now)

    def end(self, client: Hashable) -> None:
        """Forget a program."""
        self._programs.pop(client, None)

    def poll(self, now: float) -> None:
        """Ask for what takes the place of addresses that are over; let go of those left behind."""
        for client, program in list(self._programs.items()):
            for lease in self._left_behind(client, program):
                self._occupancy.let_go(client, lease, now)
            if now >= self._due(client, program):
                self._ask(client, program, now)

    def next_timer(self) -> float | None:
        """Return when `poll` must be called at the latest."""
        times = [self._due(client, program) for client, program in self._programs.items()]
        return min((time for time in times if time < inf), default=None)

    def settle(self) -> None:
        """Take in what was decided for programs, and tell the shell what is new of it."""
        if not self._programs:
            return
        self._known.out = [action for action in self._known.out if not self._takes(action)]
        for client, program in self._programs.items():
            present = program.address if self._exists(program.address) else None
            if present != program.told:
                program.told = present
                self._known.out.append(Steer(client, present))

    def _ask(self, client: Hashable, program: _Program, now: float) -> None:
        program.ask_at = now + program.pause
        self._demand.request(client, program.caller, program.request, None, now)

    def _takes(self, action: Action) -> bool:
        """Take in the answer to a program's request; whether nobody else waits for it."""
        if not isinstance(action, Answer) or action.client not in self._programs:
            return False
        program = self._programs[action.client]
        self._take(program, action.reply)
        first, program.answered = not program.answered, True
        return not first

    def _take(self, program: _Program, reply: Reply) -> None:
        if reply.status == 0 and reply.address != program.address:
            program.address, program.pause = reply.address, _PAUSE
        elif reply.reason is not Reason.DETACHED:
            program.pause = min(2 * program.pause, _LONGEST_PAUSE)

    def _due(self, client: Hashable, program: _Program) -> float:
        """Return when there is something to do for a program."""
        if self._left_behind(client, program):
            return -inf
        nobody_to_ask = not self._known.lanes.allowed(None)
        if nobody_to_ask or self._known.waiting.waits(client):
            return inf
        return max(program.ask_at, self._given_until(program))

    def _left_behind(self, client: Hashable, program: _Program) -> list[Lease]:
        """Return the leases that a program holds although it has another address by now."""
        return [
            lease
            for lease in self._known.leases.alive()
            if client in lease.holders and lease.address != program.address
        ]

    def _given_until(self, program: _Program) -> float:
        """Return until when the address is one that new sockets are given."""
        if program.address is None:
            return -inf
        lease = self._known.leases.of_address(program.address)
        if lease is None:
            return self._nonpersistent.given_until(program.address)
        left_behind = lease.type is ServiceType.NON_PERSISTENT and not lease.served
        return self._renewal.given_until(lease) if lease.usable and not left_behind else -inf

    def _exists(self, address: IPv6Address | None) -> bool:
        if address is None:
            return False
        lease = self._known.leases.of_address(address)
        return lease is not None or self._known.ordinary.find(address) is not None
