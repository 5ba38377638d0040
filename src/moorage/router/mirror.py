"""What a router knows of the store, and what it remembers of a binding's last change.

The store says how things are. Two things need what was before: packets that were under way when a
host moved, and the time since a host left.
"""

from __future__ import annotations

from collections.abc import ValuesView
from dataclasses import dataclass
from heapq import heappop, heappush
from ipaddress import IPv6Address, IPv6Network

from moorage.router.anchors import LINGER, Anchors
from moorage.router.holdings import Holdings
from moorage.store.model import Binding, Router
from moorage.store.protocol import (
    AnchorChanged,
    BindingChanged,
    BindingGone,
    Event,
    RouterChanged,
    RouterGone,
    Snapshot,
)


@dataclass(frozen=True, slots=True)
class Known:
    """A binding as of a revision of the store.

    Attributes:
        revision: of its last change that we know.
        binding: what it is.
        former: what it was before the host moved, as long as packets may be under way there.
        quiet: its host has left just now: packets to it are dropped without a word.
        until: when ``former`` and ``quiet`` end, seconds since 1970.
    """

    revision: int
    binding: Binding
    former: Binding | None = None
    quiet: bool = False
    until: float = 0.0


class Mirror:
    """The bindings, routers and anchors of the store.

    Events may come twice, by the watch and from our own commit, and the one from the commit early;
    what is not newer than what is known of a prefix changes nothing. Revisions decide, since
    ``seq`` begins anew when a prefix is given to somebody else.
    """

    def __init__(self, hold: float) -> None:
        """Remember for ``hold`` seconds that a host has left; that may be changed later."""
        self.hold = hold
        self._bindings: dict[IPv6Network, Known] = {}
        self._fading: list[tuple[float, IPv6Network]] = []
        self.holdings = Holdings()
        self.routers: dict[str, Router] = {}
        self.present: set[str] = set()
        """Ids of the routers whose lease lasts; of the others all else is true as well."""
        self.anchors = Anchors()

    def __contains__(self, prefix: IPv6Network) -> bool:
        """Whether somebody has or had the prefix, so that nobody else may get it."""
        return prefix in self._bindings

    def holder(self, anchor: str) -> str:
        """Return the id of the router that acts for an anchor."""
        return self.anchors.holder(anchor)

    def epoch(self, router: str) -> int | None:
        """Return the epoch at which a router holds its own pool; None: another router does."""
        anchor = self.anchors.get(router)
        if anchor is None:
            return 0
        return anchor.epoch if anchor.holder == router else None

    def known(self) -> ValuesView[Known]:
        """Return everything about bindings, as it is now and as it changes."""
        return self._bindings.values()

    def get(self, prefix: IPv6Network) -> Known | None:
        """Return what is known of a prefix."""
        return self._bindings.get(prefix)

    def covering(self, address: IPv6Address) -> Known | None:
        """Return what is known of the prefix that an address is of, or of the address itself."""
        for length in self.holdings.lengths():
            found = self._bindings.get(IPv6Network((address, length), strict=False))
            if found is not None:
                return found
        return None

    def of_client(self, client: bytes) -> tuple[Binding, ...]:
        """Return the bindings of a DUID, released ones among them."""
        prefixes = self.holdings.of_client(client)
        return tuple([self._bindings[prefix].binding for prefix in prefixes])

    def reset(self, snapshot: Snapshot, now: float) -> None:
        """Know what a snapshot says, and nothing else."""
        before = self._bindings
        self._bindings = {}
        self.holdings = Holdings()
        self.routers = {router.id: router for router in snapshot.routers}
        self.present = {*snapshot.present}
        self.anchors = Anchors(snapshot.anchors)
        for binding in snapshot.bindings:
            self._put(before.get(binding.prefix), snapshot.revision, binding, now)

    def learn(self, event: Event, now: float) -> bool:
        """Take an event up; whether it said something new."""
        match event:
            case RouterChanged(_, router):
                before = self.routers.get(router.id)
                self.routers[router.id] = router
                absent = router.id not in self.present
                self.present.add(router.id)
                return absent or before != router
            case RouterGone(_, name):
                present = name in self.present
                self.present.discard(name)
                return present
            case AnchorChanged(_, anchor):
                return self.anchors.learn(anchor, now)
            case BindingChanged(revision, binding):
                known = self._bindings.get(binding.prefix)
                if known is not None and revision <= known.revision:
                    return False
                if known is not None:
                    self.holdings.remove(known.binding)
                self._put(known, revision, binding, now)
                return True
            case BindingGone(revision, prefix):
                known = self._bindings.get(prefix)
                if known is None or revision <= known.revision:
                    return False
                del self._bindings[prefix]
                self.holdings.remove(known.binding)
                return True

    def _put(self, known: Known | None, revision: int, binding: Binding, now: float) -> None:
        before = known.binding if known is not None else None
        former, quiet, until = None, False, 0.0
        if before is not None and before.held and binding.held and before.client == binding.client:
            if _place(before) == _place(binding):
                assert known is not None
                former, quiet, until = known.former, known.quiet, known.until
            elif before.serving is not None and binding.serving is not None:
                former, until = before, now + LINGER
            elif before.serving is not None:
                quiet, until = True, now + self.hold
        self.holdings.add(binding)
        self._bindings[binding.prefix] = Known(revision, binding, former, quiet, until)
        if former or quiet:
            heappush(self._fading, (until, binding.prefix))

    def next_timer(self) -> float | None:
        """Return when `forget` has something to do."""
        while self._fading and not self._fades(*self._fading[0]):
            heappop(self._fading)
        return self._fading[0][0] if self._fading else None

    def forget(self, now: float) -> list[IPv6Network]:
        """Forget what was before, where its time is over, and return the prefixes concerned."""
        over: list[IPv6Network] = []
        while (until := self.next_timer()) is not None and until <= now:
            _, prefix = heappop(self._fading)
            known = self._bindings[prefix]
            self._bindings[prefix] = Known(known.revision, known.binding)
            over.append(prefix)
        return over

    def _fades(self, until: float, prefix: IPv6Network) -> bool:
        """Whether this is still the time of a prefix: it may have moved on since."""
        known = self._bindings.get(prefix)
        return known is not None and known.until == until


def _place(binding: Binding) -> tuple[object, ...]:
    return binding.serving, binding.link, binding.next_hop
