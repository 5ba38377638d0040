"""Who acts for which pool, as far as a router knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import Final

from moorage.store.model import Anchor

LINGER: Final = 2.0
"""How long a router still forwards what was under way when another one took its place, seconds."""


class Anchors:
    """The anchors of a domain. One that is not known is held by the router that it is named for."""

    def __init__(self, anchors: Iterable[Anchor] = ()) -> None:
        self._by_id = {anchor.id: anchor for anchor in anchors}
        self._former: dict[str, tuple[str, float]] = {}

    def __iter__(self) -> Iterator[Anchor]:
        return iter(self._by_id.values())

    def get(self, anchor: str) -> Anchor | None:
        """Return what is known of an anchor."""
        return self._by_id.get(anchor)

    def holder(self, anchor: str) -> str:
        """Return the id of the router that acts for an anchor."""
        known = self._by_id.get(anchor)
        return anchor if known is None else known.holder

    def former(self, anchor: str) -> str | None:
        """Return the id of the router that held an anchor until a moment ago, if one did."""
        return self._former[anchor][0] if anchor in self._former else None

    def of(self, router: str) -> list[Anchor]:
        """Return the anchors that a router holds, or held until a moment ago."""
        return [
            anchor for anchor in self if anchor.holder == router or self.former(anchor.id) == router
        ]

    def learn(self, anchor: Anchor, now: float) -> bool:
        """Take in what an anchor is now; whether that is news."""
        known = self._by_id.get(anchor.id)
        if known is not None and anchor.epoch <= known.epoch:
            return False
        self._by_id[anchor.id] = anchor
        self._former.pop(anchor.id, None)
        if known is not None and known.holder != anchor.holder:
            self._former[anchor.id] = known.holder, now + LINGER
        return True

    @property
    def next_timer(self) -> float:
        """When `forget` has something to do."""
        return min((until for _, until in self._former.values()), default=inf)

    def forget(self, now: float) -> bool:
        """Forget who held what, where that is long enough ago; whether there was anything."""
        over = [anchor for anchor, (_, until) in self._former.items() if until <= now]
        for anchor in over:
            del self._former[anchor]
        return bool(over)

    def copy(self) -> Anchors:
        """Return what is known now."""
        copy = Anchors(self)
        copy._former = dict(self._former)
        return copy
