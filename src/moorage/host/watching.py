"""Applications that watch their addresses: who may, and what they are told first."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from ipaddress import IPv6Address

from moorage.host.actions import Answer, Notify
from moorage.host.known import Known
from moorage.host.lease import Lease
from moorage.host.lifecycle import State
from moorage.host.subject import Subject
from moorage.host.waiting import refusal
from moorage.host.watchers import whole_seconds
from moorage.wire.app import Reason, Reply
from moorage.wire.notice import Deprecated, Detached, Notice, Replaced


class Watching:
    """Takes applications' requests to watch."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def begin(self, client: Hashable, request: int, subject: Subject, now: float) -> None:
        """Let ``client`` watch the addresses that ``subject`` uses.

        It is told first what is not as usual, so that nothing is missed between ``setsc()`` and
        this request, nor between two lives of the daemon.
        """
        watched = {
            address: news
            for address in self._used(subject)
            if (news := self._news(address, now)) is not None
        }
        out = self._known.out
        if not watched:
            out.append(refusal(client, request, Reason.NO_ADDRESS))
            return
        out.append(Answer(client, Reply(request, 0, Reason.NONE, IPv6Address(0), 0)))
        for address, news in watched.items():
            self._known.watchers.add(client, address, detached=Detached(address) in news)
            out += [Notify(client, notice) for notice in news]

    def _used(self, subject: Subject) -> Iterator[IPv6Address]:
        """Return the address that a socket is bound to, or those that it was given."""
        if subject.address is not None:
            yield subject.address
            return
        for lease in self._known.leases.of_socket(subject.cookie):
            if lease.address is not None:
                yield lease.address
        yield from self._known.ordinary.given_to(subject.cookie)

    def _news(self, address: IPv6Address, now: float) -> list[Notice] | None:
        """Return what is not as usual with an address, none if it is no address of ours."""
        lease = self._known.leases.of_address(address)
        if lease is not None:
            return self._news_of_lease(lease, address, now)
        ordinary = self._known.ordinary.find(address)
        if ordinary is None:
            return None
        news: list[Notice] = []
        if self._known.ordinary.is_detached(address):
            news.append(Detached(address))
        if ordinary.deprecated:
            left = self._known.ordinary.valid_for(address, now)
            news.append(Deprecated(address, whole_seconds(left)))
        return news

    def _news_of_lease(self, lease: Lease, address: IPv6Address, now: float) -> list[Notice]:
        news: list[Notice] = [] if lease.served else [Detached(address)]
        if lease.state is State.RETIRING:
            left = whole_seconds(lease.valid_until - now)
            news.append(Deprecated(address, left))
            successor = self._known.leases.successor(lease)
            if successor is not None and successor.address is not None:
                news.append(Replaced(address, successor.address, left))
        return news
