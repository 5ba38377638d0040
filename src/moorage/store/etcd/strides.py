"""How a long range of keys is read, page by page.

Whatever the limit of a page, etcd goes over all keys up to the end that it is told. If that were
the end of the whole range, each of the thousands of pages of a million keys would take as long as
all of them. So every page has an end of its own: about as far ahead as the last full page was wide,
and further ahead where there is little.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from moorage.store.etcd.layout import range_end

_DIGITS: Final = 32
"""Bytes behind what all keys begin with that say how far apart two keys are."""


class Strides:
    """The pages of all keys that begin with ``start``, of ``limit`` keys at most."""

    def __init__(self, start: bytes, limit: int) -> None:
        self._start = start
        self._end = range_end(start)
        self._limit = limit
        self._next = start
        self._stop = self._end
        self._width = 0

    def page(self) -> tuple[bytes, bytes] | None:
        """Return the first key of the next page and the one before which it ends; None: no more."""
        return (self._next, self._stop) if self._next < self._end else None

    def took(self, keys: Sequence[bytes], more: bool) -> None:
        """Take note of the keys of a page, and whether there were more before its end."""
        if more:
            self._width = max(1, self._position(keys[-1]) - self._position(self._next))
            self._next = keys[-1] + b"\0"
        else:
            self._next = self._stop
            if 2 * len(keys) < self._limit:
                self._width *= 2
        self._stop = self._ahead()

    def _position(self, key: bytes) -> int:
        digits = key[len(self._start) :][:_DIGITS]
        return int.from_bytes(digits.ljust(_DIGITS, b"\0"), "big")

    def _ahead(self) -> bytes:
        position = self._position(self._next) + self._width
        if position >> 8 * _DIGITS:
            return self._end
        return self._start + position.to_bytes(_DIGITS, "big")
