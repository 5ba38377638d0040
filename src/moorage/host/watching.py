"""Applications that watch their addresses: who may, and what they are told first."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

from moorage.host.actions import Answer, Notify
from moorage.host.known import Known
from moorage.host.lifecycle import State
from moorage.host.subject import Subject
from moorage.host.waiting import refusal
from moorage.host.watchers import whole_seconds
from moorage.wire.app import Reason, Reply
from moorage.wire.notice import Deprecated, Detached


@dataclass(frozen=True, slots=True)
class _Condition:
    """How an address fares: ``left`` is its lifetime in seconds if it is deprecated."""

    address: IPv6Address
    detached: bool
    left: float | None


class Watching:
    """Takes applications' requests to watch."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def begin(self, client: Hashable, request: int, subject: Subject, now: float) -> None:
        """Let ``client`` watch the addresses that ``subject`` uses.

        It is told first what is not as usual, so that nothing is missed between ``setsc()`` and
        this request, nor between two lives of the daemon.
        """
        conditions = [
            condition
            for address in self._used(subject)
            if (condition := self._condition(address, now)) is not None
        ]
        out = self._known.out
        if not conditions:
            out.append(refusal(client, request, Reason.NO_ADDRESS))
            return
        out.append(Answer(client, Reply(request, 0, Reason.NONE, IPv6Address(0), 0)))
        for condition in conditions:
            address = condition.address
            self._known.watchers.add(client, address, detached=condition.detached)
            if condition.detached:
                out.append(Notify(client, Detached(address)))
            if condition.left is not None:
                out.append(Notify(client, Deprecated(address, whole_seconds(condition.left))))

    def _used(self, subject: Subject) -> Iterator[IPv6Address]:
        """Return the address that a socket is bound to, or those that it was given."""
        if subject.address is not None:
            yield subject.address
            return
        for lease in self._known.leases.of_socket(subject.cookie):
            if lease.address is not None:
                yield lease.address
        yield from self._known.ordinary.given_to(subject.cookie)

    def _condition(self, address: IPv6Address, now: float) -> _Condition | None:
        lease = self._known.leases.of_address(address)
        if lease is not None:
            left = lease.valid_until - now if lease.state is State.RETIRING else None
            return _Condition(address, not lease.served, left)
        ordinary = self._known.ordinary.find(address)
        if ordinary is None:
            return None
        left = self._known.ordinary.valid_for(address, now) if ordinary.deprecated else None
        return _Condition(address, self._known.ordinary.is_detached(address), left)
