"""Doorbells: a process learns that another one changed a file, without asking again and again.

The kernel's inotify says so. Who rings touches the file (`ring`); who listens holds a `Doorbell`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Final

from moorage.kernel import inotify

_RECHECKS: Final = (0.005, 0.05, 0.5, 5.0)
"""Seconds after a write until one looks again."""


def ring(path: str) -> None:
    """Ring the bell that ``path`` is: touch it.

    By name, since closing a descriptor of a database file would drop the locks that SQLite has.
    """
    os.utime(path)


class Doorbell:
    """Wakes one task when a bell rings, or some time after a journal is written.

    ``bell`` is touched by whoever made a change, after the change can be seen. ``journal`` is
    written to *before* it can be seen, and its writer may die before it rings: so a write to the
    journal makes the doorbell ring a few times more, at growing distances, until nothing can be
    missed any longer. Both must exist. Needs a running event loop.
    """

    def __init__(self, bell: str, journal: str) -> None:
        """Start to listen.

        Raises:
            OSError: a file is missing, or the kernel has no inotify instance left for this user.
        """
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()
        self._rechecks: Iterator[float] = iter(())
        self._timer: asyncio.TimerHandle | None = None
        self._files = inotify.Inotify()
        try:
            self._files.watch(bell, inotify.ATTRIB)
            self._journal = self._files.watch(journal, inotify.MODIFY)
        except OSError:
            self._files.close()
            raise
        self._loop.add_reader(self._files, self._on_event)

    def close(self) -> None:
        """Stop to listen."""
        self._loop.remove_reader(self._files)
        self._files.close()
        if self._timer is not None:
            self._timer.cancel()

    async def wait(self) -> None:
        """Return at the next ring, at once if there was one since the last call."""
        await self._rung.wait()
        self._rung.clear()

    def ring(self) -> None:
        """Wake the task without any file."""
        self._rung.set()

    def _on_event(self) -> None:
        sources = self._files.read()
        if self._journal in sources:
            self._rechecks = iter(_RECHECKS)
            self._schedule()
        if sources != {self._journal}:
            self._rung.set()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay = next(self._rechecks, None)
        self._timer = None if delay is None else self._loop.call_later(delay, self._recheck)

    def _recheck(self) -> None:
        self._rung.set()
        self._schedule()
