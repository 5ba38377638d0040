"""What the kernel says of changes of files (inotify): the standard library has no name for it."""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import suppress
from typing import Final

MODIFY: Final = 0x2
"""IN_MODIFY."""
ATTRIB: Final = 0x4
"""IN_ATTRIB."""
CREATE: Final = 0x100
"""IN_CREATE, in a folder."""
DELETE: Final = 0x200
"""IN_DELETE, in a folder."""
_EVENT: Final = struct.Struct("=iIII")  # struct inotify_event: wd, mask, cookie, len
_READ_SIZE: Final = 4096
"""Bytes; an event in a folder carries a name, of at most 256."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_init1.argtypes = (ctypes.c_int,)
_libc.inotify_init1.restype = ctypes.c_int
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_libc.inotify_add_watch.restype = ctypes.c_int


class Inotify:
    """Watches files and folders; who watches a folder looks himself for what is new in it.

    Raises:
        OSError: the kernel has no inotify instance left for this user.
    """

    def __init__(self) -> None:
        self._fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify")

    def fileno(self) -> int:
        """Readable when there is something to `read`."""
        return self._fd

    def close(self) -> None:
        """Watch nothing any longer."""
        os.close(self._fd)

    def watch(self, path: str | os.PathLike[str], mask: int) -> int:
        """Watch a file or folder for changes of these kinds; return the number of its events.

        Raises:
            OSError: it is missing, or there are too many.
        """
        return _checked(_libc.inotify_add_watch(self._fd, os.fsencode(path), mask), str(path))

    def read(self) -> set[int]:
        """Return the numbers of the files and folders with events since the last time.

        The kernel says -1 of what it could not keep, and that a file is gone as one more event.
        """
        numbers = set()
        with suppress(BlockingIOError):
            while True:
                numbers |= _numbers(os.read(self._fd, _READ_SIZE))
        return numbers


def _numbers(events: bytes) -> set[int]:
    found = set()
    place = 0
    while place < len(events):
        number, _, _, name = _EVENT.unpack_from(events, place)
        found.add(number)
        place += _EVENT.size + name
    return found


def _checked(result: int, what: str) -> int:
    """Return a C function's result; -1 becomes the OSError that errno says."""
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)
    return result
