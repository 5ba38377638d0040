"""What a monitor in memory reads from: events that wait, and a file descriptor that says so."""

from __future__ import annotations

import errno
import os
from typing import Generic, TypeVar

from moorage.kernel.netlink import Overrun

Event = TypeVar("Event")


class FakeQueue(Generic[Event]):
    """Events for one reader, whose file descriptor works in an event loop."""

    def __init__(self) -> None:
        self._waiting: list[Event] = []
        self._lost = False
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def close(self) -> None:
        """Close the file descriptor; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def fileno(self) -> int:
        """Readable when there is something to `read`."""
        return self._descriptor

    def put(self, event: Event) -> None:
        """Have an event wait to be read; a closed queue hears nothing."""
        if self._descriptor >= 0:
            self._waiting.append(event)
            os.eventfd_write(self._descriptor, 1)

    def lose(self) -> None:
        """Lose what waits to be read, which the next `read` says."""
        if self._descriptor >= 0:
            self._waiting.clear()
            self._lost = True
            os.eventfd_write(self._descriptor, 1)

    def read(self) -> list[Event]:
        """All events since the last time, in order, without waiting. Raises `Overrun`."""
        try:
            os.eventfd_read(self._descriptor)
        except BlockingIOError:
            return []
        events, self._waiting = self._waiting, []
        if self._lost:
            self._lost = False
            raise Overrun(errno.ENOBUFS, "events were lost")
        return events
