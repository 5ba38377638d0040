"""Quotas of bytes sent from an address: the same tests for the kernel and for its fake."""

from __future__ import annotations

import select
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import pytest

from moorage.kernel.fake_quotas import FakeSendQuotas
from moorage.kernel.send_quotas import (
    TABLE,
    UNLIMITED,
    Event,
    NetlinkSendQuotas,
    Quota,
    Removed,
    SendQuotas,
    Spent,
)

if TYPE_CHECKING:
    from tests.kernel.conftest import KernelWorld

ONE, TWO = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")
HEADERS = 48
"""Bytes of the IPv6 and UDP headers."""
PACKET = 1000


class Sending(ABC):
    """Quotas, and applications that use them up."""

    quotas: SendQuotas

    @abstractmethod
    def send(self, address: IPv6Address) -> None:
        """Send a packet of `PACKET` bytes."""

    @abstractmethod
    def flush(self) -> None:
        """Remove all quotas behind their owner's back."""

    @abstractmethod
    def again(self) -> SendQuotas:
        """Return what a process sees that is started after this one."""

    def event(self) -> list[Event]:
        assert select.select([self.quotas], [], [], 10)[0]
        return self.quotas.read()


class InMemory(Sending):
    def __init__(self) -> None:
        self.fake = self.quotas = FakeSendQuotas()

    def send(self, address: IPv6Address) -> None:
        self.fake.send(address, PACKET)

    def flush(self) -> None:
        self.fake.flush()

    def again(self) -> SendQuotas:
        return self.quotas


class InKernel(Sending):
    def __init__(self, stack: list[NetlinkSendQuotas]) -> None:
        self._stack = stack
        self.quotas = self.again()

    def send(self, address: IPv6Address) -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind((str(address), 0))
            sock.sendto(bytes(PACKET - HEADERS), sock.getsockname())

    def flush(self) -> None:
        subprocess.run(["nft", "flush", "ruleset"], check=True)

    def again(self) -> SendQuotas:
        quotas = NetlinkSendQuotas()
        self._stack.append(quotas)
        return quotas


@pytest.fixture(params=["memory", pytest.param("kernel", marks=pytest.mark.netns)])
def sending(request: pytest.FixtureRequest) -> Iterator[Sending]:
    if request.param == "memory":
        made = InMemory()
        with closing(made.fake):
            yield made
        return
    kernel: KernelWorld = request.getfixturevalue("kernel")
    for address in (ONE, TWO):
        kernel.add_address(str(address), 128)
    opened: list[NetlinkSendQuotas] = []
    yield InKernel(opened)
    for quotas in opened:
        quotas.close()


def test_a_quota_that_is_spent_is_told_once(sending: Sending) -> None:
    sending.quotas.apply({ONE: Quota(3 * PACKET - 10)})
    for _ in range(2):
        sending.send(ONE)
    assert sending.quotas.used() == {ONE: 2 * PACKET}
    assert sending.quotas.read() == []
    sending.send(ONE)
    assert sending.event() == [Spent(ONE)]
    sending.send(ONE)
    assert sending.quotas.read() == []


def test_other_addresses_do_not_count(sending: Sending) -> None:
    sending.quotas.apply({ONE: Quota(PACKET - 10)})
    sending.send(TWO)
    assert sending.quotas.used() == {ONE: 0}
    assert sending.quotas.read() == []


def test_a_quota_goes_on_counting_when_another_comes_or_goes(sending: Sending) -> None:
    one, two = Quota(10 * PACKET), Quota(20 * PACKET)
    sending.quotas.apply({ONE: one})
    sending.send(ONE)
    sending.quotas.apply({ONE: one, TWO: two})
    sending.send(TWO)
    assert sending.quotas.used() == {ONE: PACKET, TWO: PACKET}
    sending.quotas.apply({TWO: two})
    assert sending.quotas.used() == {TWO: PACKET}
    sending.quotas.apply({})
    assert sending.quotas.used() == {}


def test_a_limit_that_changes_keeps_what_was_counted(sending: Sending) -> None:
    sending.quotas.apply({ONE: Quota(UNLIMITED), TWO: Quota(UNLIMITED)})
    sending.send(ONE)
    sending.quotas.apply({ONE: Quota(2 * PACKET - 10), TWO: Quota(UNLIMITED)})
    assert sending.quotas.used() == {ONE: PACKET, TWO: 0}
    sending.send(ONE)
    assert sending.event() == [Spent(ONE)]


def test_what_was_used_before_counts(sending: Sending) -> None:
    sending.quotas.apply({ONE: Quota(3 * PACKET - 10, used=2 * PACKET)})
    assert sending.quotas.used() == {ONE: 2 * PACKET}
    sending.send(ONE)
    assert sending.event() == [Spent(ONE)]


def test_quotas_that_were_flushed_are_made_again(sending: Sending) -> None:
    sending.quotas.apply({ONE: Quota(PACKET - 10)})
    sending.flush()
    assert sending.event() == [Removed()]
    assert sending.quotas.used() == {}
    sending.quotas.resync()
    sending.send(ONE)
    assert sending.event() == [Spent(ONE)]


def test_quotas_that_were_flushed_are_made_again_by_the_next_change(sending: Sending) -> None:
    sending.quotas.apply({ONE: Quota(PACKET), TWO: Quota(PACKET)})
    sending.flush()
    sending.quotas.apply({TWO: Quota(PACKET)})
    assert sending.quotas.used() == {TWO: 0}


def test_the_next_life_finds_what_was_used(sending: Sending) -> None:
    sending.quotas.apply({ONE: Quota(10 * PACKET)})
    sending.send(ONE)
    assert sending.again().used() == {ONE: PACKET}


def test_nothing_stays_behind(sending: Sending) -> None:
    assert sending.quotas.used() == {}
    sending.quotas.apply({ONE: Quota(PACKET)})
    sending.quotas.remove()
    assert sending.quotas.used() == {}
    sending.quotas.remove()


@pytest.mark.netns
def test_nft_shows_the_table_and_traffic_passes(kernel: KernelWorld) -> None:
    kernel.add_address(str(ONE), 128)
    with closing(NetlinkSendQuotas()) as quotas:
        quotas.apply({ONE: Quota(12345)})
        shown = subprocess.run(
            ["nft", "list", "table", "ip6", TABLE], check=True, capture_output=True, text=True
        ).stdout
        assert "over 12345 bytes" in shown
        assert "type ipv6_addr : quota" in shown
        assert "quota name ip6 saddr map @quotas" in shown
        assert "hook output" in shown
        quotas.remove()
    left = subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True)
    assert left.stdout == ""
