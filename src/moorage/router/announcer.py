"""Runs the operator's command that tells the network which pools to route to this router."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from ipaddress import IPv6Network
from math import inf
from tempfile import TemporaryFile
from typing import IO, Final

from moorage.router.announcements import Announcements, Attempt, Verb
from moorage.router.events import Announced, NotAnnounced, RouterEvent
from moorage.router.settings import Announce

_MOST_OUTPUT: Final = 4096
"""Bytes of a failed command's output that are looked at for its last line."""


class Announcer:
    """Has the network route the pools here that this router acts for, and no others.

    Args:
        settings: the command.
        tell: told how it went.

    Attributes:
        counts: how many attempts ended, by verb and by whether they ended well.
    """

    def __init__(self, settings: Announce, tell: Callable[[RouterEvent], None]) -> None:
        self._settings = settings
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._announcements = Announcements(settings.retry)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.counts: Counter[tuple[Verb, bool]] = Counter()

    def want(self, ours: Iterable[IPv6Network], others: Iterable[IPv6Network]) -> None:
        """Have ``ours`` routed here, and not ``others``, nor what was ours before."""
        self._announcements.want(ours, others, self._loop.time())
        self._poll()

    def shown(self) -> Mapping[IPv6Network, str]:
        """Return for each pool how far its announcement is, as operators read it."""
        return self._announcements.shown()

    def close(self) -> None:
        """Try nothing more; the network keeps what it was told."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _poll(self) -> None:
        for attempt in self._announcements.due(self._loop.time()):
            task = self._loop.create_task(self._attempt(attempt))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._announcements.next_timer
        if due < inf:
            self._timer = self._loop.call_at(due, self._poll)

    async def _attempt(self, attempt: Attempt) -> None:
        argv = [*self._settings.command, attempt.verb.value, str(attempt.pool)]
        error = await _run(argv, self._settings.timeout)
        self.counts[attempt.verb, error is None] += 1
        if error is None:
            self._tell(Announced(attempt.verb, attempt.pool))
        else:
            self._tell(NotAnnounced(attempt.verb, attempt.pool, error))
        self._announcements.ended(attempt, self._loop.time(), well=error is None)
        self._poll()


async def _run(argv: list[str], timeout: float) -> str | None:  # noqa: ASYNC109 - it kills, too
    """Run a command to its end; return what went wrong in one line, if anything did."""
    with TemporaryFile() as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return f"{argv[0]}: {error.strerror}"
        try:
            async with asyncio.timeout(timeout):
                status = await process.wait()
        except TimeoutError:
            return f"{argv[0]}: does not end within {timeout:g} s"
        finally:
            # What it has started goes with it, whether it waited for that or not.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if status == 0:
            return None
        said = _last_line(output)
        return f"{argv[0]}: exit status {status}" + (f": {said}" if said else "")


def _last_line(output: IO[bytes]) -> str:
    output.seek(max(0, output.seek(0, os.SEEK_END) - _MOST_OUTPUT))
    return output.read().decode(errors="replace").strip().rpartition("\n")[2]
