"""Who acts for which pool, as far as a router knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from moorage.store.model import Anchor


class Anchors:
    """The anchors of a domain. One that is not known is held by the router that it is named for."""

    def __init__(self, anchors: Iterable[Anchor] = ()) -> None:
        self._by_id = {anchor.id: anchor for anchor in anchors}

    def __iter__(self) -> Iterator[Anchor]:
        return iter(self._by_id.values())

    def get(self, anchor: str) -> Anchor | None:
        """Return what is known of an anchor."""
        return self._by_id.get(anchor)

    def holder(self, anchor: str) -> str:
        """Return the id of the router that acts for an anchor."""
        known = self._by_id.get(anchor)
        return anchor if known is None else known.holder

    def epoch(self, anchor: str) -> int:
        """Return the epoch of an anchor, 0 if it is not known."""
        known = self._by_id.get(anchor)
        return 0 if known is None else known.epoch

    def held_by(self, router: str) -> list[Anchor]:
        """Return the anchors that a router acts for."""
        return [anchor for anchor in self if anchor.holder == router]

    def learn(self, anchor: Anchor) -> bool:
        """Take in what an anchor is now; whether that is news."""
        if anchor.epoch <= self.epoch(anchor.id):
            return False
        self._by_id[anchor.id] = anchor
        return True
