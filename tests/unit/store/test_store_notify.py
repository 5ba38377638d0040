from __future__ import annotations

import asyncio
import os
from contextlib import closing
from pathlib import Path

import pytest

from moorage.store.notify import Doorbell, ring


@pytest.fixture
def bell(tmp_path: Path) -> str:
    (tmp_path / "bell").touch()
    return str(tmp_path / "bell")


@pytest.fixture
def journal(tmp_path: Path) -> str:
    (tmp_path / "journal").touch()
    return str(tmp_path / "journal")


async def test_every_listener_hears_a_ring(bell: str, journal: str) -> None:
    with closing(Doorbell(bell, journal)) as one, closing(Doorbell(bell, journal)) as other:
        async with asyncio.timeout(30):
            for _ in range(3):
                ring(bell)
                await asyncio.gather(one.wait(), other.wait())


async def test_rings_before_the_wait_count_once(bell: str, journal: str) -> None:
    with closing(Doorbell(bell, journal)) as doorbell:
        doorbell.ring()
        doorbell.ring()
        await doorbell.wait()
        waiting = asyncio.ensure_future(doorbell.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()


async def test_a_written_journal_rings_again_and_again(bell: str, journal: str) -> None:
    """Since the writer may die before the bell, and before its write can be seen."""
    with closing(Doorbell(bell, journal)) as doorbell:
        os.truncate(journal, 1)
        async with asyncio.timeout(30):
            await doorbell.wait()
            await doorbell.wait()


async def test_a_missing_file_is_named(bell: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    open_files = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError) as caught:
        Doorbell(bell, missing)
    assert caught.value.filename == missing
    assert len(os.listdir("/proc/self/fd")) == open_files


async def test_close_leaves_nothing_behind(bell: str, journal: str) -> None:
    open_files = len(os.listdir("/proc/self/fd"))
    Doorbell(bell, journal).close()
    assert len(os.listdir("/proc/self/fd")) == open_files
