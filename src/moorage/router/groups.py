"""Many small groups in little memory."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from itertools import chain
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)


class Groups(Collection[K], Generic[K, V]):
    """Values by key, in the order in which they were added; most keys have one.

    A container for each key would cost more memory than everything else that is kept of a binding.
    """

    def __init__(self) -> None:
        self._alone: dict[K, V] = {}
        self._together: dict[K, dict[V, None]] = {}

    def __contains__(self, key: object) -> bool:
        """Whether there is any value of ``key``."""
        return key in self._alone or key in self._together

    def __len__(self) -> int:
        """Return how many keys have values."""
        return len(self._alone) + len(self._together)

    def __iter__(self) -> Iterator[K]:
        """Return the keys that have values."""
        return chain(self._alone, self._together)

    def of(self, key: K) -> Collection[V]:
        """Return the values of ``key``; they must not change while they are looked at."""
        if key in self._alone:
            return (self._alone[key],)
        return self._together.get(key, {}).keys()

    def add(self, key: K, value: V) -> None:
        """Add a value; one that is there already remains."""
        if key in self._together:
            self._together[key][value] = None
        elif self._alone.setdefault(key, value) != value:
            self._together[key] = {self._alone.pop(key): None, value: None}

    def discard(self, key: K, value: V) -> None:
        """Remove a value if it is there."""
        if key in self._together:
            values = self._together[key]
            values.pop(value, None)
            if len(values) == 1:
                del self._together[key]
                [self._alone[key]] = values
        elif self._alone.get(key) == value:
            del self._alone[key]
