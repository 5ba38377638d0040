"""From a datagram to the answer: decode, examine, decide, commit, answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, IPv6Network
from typing import Protocol

from moorage.complaints import Complaints
from moorage.router.authority import Rejected, examine
from moorage.router.config import DELEGATED_LENGTH, AccessLink, RouterConfig
from moorage.router.delegation import Decision, decide
from moorage.router.leases import Situation
from moorage.router.mirror import Mirror
from moorage.router.pool import Pool
from moorage.router.request import Discarded, Request, admit
from moorage.store.protocol import BindingStore, Change, Conflict, StoreError
from moorage.wire.dhcp6 import ClientId, OnDemand, WireError, decode_message

_ATTEMPTS = 5
_PATIENCE = 60.0
"""Seconds after its hold that a keyless client's first question is remembered."""
_WAITING = 1024
"""Prefixes at most whose keyless clients are remembered to wait."""


class Follower(Protocol):
    """Makes the kernel follow what the server commits."""

    def prepare(self, changes: Sequence[Change]) -> None:
        """Be ready: others may hear of the changes, and act, before `committed` is called."""

    def committed(self, changes: Sequence[Change], revision: int) -> None:
        """Follow changes that are in the store, before the answer leaves."""

    def abandoned(self, changes: Sequence[Change]) -> None:
        """Undo what was prepared: the changes are not in the store."""


class DelegationServer:
    """Answers DHCPv6 messages with what the store holds.

    Args:
        config: the router.
        store: the bindings.
        mirror: which prefixes are taken.
        follower: makes the kernel follow, so that the client can send when it has its answer.
        complaints: told of messages that are dropped.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        config: RouterConfig,
        store: BindingStore,
        mirror: Mirror,
        follower: Follower,
        complaints: Complaints,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._store = store
        self._mirror = mirror
        self._follower = follower
        self._complaints = complaints
        self._clock = clock
        self._pool = Pool(config.pool, DELEGATED_LENGTH)
        self._waiting: dict[IPv6Network, float] = {}

    async def handle(self, link: AccessLink, datagram: bytes, source: IPv6Address) -> bytes | None:
        """Return the datagram that answers one that came by ``link``, if any does."""
        sender = f"{source} on {link.interface}"
        try:
            request = self._read(link, datagram, source)
            if isinstance(request.standing, Rejected):
                self._complaints.complain("DHCPv6 signature", sender, request.standing.why)
            decision = await self._settle(link, request)
        except WireError as error:
            self._complaints.complain("malformed DHCPv6 message", sender, error)
        except Discarded as error:
            self._complaints.complain("DHCPv6 message", sender, error)
        except StoreError as error:
            self._complaints.complain("DHCPv6 message", "everybody", error)
        else:
            return None if decision.reply is None else decision.reply.encode()
        return None

    def _read(self, link: AccessLink, datagram: bytes, source: IPv6Address) -> Request:
        message = admit(decode_message(datagram), source, self._config.server_duid)
        on_demand = OnDemand.of(message)
        client = message.first(ClientId)
        link_id = self._config.link_id(link)
        return Request(
            message=message,
            client=client.duid if client is not None else b"",
            on_demand=on_demand,
            source=source,
            standing=examine(datagram, message, on_demand, source, link_id, self._clock()),
        )

    async def _settle(self, link: AccessLink, request: Request) -> Decision:
        """Decide until what was decided upon is still so when it is committed."""
        rivals: set[IPv6Network] = set()

        def taken(prefix: IPv6Network) -> bool:
            return prefix in self._mirror or prefix in rivals

        for _ in range(_ATTEMPTS):
            now = self._clock()
            bindings = await self._store.of_client(request.client) if request.client else []
            decision = decide(
                request,
                Situation(
                    config=self._config,
                    link=link,
                    bindings=tuple(bindings),
                    taken=taken,
                    pool=self._pool,
                    waiting=self._waiting,
                    now=now,
                ),
            )
            self._remember(decision.waiting, now)
            if not decision.changes:
                return decision
            self._follower.prepare(decision.changes)
            try:
                revision = await self._store.commit(decision.changes)
            except Conflict as conflict:
                self._follower.abandoned(decision.changes)
                rivals.add(conflict.prefix)
                continue
            except StoreError:
                self._follower.abandoned(decision.changes)
                raise
            self._follower.committed(decision.changes, revision)
            return decision
        raise Discarded("others are changing the same bindings")

    def _remember(self, waiting: frozenset[IPv6Network], now: float) -> None:
        """Note since when keyless clients have been asking."""
        if not waiting:
            return
        oldest = now - self._config.hold - _PATIENCE
        self._waiting = {prefix: since for prefix, since in self._waiting.items() if since > oldest}
        for prefix in waiting:
            if len(self._waiting) < _WAITING:
                self._waiting.setdefault(prefix, now)
