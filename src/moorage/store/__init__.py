"""The binding store: who holds which prefix, who anchors it, who serves it now."""

from __future__ import annotations

from moorage.store.memory import MemoryStore
from moorage.store.protocol import BindingStore, StoreError
from moorage.store.sqlite import SqliteStore

__all__ = ["open_store"]


def open_store(url: str, *, create: bool = True) -> BindingStore:
    """Open the store that ``url`` names.

    That is ``sqlite:PATH``, or ``etcd:PATH`` with the file that describes a cluster, or ``memory:``
    for a store of one's own. Without ``create`` it has to be there.

    Raises:
        StoreError: no such kind of store, or it cannot be opened.
    """
    kind, _, place = url.partition(":")
    match kind:
        case "sqlite" if place:
            return SqliteStore.open(place, create=create)
        case "etcd" if place:
            return _open_etcd(place)
        case "memory" if url == "memory:":
            return MemoryStore()
        case _:
            raise StoreError(f"{url}: no such store; allowed: sqlite:PATH, etcd:PATH, memory:")


def _open_etcd(path: str) -> BindingStore:
    try:
        from moorage.store.etcd import EtcdStore
    except ModuleNotFoundError as error:
        raise StoreError(
            f"etcd:{path}: {error.name} is missing; install it by: pip install 'moorage[etcd]'"
        ) from None
    return EtcdStore.open(path)
