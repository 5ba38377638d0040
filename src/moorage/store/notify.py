"""Doorbells: a process learns that another one changed a file, without asking again and again.

The kernel's inotify says so; the standard library has no name for it, so the C library is called
directly. Who rings touches the file (`ring`); who listens holds a `Doorbell`.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Iterator
from typing import Final

_IN_MODIFY: Final = 0x2
_IN_ATTRIB: Final = 0x4
_EVENT: Final = struct.Struct("=iIII")  # struct inotify_event: wd, mask, cookie, len
_READ_SIZE: Final = 256 * _EVENT.size

_RECHECKS: Final = (0.005, 0.05, 0.5, 5.0)
"""Seconds after a write until one looks again."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_init1.argtypes = (ctypes.c_int,)
_libc.inotify_init1.restype = ctypes.c_int
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_libc.inotify_add_watch.restype = ctypes.c_int


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
        self._fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify")
        try:
            self._watch(bell, _IN_ATTRIB)
            self._journal = self._watch(journal, _IN_MODIFY)
        except OSError:
            os.close(self._fd)
            raise
        self._loop.add_reader(self._fd, self._on_event)

    def close(self) -> None:
        """Stop to listen."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        if self._timer is not None:
            self._timer.cancel()

    async def wait(self) -> None:
        """Return at the next ring, at once if there was one since the last call."""
        await self._rung.wait()
        self._rung.clear()

    def ring(self) -> None:
        """Wake the task without any file."""
        self._rung.set()

    def _watch(self, path: str, mask: int) -> int:
        return _checked(_libc.inotify_add_watch(self._fd, os.fsencode(path), mask), path)

    def _on_event(self) -> None:
        # The watches are on files, so no event carries a name: each is one header.
        sources = {source for source, *_ in _EVENT.iter_unpack(os.read(self._fd, _READ_SIZE))}
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


def _checked(result: int, what: str) -> int:
    """Return a C function's result; -1 becomes the OSError that errno says."""
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)
    return result
