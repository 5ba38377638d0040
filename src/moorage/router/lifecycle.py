"""Bindings that change although their client asks for nothing: it has left, or time is up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from heapq import heapify, heappop, heappush
from ipaddress import IPv6Network
from math import inf

from moorage.router.config import RouterConfig
from moorage.router.leases import detached, retired
from moorage.router.paths import Place
from moorage.service import ServiceType
from moorage.store.model import Binding, BindingState
from moorage.store.protocol import Change, Delete, Update

_AGAIN = 5.0
"""Seconds until a change is made again that the store did not take."""
_AWAITED = 60.0
"""Seconds for which a host that left in silence is asked whether it is back."""
_REMEMBERED = 4096
"""Hosts at most that have left and may turn up again as they were."""


class Expiry:
    """Ends the bindings that a router anchors, in whose stead so ever, when their time is up.

    A binding whose valid lifetime is over is released; one whose quarantine is over is forgotten,
    and the prefix may be drawn again.
    """

    def __init__(self, config: RouterConfig, holder: Callable[[str], str]) -> None:
        """``holder`` tells which router acts for an anchor."""
        self._config = config
        self._holder = holder
        # At least one entry for each binding that we anchor, not later than its time.
        self._times: list[tuple[float, IPv6Network]] = []

    def reconfigure(self, config: RouterConfig) -> None:
        """Go by another configuration from now on."""
        self._config = config

    @property
    def next_timer(self) -> float:
        """When `due` may have something to do, seconds since 1970."""
        return self._times[0][0] if self._times else inf

    def start(self, bindings: Iterable[Binding]) -> None:
        """Begin with these bindings, and forget all others."""
        self._times = [
            (binding.valid_until, binding.prefix) for binding in bindings if self._is_ours(binding)
        ]
        heapify(self._times)

    def note(self, binding: Binding, before: Binding | None) -> None:
        """Consider a binding that is new or was changed."""
        if not self._is_ours(binding):
            return
        if before is None or binding.valid_until < before.valid_until:
            heappush(self._times, (binding.valid_until, binding.prefix))

    def _is_ours(self, binding: Binding) -> bool:
        return self._holder(binding.anchor) == self._config.id

    def due(self, get: Callable[[IPv6Network], Binding | None], now: float) -> list[Change]:
        """Return what to change now, each for itself; ``get`` returns the binding of a prefix."""
        changes: dict[IPv6Network, Change] = {}
        while self._times and self._times[0][0] <= now:
            _, prefix = heappop(self._times)
            binding = get(prefix)
            if binding is None or prefix in changes:
                continue
            if binding.valid_until > now:
                heappush(self._times, (binding.valid_until, prefix))
                continue
            if binding.held:
                quarantine = self._config.lifetimes.of(binding.type).quarantine
                changes[prefix] = Update(retired(binding, now, quarantine), binding.seq)
            else:
                changes[prefix] = Delete(prefix, binding.seq)
        for prefix in changes:
            heappush(self._times, (now + _AGAIN, prefix))
        return [*changes.values()]


class Departures:
    """Notices that hosts leave a router's links, or were only silent for a while.

    The serving router says in the binding that nobody serves it; a host that has moved meanwhile
    wins, by compare-and-swap. A host that turns up again as it was gets its prefixes back.
    """

    def __init__(self, config: RouterConfig) -> None:
        self._config = config
        self._suspects: set[Place] = set()
        self._left: dict[Place, tuple[float, list[Update]]] = {}

    def reconfigure(self, config: RouterConfig) -> None:
        """Go by another configuration from now on."""
        self._config = config

    def missed(self, place: Place) -> bool:
        """A host did not answer. Return whether it has left: it is to be asked twice.

        The first time it may only be that somebody emptied the neighbour cache, or that the
        questions began before the host came.
        """
        if place in self._suspects:
            self._suspects.discard(place)
            return True
        self._suspects.add(place)
        return False

    def left(self, bindings: Iterable[Binding], now: float) -> list[Change]:
        """Return the changes when these bindings' hosts are no longer where they are served."""
        changes: list[Change] = []
        for binding in bindings:
            if binding.serving != self._config.id or not binding.held:
                continue
            if binding.link is None or binding.next_hop is None:
                continue
            lifetimes = self._config.lifetimes.of(binding.type)
            if binding.type is ServiceType.NON_PERSISTENT and not binding.is_address:
                changes.append(Update(retired(binding, now, lifetimes.quarantine), binding.seq))
                continue
            # A host that sleeps still uses its address: nobody else may get it meanwhile.
            kept = lifetimes.valid if binding.is_address else lifetimes.detached
            gone = detached(binding, now, kept)
            changes.append(Update(gone, binding.seq))
            back = replace(binding, seq=gone.seq + 1)
            _, memory = self._left.pop((binding.link, binding.next_hop), (now, []))
            self._left[binding.link, binding.next_hop] = now, [*memory, Update(back, gone.seq)]
        while len(self._left) > _REMEMBERED:
            del self._left[next(iter(self._left))]
        return changes

    def is_awaited(self, place: Place, now: float) -> bool:
        """Whether a host has left so lately that it may be back without saying so."""
        return place in self._left and now < self._left[place][0] + _AWAITED

    def returned(
        self, get: Callable[[IPv6Network], Binding | None], place: Place, mac: bytes
    ) -> list[Change]:
        """Return the changes when a host is heard on a link; mostly there are none.

        ``get`` returns the binding of a prefix. Where the host has said what its link-layer
        address is, it is not heard from any other.
        """
        self._suspects.discard(place)
        since, memory = self._left.pop(place, (0.0, []))
        others = [update for update in memory if update.binding.mac not in (None, mac)]
        if others:
            self._left[place] = since, others
        return [
            update
            for update in memory
            if update not in others and _is_as_left(get(update.prefix), update)
        ]


def _is_as_left(binding: Binding | None, update: Update) -> bool:
    return (
        binding is not None
        and binding.state is BindingState.DETACHED
        and binding.seq == update.expected_seq
    )
