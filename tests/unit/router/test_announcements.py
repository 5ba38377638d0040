"""What the network is told of pools: once when it goes well, again and again when it does not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from ipaddress import IPv6Network
from math import inf
from pathlib import Path
from typing import Any

import pytest

from moorage.router.announcements import Announcements, Attempt, Verb
from moorage.router.announcer import Announcer
from moorage.router.events import Announced, NotAnnounced, RouterEvent
from moorage.router.settings import Announce
from tests.leaks import await_end

ONE, OTHER = IPv6Network("2001:db8:a100::/40"), IPv6Network("2001:db8:a200::/40")
RETRY = 5.0
HERE, AWAY = Attempt(Verb.ANNOUNCE, ONE), Attempt(Verb.WITHDRAW, ONE)


# ---- the core ------------------------------------------------------------------------------------


def test_each_pool_is_announced_or_withdrawn_at_the_start() -> None:
    announcements = Announcements(RETRY)
    announcements.want([ONE], [ONE, OTHER], 0.0)
    assert announcements.next_timer == 0.0
    assert announcements.due(0.0) == [HERE, Attempt(Verb.WITHDRAW, OTHER)]
    assert announcements.next_timer == inf


def test_what_was_told_is_not_told_again() -> None:
    announcements = Announcements(RETRY)
    announcements.want([ONE], [], 0.0)
    [attempt] = announcements.due(0.0)
    announcements.ended(attempt, 1.0, well=True)
    announcements.want([ONE], [ONE], 2.0)
    assert announcements.next_timer == inf
    assert announcements.shown() == {ONE: "announced"}


def test_a_pool_that_is_no_longer_ours_is_withdrawn() -> None:
    announcements = Announcements(RETRY)
    announcements.want([ONE], [], 0.0)
    assert announcements.due(0.0) == [HERE]
    announcements.ended(HERE, 1.0, well=True)
    announcements.want([], [], 2.0)
    assert announcements.due(2.0) == [AWAY]
    announcements.ended(AWAY, 3.0, well=True)
    assert announcements.shown() == {ONE: "withdrawn"}


def test_what_failed_is_tried_again() -> None:
    announcements = Announcements(RETRY)
    announcements.want([ONE], [], 0.0)
    for number in range(1, 4):
        now = announcements.next_timer
        assert announcements.due(now) == [HERE]
        announcements.ended(HERE, now, well=False)
        assert announcements.next_timer == now + RETRY
        assert announcements.due(now + RETRY - 0.1) == []
        assert announcements.shown() == {ONE: f"to announce, failed {number} times"}


@pytest.mark.parametrize("well", [True, False])
def test_what_changes_meanwhile_waits_for_the_end_and_no_longer(well: bool) -> None:
    announcements = Announcements(RETRY)
    announcements.want([ONE], [], 0.0)
    assert announcements.due(0.0) == [HERE]
    announcements.want([], [], 1.0)
    assert announcements.due(1.0) == []
    announcements.ended(HERE, 2.0, well=well)
    assert announcements.due(2.0) == [AWAY]


def test_after_a_failure_nothing_is_taken_for_told() -> None:
    announcements = Announcements(RETRY)
    announcements.want([ONE], [], 0.0)
    assert announcements.due(0.0) == [HERE]
    announcements.ended(HERE, 1.0, well=True)
    announcements.want([], [], 2.0)
    assert announcements.due(2.0) == [AWAY]
    announcements.ended(AWAY, 3.0, well=False)
    announcements.want([ONE], [], 4.0)
    assert announcements.due(4.0) == [HERE]


# ---- the command ---------------------------------------------------------------------------------


class Bench:
    """Runs commands, and waits for what becomes of them."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[RouterEvent] = asyncio.Queue()
        self.announcers: list[Announcer] = []

    def announcer(self, *command: str, **settings: Any) -> Announcer:
        made = Announcer(Announce(command=list(command), **settings), self.told.put_nowait)
        self.announcers.append(made)
        return made

    async def next(self) -> RouterEvent:
        async with asyncio.timeout(30):
            return await self.told.get()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    for announcer in bench.announcers:
        announcer.close()
    running = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*running, return_exceptions=True)


async def test_the_command_gets_verb_and_pool_as_arguments(bench: Bench, tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = 'printf "%s\\n" "$@" >> "$0"'
    announcer = bench.announcer("/bin/sh", "-c", script, str(told), "no $(shell); here")
    announcer.want([ONE], [])
    assert await bench.next() == Announced(Verb.ANNOUNCE, ONE)
    announcer.want([], [])
    assert await bench.next() == Announced(Verb.WITHDRAW, ONE)
    assert told.read_text().splitlines() == [
        *("no $(shell); here", "announce", str(ONE)),
        *("no $(shell); here", "withdraw", str(ONE)),
    ]
    assert announcer.counts == {(Verb.ANNOUNCE, True): 1, (Verb.WITHDRAW, True): 1}


async def test_a_command_that_fails_is_run_again(bench: Bench, tmp_path: Path) -> None:
    script = 'test -e "$0" && exit; touch "$0"; echo first; echo the last line; exit 3'
    announcer = bench.announcer("/bin/sh", "-c", script, str(tmp_path / "x"), retry=0.01)
    announcer.want([ONE], [])
    reason = "/bin/sh: exit status 3: the last line"
    assert await bench.next() == NotAnnounced(Verb.ANNOUNCE, ONE, reason)
    assert await bench.next() == Announced(Verb.ANNOUNCE, ONE)
    assert announcer.counts == {(Verb.ANNOUNCE, False): 1, (Verb.ANNOUNCE, True): 1}
    assert announcer.shown() == {ONE: "announced"}


async def test_a_command_that_does_not_end_is_killed_with_what_it_started(
    bench: Bench, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    script = 'sleep 1000 & echo $$ $! > "$0"; wait'
    announcer = bench.announcer("/bin/sh", "-c", script, str(pids), timeout=0.5, retry=1000)
    announcer.want([ONE], [])
    reason = "/bin/sh: does not end within 0.5 s"
    assert await bench.next() == NotAnnounced(Verb.ANNOUNCE, ONE, reason)
    for pid in map(int, pids.read_text().split()):
        assert await asyncio.to_thread(await_end, pid)


async def test_what_a_command_leaves_running_is_not_waited_for(bench: Bench) -> None:
    bench.announcer("/bin/sh", "-c", "sleep 1000 &", timeout=1000).want([ONE], [])
    assert await bench.next() == Announced(Verb.ANNOUNCE, ONE)


async def test_a_command_that_is_not_there_is_named(bench: Bench) -> None:
    bench.announcer("/nowhere/announce", retry=1000).want([ONE], [])
    event = await bench.next()
    assert event == NotAnnounced(Verb.ANNOUNCE, ONE, "/nowhere/announce: No such file or directory")


async def test_who_closes_ends_what_runs(bench: Bench, tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    script = 'echo $$ > "$0"; exec sleep 1000'
    announcer = bench.announcer("/bin/sh", "-c", script, str(started), timeout=1000)
    announcer.want([ONE], [])
    pid = int(await asyncio.to_thread(started.read_text))
    announcer.close()
    assert await asyncio.to_thread(await_end, pid)
