"""What the daemon does with the kernel's quotas."""

from __future__ import annotations

import asyncio
import errno
from ipaddress import IPv6Address

from moorage.host.counting import ByteCounting
from moorage.kernel.fake_quotas import FakeSendQuotas
from moorage.kernel.send_quotas import Quota, SendQuotas

ADDRESS = IPv6Address("2001:db8::1")
OTHER = IPv6Address("2001:db8::2")


class Quotas(FakeSendQuotas):
    """Tells when its quotas are made again."""

    def __init__(self) -> None:
        super().__init__()
        self.made_again = asyncio.Event()

    def resync(self) -> None:
        super().resync()
        self.made_again.set()


class Shell:
    """Counting, what it told, and the kernel behind it."""

    def __init__(self, *, possible: bool = True) -> None:
        self.fake = Quotas()
        self.possible = possible
        self.spent: asyncio.Queue[IPv6Address] = asyncio.Queue()
        self.complaints: list[str] = []
        self.opened = 0
        self.counting = ByteCounting(self.spent.put_nowait, self.complaints.append, self._open)

    def _open(self) -> SendQuotas:
        self.opened += 1
        if not self.possible:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return self.fake

    async def next_spent(self) -> IPv6Address:
        return await asyncio.wait_for(self.spent.get(), 10)


async def test_nothing_is_opened_without_a_limit() -> None:
    shell = Shell()
    shell.counting.apply({})
    assert shell.counting.used() == {}
    shell.counting.close()
    assert shell.opened == 0


async def test_a_spent_quota_is_told() -> None:
    shell = Shell()
    shell.counting.apply({ADDRESS: Quota(100)})
    shell.fake.send(ADDRESS, 60)
    assert shell.counting.used() == {ADDRESS: 60}
    shell.fake.send(ADDRESS, 60)
    assert await shell.next_spent() == ADDRESS
    shell.counting.apply({})
    shell.counting.close()
    assert shell.fake.used() == {}


async def test_quotas_that_somebody_takes_away_are_made_again() -> None:
    shell = Shell()
    shell.counting.apply({ADDRESS: Quota(100)})
    shell.fake.flush()
    await asyncio.wait_for(shell.fake.made_again.wait(), 10)
    shell.fake.send(ADDRESS, 100)
    assert await shell.next_spent() == ADDRESS
    shell.counting.close()


async def test_what_was_spent_is_found_when_notifications_were_lost() -> None:
    shell = Shell()
    shell.counting.apply({ADDRESS: Quota(100), OTHER: Quota(100)})
    shell.fake.send(ADDRESS, 99)
    shell.fake.send(OTHER, 100)
    shell.fake.overrun()
    assert await shell.next_spent() == OTHER
    assert shell.counting.used() == {ADDRESS: 99, OTHER: 100}
    shell.counting.close()


async def test_that_quotas_are_gone_is_found_when_notifications_were_lost() -> None:
    shell = Shell()
    shell.counting.apply({ADDRESS: Quota(100)})
    shell.fake.flush()
    shell.fake.overrun()
    await asyncio.wait_for(shell.fake.made_again.wait(), 10)
    assert shell.counting.used() == {ADDRESS: 0}
    shell.counting.close()


async def test_what_a_killed_daemon_counted_is_taken_over() -> None:
    shell = Shell()
    shell.fake.apply({ADDRESS: Quota(100)})
    shell.fake.send(ADDRESS, 70)
    shell.counting.apply({ADDRESS: Quota(100, 50)})
    assert shell.counting.used() == {ADDRESS: 70}
    shell.counting.close()


async def test_a_kernel_that_cannot_is_complained_of_once() -> None:
    shell = Shell(possible=False)
    for _ in range(2):
        shell.counting.apply({ADDRESS: Quota(100)})
    shell.counting.close()
    assert shell.opened == 1
    assert shell.complaints == [
        "bytes sent are not counted, nor lifetimes kept by them: [Errno 95] Operation not supported"
    ]
