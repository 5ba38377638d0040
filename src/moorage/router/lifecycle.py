"""Bindings that change although their client asks for nothing: it has left, or time is up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv6Address
from math import inf

from moorage.router.config import RouterConfig
from moorage.router.leases import detached, retired
from moorage.service import ServiceType
from moorage.store.model import Binding, BindingState
from moorage.store.protocol import Change, Delete, Update

_PROBING = 4.0
"""Seconds that the kernel takes at most to find that a neighbour does not answer (RFC 4861 section
10: three solicitations, one second apart, and the wait for the last)."""
_REMEMBERED = 4096
"""Hosts at most that have left and may turn up again as they were."""


class Expiry:
    """Ends the bindings that a router anchors when their time is up.

    A binding whose valid lifetime is over is released; one whose quarantine is over is forgotten,
    and the prefix may be drawn again.
    """

    def __init__(self, config: RouterConfig) -> None:
        self._config = config
        self.next_timer = inf
        """When `due` may have something to do, seconds since 1970."""

    def note(self, binding: Binding) -> None:
        """Consider a binding that is new or was changed."""
        if binding.anchor == self._config.id:
            self.next_timer = min(self.next_timer, binding.valid_until)

    def due(self, bindings: Iterable[Binding], now: float) -> list[Change]:
        """Return what to change now, each for itself, and set the next timer."""
        changes: list[Change] = []
        self.next_timer = inf
        for binding in bindings:
            if binding.anchor != self._config.id:
                continue
            if binding.valid_until > now:
                self.note(binding)
            elif binding.held:
                quarantine = self._config.lifetimes.of(binding.type).quarantine
                changes.append(Update(retired(binding, now, quarantine), binding.seq))
            else:
                changes.append(Delete(binding.prefix, binding.seq))
        return changes


class Departures:
    """Notices that hosts leave a router's links, or were only silent for a while.

    The serving router says in the binding that nobody serves it; a host that has moved meanwhile
    wins, by compare-and-swap. A host that turns up again as it was gets its prefixes back.
    """

    def __init__(self, config: RouterConfig) -> None:
        self._config = config
        self._left: dict[tuple[str, IPv6Address], list[Update]] = {}
        self._certain: dict[tuple[str, IPv6Address], float] = {}

    def heard(self, binding: Binding, now: float) -> None:
        """Note that a host has just asked for a binding on one of our links."""
        if binding.serving != self._config.id or binding.link is None or binding.next_hop is None:
            return
        self._certain[binding.link, binding.next_hop] = now + _PROBING
        while len(self._certain) > _REMEMBERED:
            del self._certain[next(iter(self._certain))]

    def doubt(self, link: str, host: IPv6Address, now: float) -> float:
        """Return for how many seconds it is not to be believed that a host has left.

        A neighbour that fails right after it asked for something may have been probed before: the
        host left and has come back.
        """
        return max(0.0, self._certain.get((link, host), 0.0) - now)

    def left(
        self, bindings: Iterable[Binding], link: str, host: IPv6Address | None, now: float
    ) -> list[Change]:
        """Return the changes when a host, or everybody (None), is no longer on a link."""
        changes: list[Change] = []
        for binding in bindings:
            here = binding.serving == self._config.id and binding.link == link
            if not here or not binding.held or binding.next_hop is None:
                continue
            if host is not None and binding.next_hop != host:
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
            self._left.setdefault((link, binding.next_hop), []).append(Update(back, gone.seq))
        while len(self._left) > _REMEMBERED:
            del self._left[next(iter(self._left))]
        return changes

    def returned(
        self, bindings: Callable[[], Iterable[Binding]], link: str, host: IPv6Address
    ) -> list[Change]:
        """Return the changes when a host is heard on a link; mostly there are none."""
        memory = self._left.pop((link, host), None)
        if memory is None:
            return []
        still = {
            (binding.prefix, binding.seq)
            for binding in bindings()
            if binding.state is BindingState.DETACHED
        }
        return [update for update in memory if (update.prefix, update.expected_seq) in still]
