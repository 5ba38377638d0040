"""Where the time of a hard hand-off goes, as a table in Markdown.

There is no timing code in the daemons; all is seen from outside: which packets leave and arrive
(packet sockets, with the kernel's time stamps), which routes change (netlink notifications in each
namespace), and when the store rings its bell. Run as ``python -m benchmarks.breakdown``.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Final

from benchmarks import handoff
from moorage.kernel.monitor import Group, NetlinkMonitor, RouteChanged, RouteRemoved
from moorage.lab.control import Moved
from moorage.lab.errors import LabError
from moorage.lab.lab import Lab
from moorage.lab.network import ACCESS, SHARED
from moorage.lab.pcap import capture_socket
from moorage.lab.traffic import UdpReport
from moorage.numbers import ROUTE_PROTOCOL
from moorage.store.notify import Doorbell
from moorage.wire.dhcp6 import CLIENT_PORT, SERVER_PORT

_TOPOLOGY: Final = "two-routers"
_RADIO: Final = "wl0"
_STORE: Final = "bindings.db"
_OVER_NS: Final = 100_000_000
"""What is seen later than this after the carrier has to do with something else."""

_FRAME_BYTES: Final = 128
_TIMESTAMP: Final = struct.Struct("=qq")
_PORT_AT: Final = 56
"""Where the destination port of UDP is in an Ethernet frame with an IPv6 packet."""
_NEXT_HEADER_AT: Final = 20
_PORT: Final = struct.Struct("!H")

_SO_ATTACH_FILTER: Final = 26
_DHCP_ONLY: Final = (
    (0x30, 0, 0, _NEXT_HEADER_AT),  # load the next header
    (0x15, 0, 4, socket.IPPROTO_UDP),
    (0x28, 0, 0, _PORT_AT),  # load the destination port
    (0x15, 1, 0, CLIENT_PORT),
    (0x15, 0, 1, SERVER_PORT),
    (0x06, 0, 0, _FRAME_BYTES),  # take the frame
    (0x06, 0, 0, 0),  # drop it
)
"""A packet filter, as ``<linux/filter.h>`` has it: operation, jumps if true and false, operand."""


class _Kind(StrEnum):
    REQUEST = "request"
    REPLY = "reply"
    ROUTES = "routes"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class _Sight:
    """What was seen, and when: ns of CLOCK_MONOTONIC."""

    moment: int
    kind: _Kind
    node: str


class _Observer:
    """Sees DHCPv6 messages, changes of our routes, and commits, until `close`."""

    def __init__(self, lab: Lab) -> None:
        """Begin to observe. Needs a running event loop."""
        self.seen: Final[list[_Sight]] = []
        self._loop = asyncio.get_running_loop()
        self._realtime = time.time_ns() - time.monotonic_ns()
        self._sources: list[socket.socket | NetlinkMonitor] = []
        for node, interface in (
            (handoff.HOST, _RADIO),
            (handoff.ANCHOR, ACCESS),
            (handoff.OTHER, ACCESS),
        ):
            packets = lab.node(node).call(capture_socket, interface)
            _keep_dhcp(packets)
            self._loop.add_reader(packets, self._read_packets, node, packets)
            routes = lab.node(node).call(NetlinkMonitor, [Group.ROUTE])
            self._loop.add_reader(routes, self._read_routes, node, routes)
            self._sources += (packets, routes)
        store = lab.node(handoff.ANCHOR).folder.parent / SHARED / _STORE
        self._bell = Doorbell(str(store), f"{store}-wal")
        self._listening = self._loop.create_task(self._listen())

    def close(self) -> None:
        """Observe no longer."""
        self._listening.cancel()
        self._bell.close()
        for source in self._sources:
            self._loop.remove_reader(source)
            source.close()

    def _read_packets(self, node: str, packets: socket.socket) -> None:
        data, ((_, _, stamp),), _, _ = packets.recvmsg(
            _FRAME_BYTES, socket.CMSG_SPACE(_TIMESTAMP.size)
        )
        (port,) = _PORT.unpack_from(data, _PORT_AT)
        seconds, nanoseconds = _TIMESTAMP.unpack(stamp)
        moment = seconds * 1_000_000_000 + nanoseconds - self._realtime
        kind = _Kind.REQUEST if port == SERVER_PORT else _Kind.REPLY
        self.seen.append(_Sight(moment, kind, node))

    def _read_routes(self, node: str, routes: NetlinkMonitor) -> None:
        now = time.monotonic_ns()
        if any(
            isinstance(event, RouteChanged | RouteRemoved) and event.protocol == ROUTE_PROTOCOL
            for event in routes.read()
        ):
            self.seen.append(_Sight(now, _Kind.ROUTES, node))

    async def _listen(self) -> None:
        while True:
            await self._bell.wait()
            self.seen.append(_Sight(time.monotonic_ns(), _Kind.STORE, _STORE))


def _keep_dhcp(packets: socket.socket) -> None:
    """Let a packet socket receive DHCPv6 and nothing else."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in _DHCP_ONLY)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(_DHCP_ONLY), ctypes.addressof(buffer))
    packets.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    with suppress(BlockingIOError):
        while True:  # what it had received before
            packets.recv(1)


@contextmanager
def _observing(lab: Lab) -> Iterator[_Observer]:
    observer = _Observer(lab)
    with closing(observer):
        yield observer


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of a hand-off: what it is, and when it was over, in ms from the carrier on.

    One that is ``beside`` the others has none of them to wait for.
    """

    name: str
    after: float
    beside: bool = False


def _steps(move: Moved, router: str, seen: Sequence[_Sight], flowed: UdpReport) -> list[_Step]:
    """The steps of one move to a router. Raises RuntimeError if one was not seen."""
    start = move.up
    # The daemon may see the carrier before the lab does.
    near = sorted(
        (sight for sight in seen if move.down <= sight.moment <= start + _OVER_NS),
        key=lambda sight: sight.moment,
    )

    def first(kind: _Kind, node: str, after: int = move.down) -> int:
        for sight in near:
            if (sight.kind, sight.node) == (kind, node) and sight.moment >= after:
                return sight.moment
        raise RuntimeError(f"no {kind} of {node} was seen after a move")

    heard = first(_Kind.REPLY, handoff.HOST)
    up, down = flowed.up_after(start), flowed.down_after(start)
    if up is None or down is None:
        raise RuntimeError("the flow did not go on after a move")
    chain = {
        "host: carrier seen, Rebind made and signed": first(_Kind.REQUEST, handoff.HOST),
        "access link: Rebind to the router": first(_Kind.REQUEST, router),
        "router: signature checked, decided; store: committed": first(_Kind.STORE, _STORE),
        "router: Reply made and sent": first(_Kind.REPLY, router),
        "access link: Reply to the host": heard,
        "host: Reply read, routes": first(_Kind.ROUTES, handoff.HOST, heard),
    }
    beside = {"router: own routes": first(_Kind.ROUTES, router)}
    if router != handoff.ANCHOR:
        beside["anchor: store heard, path"] = first(_Kind.ROUTES, handoff.ANCHOR)
    beside |= {"flow: first packet up": up, "flow: first packet down": down}
    return [
        _Step(name, (moment - start) / 1e6, beside=moments is beside)
        for moments in (chain, beside)
        for name, moment in moments.items()
    ]


async def _measure() -> tuple[list[list[_Step]], list[list[_Step]]]:
    """The steps of every move away, and of every move home."""
    with (
        handoff.daemons(_TOPOLOGY) as lab,
        handoff.start_flow(lab, handoff.session_lasting) as flow,
        _observing(lab) as observer,
    ):

        def move(router: str) -> Moved:
            return lab.move(handoff.HOST, router)

        moves = await asyncio.to_thread(handoff.back_and_forth, move, handoff.REPETITIONS)
        flowed = flow.stop()
    routers = [handoff.OTHER, handoff.ANCHOR] * handoff.REPETITIONS
    steps = [
        _steps(move, router, observer.seen, flowed)
        for move, router in zip(moves, routers, strict=True)
    ]
    return steps[0::2], steps[1::2]


def table(title: str, moves: Sequence[Sequence[_Step]]) -> str:
    """The medians over all moves: when each step was over, and how long after the one before."""
    lines = [f"| {title} | over after, ms | takes, ms |", "|---|---:|---:|"]
    before = 0.0
    for step in zip(*moves, strict=True):
        after = median(each.after for each in step)
        takes = "" if step[0].beside else f"{after - before:.2f}"
        lines.append(f"| {step[0].name} | {after:.2f} | {takes} |")
        before = after
    return "\n".join(lines)


def main() -> int:
    """Measure and print; return the exit status."""
    try:
        away, home = asyncio.run(_measure())
    except (LabError, OSError, RuntimeError) as error:
        print(f"breakdown FAILED: {error}")
        return 1
    print(table("Away from the anchor", away))
    print()
    print(table("Home to the anchor", home))
    return 0


if __name__ == "__main__":
    sys.exit(main())
