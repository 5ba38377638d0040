"""Who has which of the known bindings, and how many there are of each kind."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Network

from moorage.router.groups import Groups
from moorage.service import ServiceType
from moorage.store.model import Binding


class Holdings:
    """An index of bindings, kept up to date by whoever keeps the bindings."""

    def __init__(self) -> None:
        self._of_client: Groups[bytes, IPv6Network] = Groups()
        self._all: Counter[str] = Counter()
        self._held: Counter[tuple[str, ServiceType]] = Counter()
        self._lengths: Counter[tuple[str, int]] = Counter()

    def of_client(self, client: bytes) -> tuple[IPv6Network, ...]:
        """Return what a DUID has bindings of, released ones among them."""
        return tuple(self._of_client.of(client))

    def given(self, anchor: str, kind: ServiceType | None) -> int:
        """Return how many bindings of a type are held that a router anchors.

        Without a type: how many it anchors in all, released ones among them.
        """
        return self._all[anchor] if kind is None else self._held[anchor, kind]

    def of_length(self, anchor: str, length: int) -> int:
        """Return how many prefixes of a length a router anchors, released ones among them."""
        return self._lengths[anchor, length]

    def lengths(self) -> list[int]:
        """Return the lengths that there are, the longest first."""
        return sorted({length for _, length in self._lengths}, reverse=True)

    def add(self, binding: Binding) -> None:
        """There is one more binding."""
        self._of_client.add(binding.client, binding.prefix)
        self._all[binding.anchor] += 1
        self._lengths[binding.anchor, binding.prefix.prefixlen] += 1
        self._held[binding.anchor, binding.type] += binding.held

    def remove(self, binding: Binding) -> None:
        """There is one less."""
        self._of_client.discard(binding.client, binding.prefix)
        self._all[binding.anchor] -= 1
        self._lengths[binding.anchor, binding.prefix.prefixlen] -= 1
        self._held[binding.anchor, binding.type] -= binding.held
