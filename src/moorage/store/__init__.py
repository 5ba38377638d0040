"""The binding store: who holds which prefix, who anchors it, who serves it now."""

from __future__ import annotations

from moorage.store.memory import MemoryStore
from moorage.store.protocol import BindingStore, StoreError
from moorage.store.sqlite import SqliteStore

__all__ = ["open_store"]


def open_store(url: str, *, create: bool = True) -> BindingStore:
    """Open the store that ``url`` names: ``sqlite:PATH``, or ``memory:`` for a store of one's own.

    Without ``create`` it has to be there.

    Raises:
        StoreError: no such kind of store, or it cannot be opened.
    """
    kind, _, place = url.partition(":")
    match kind:
        case "sqlite" if place:
            return SqliteStore.open(place, create=create)
        case "memory" if url == "memory:":
            return MemoryStore()
        case _:
            raise StoreError(f"{url}: no such store; allowed: sqlite:PATH, memory:")
