"""The kernel's clocks, and what happens to them: the machine sleeps, or somebody sets the time."""

from __future__ import annotations

import ctypes
import os
import struct
import time
from typing import Final

_TFD_NONBLOCK: Final = os.O_NONBLOCK
_TFD_CLOEXEC: Final = os.O_CLOEXEC
_TFD_TIMER_ABSTIME: Final = 1
_TFD_TIMER_CANCEL_ON_SET: Final = 2
_NEVER: Final = 0x7FFF_FFFF_FFFF
"""Seconds since 1970 at which the timer would fire; it is there to be cancelled."""
_TIMES: Final = struct.Struct("@qqqq")
"""struct itimerspec: interval and first time, each in seconds and nanoseconds."""
_EXPIRATIONS: Final = 8
_libc = ctypes.CDLL(None, use_errno=True)
_libc.timerfd_create.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.timerfd_settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class ClockWatch:
    """Readable when the wall clock has jumped: the machine has slept, or somebody has set it.

    Raises:
        OSError: the kernel has no such timers.
    """

    def __init__(self) -> None:
        self._timer = _checked(
            _libc.timerfd_create(time.CLOCK_REALTIME, _TFD_NONBLOCK | _TFD_CLOEXEC)
        )
        self._slept = _asleep()
        try:
            self._arm()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the timer."""
        os.close(self._timer)

    def fileno(self) -> int:
        """Readable when the clock has jumped."""
        return self._timer

    def read(self) -> float:
        """Return for how many seconds the machine has slept since the last time."""
        try:
            os.read(self._timer, _EXPIRATIONS)
        except OSError:  # ECANCELED is what it is for
            self._arm()
        before, self._slept = self._slept, _asleep()
        return self._slept - before

    def _arm(self) -> None:
        flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
        times = _TIMES.pack(0, 0, _NEVER, 0)
        _checked(_libc.timerfd_settime(self._timer, flags, times, None))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _asleep() -> float:
    """Return for how many seconds the machine has slept since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
