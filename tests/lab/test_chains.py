"""Chains of moves on the real kernel; what the core carries meanwhile is counted."""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import product
from pathlib import Path

import pytest

import moorage
from moorage.lab.lab import Lab
from moorage.lab.pcap import capture_socket
from moorage.lab.traffic import UdpFlow, udp_pair
from moorage.service import ServiceType
from moorage.wire.dhcp6 import Message, MessageType
from tests.conformance.scene import PATIENCE, Scene, eventually
from tests.domain import lease
from tests.lab.loss import lose_answers, lose_no_more
from tests.lab.plain_host import FIXED, Host, reached

pytestmark = pytest.mark.netns

PACE = 0.004
"""Seconds between two packets of the flow, each way."""
SEEN_AT_MOST = 4
"""Times that the core sees a packet: on its way in and out, once in a tunnel and once without."""
HOPS_AT_MOST = 5
"""Two access routers and, twice, the core; one more where the kernel counts the tunnel."""

_IPV6 = struct.Struct("!IHBB16s16s")
_NUMBER = struct.Struct("!Q")
_ETHERNET = 14
_UDP = 8


class Core:
    """What passes the core from now on."""

    def __init__(self, lab: Lab, stack: ExitStack) -> None:
        nodes = [*lab.topology().routers, *lab.topology().correspondents]
        self._taps = [
            stack.enter_context(lab.node("core").call(capture_socket, name)) for name in nodes
        ]

    def packets(self) -> tuple[Counter[tuple[bytes, int]], int]:
        """How often each packet of a flow was seen, and the fewest hops that one had left."""
        seen: Counter[tuple[bytes, int]] = Counter()
        fewest = 255
        for tap in self._taps:
            with suppress(BlockingIOError):
                while True:
                    found = numbered(tap.recv(2048)[_ETHERNET:])
                    if found is not None:
                        source, number, hops = found
                        seen[source, number] += 1
                        fewest = min(fewest, hops)
        return seen, fewest


def numbered(packet: bytes) -> tuple[bytes, int, int] | None:
    """Source, number and hop limit of a flow's packet, in a tunnel or not."""
    if len(packet) < _IPV6.size or packet[0] >> 4 != 6:
        return None
    _, size, following, hops, source, _ = _IPV6.unpack_from(packet)
    if following == socket.IPPROTO_IPV6:
        return numbered(packet[_IPV6.size :])
    if following != socket.IPPROTO_UDP or size != _UDP + _NUMBER.size:
        return None
    return source, _NUMBER.unpack_from(packet, _IPV6.size + _UDP)[0], hops


class Chain:
    """A host with a flow from a Session-lasting address, anchored at the first of three routers."""

    def __init__(self, scene: Scene, stack: ExitStack) -> None:
        self.scene = scene
        self.core = Core(scene.lab, stack)

        def prepare(near: socket.socket) -> None:
            near.bind((str(moorage.setsc(near, ServiceType.SESSION_LASTING, timeout=PATIENCE)), 0))

        pair = udp_pair(scene.host, scene.peer, scene.destination, prepare)
        self.flow = stack.enter_context(UdpFlow.start(*pair, interval=PACE))

    def served_by(self, router: str) -> bool:
        """Whether the store says that a router serves all that the host has."""
        return {binding.serving for binding in self.scene.bindings()} == {router}

    def settle_at(self, router: str) -> None:
        """Wait until it is so."""
        eventually(lambda: self.served_by(router))

    def check(self) -> None:
        """The flow goes on both ways, and no packet was seen too often."""
        [anchor] = {binding.anchor for binding in self.scene.bindings()}
        assert anchor == "ar1"
        now = time.monotonic_ns()
        time.sleep(20 * PACE)
        report = self.flow.stop()
        assert report.up_after(now) is not None
        assert report.down_after(now) is not None
        seen, fewest = self.core.packets()
        assert len(seen) > len(report.up.sent)  # of both directions
        assert max(seen.values()) <= SEEN_AT_MOST
        assert fewest >= 64 - HOPS_AT_MOST


@pytest.fixture
def chain(mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chain]:
    with Lab.start("three-routers", state=tmp_path) as lab, ExitStack() as stack:
        scene = Scene(lab, tmp_path / "bindings.db")
        monkeypatch.setenv("MOORAGE_SOCKET", str(scene.host.folder / "host.sock"))
        lab.start_daemons()
        yield Chain(scene, stack)


def test_there_and_further_and_back(chain: Chain) -> None:
    for router in ("ar2", "ar3", "ar1", "ar3", "ar2", "ar1"):
        chain.scene.lab.move("mn", router)
        chain.settle_at(router)
    chain.check()


def test_ten_moves_a_second(chain: Chain) -> None:
    """So fast that hardly any is over when the next one begins."""
    start = time.monotonic()
    routers = ["ar2", "ar3", "ar2", "ar1", "ar3"] * 6
    for number, router in enumerate(routers, 1):
        chain.scene.lab.move("mn", router)
        time.sleep(max(0.0, start + number / 10 - time.monotonic()))
    chain.settle_at(routers[-1])
    chain.check()


def test_two_moves_at_once(chain: Chain) -> None:
    for router, next_one in (("ar2", "ar3"), ("ar1", "ar2"), ("ar3", "ar1")):
        chain.scene.lab.move("mn", router)
        chain.scene.lab.move("mn", next_one)
        chain.settle_at(next_one)
    chain.check()


@pytest.mark.parametrize("further", [False, True], ids=["and it stays", "and it moves on"])
def test_a_reply_that_is_lost(chain: Chain, further: bool) -> None:
    lab, tap = chain.scene.lab, chain.scene.tap()
    router = lab.node("ar2")
    lose_answers(router)
    lab.move("mn", "ar2")
    rebinds: list[Message] = []

    def asked_again() -> bool:
        rebinds.extend(tap.messages(MessageType.REBIND))
        return len(rebinds) > 2

    eventually(asked_again)
    assert chain.served_by("ar2")
    if further:
        lab.move("mn", "ar3")
        chain.settle_at("ar3")
    else:
        lose_no_more(router)
        eventually(lambda: tap.messages(MessageType.REPLY))
        assert chain.served_by("ar2")
    chain.check()


def test_both_routers_claim_the_host_at_once(mark: str, tmp_path: Path) -> None:
    """What the host signed last is where it wants to be, whichever router is faster."""
    with Lab.start("three-routers", state=tmp_path) as lab, ExitStack() as stack:
        for name in lab.topology().routers:
            lab.daemon(name).start()
        scene = Scene(lab, tmp_path / "bindings.db")
        one = Host(lab, stack)
        prefix = one.obtain()
        lab.move("mn", "ar2")
        lab.attach("mn", "wl1", "ar3")
        other = Host(lab, stack, "wl1", one.identity)
        ways = [(one, other, "ar3"), (other, one, "ar2")]
        for (earlier, later, router), in_order in product(ways, (True, False)):
            message = one.rebind(prefix, FIXED)
            claims = [(earlier, earlier.sign(message)), (later, later.sign(message))]
            for host, datagram in claims if in_order else reversed(claims):
                host.send(datagram)
            earlier.answer()
            # It sends by this one from now on.
            assert lease(later.answer()).prefix == prefix
            assert scene.binding(prefix[1]).serving == router
            assert reached(lab, prefix)
