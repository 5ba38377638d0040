"""Records for a reader that may be slow."""

from __future__ import annotations

from collections import deque

from moorage.wire.notice import Notice, Overrun

ROOM = 64
"""Notices that wait for a reader at most."""


class Outbox:
    """Notices that one reader has not taken yet: when they are too many, the oldest are lost."""

    def __init__(self) -> None:
        self._waiting: deque[Notice] = deque()
        self._lost = 0

    def put(self, notice: Notice) -> None:
        """Add a notice."""
        if len(self._waiting) == ROOM:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append(notice)

    def first(self) -> Notice | None:
        """Return what is to be sent next, none if that is nothing."""
        if self._lost:
            return Overrun(self._lost)
        return self._waiting[0] if self._waiting else None

    def sent(self) -> None:
        """Forget the first: the reader has it."""
        if self._lost:
            self._lost = 0
        else:
            self._waiting.popleft()
