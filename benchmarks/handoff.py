"""Moves of a host in the lab, and how soon a UDP flow goes on in each direction.

A flow runs all the time, a packet each way every millisecond, between the host and the
correspondent. Its address is one of the first router's, the *anchor*; so of every two moves one
leads away from the anchor, over a detour, and one leads home.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import moorage
from benchmarks.figure import Figure
from benchmarks.floor import Floor
from moorage import ServiceType
from moorage.kernel.monitor import Group, LinkChanged, NetlinkMonitor
from moorage.lab.control import Moved
from moorage.lab.lab import Lab
from moorage.lab.topology import Topology
from moorage.lab.traffic import UdpFlow, UdpReport, udp_pair

REPETITIONS: Final = 20
HOST: Final = "mn"
ANCHOR: Final = "ar1"
OTHER: Final = "ar2"
CORRESPONDENT: Final = "cn"

_PAUSE: Final = 0.4
"""Seconds between moves, so that one is over before the next begins."""

_AMPLE: Final = {"addresses": 1000, "requests": 1000}
"""The host's quotas, which are not what is measured."""

Mover = Callable[[str], Moved]
"""Moves the host to a router."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """Milliseconds from the new link's carrier to the first packet, by direction."""

    up: float
    down: float


@dataclass(frozen=True, slots=True)
class Interruptions:
    """Those of all moves away from the anchor, and of all moves home."""

    away: tuple[Interruption, ...]
    home: tuple[Interruption, ...]


@contextmanager
def daemons(source: str | Topology) -> Iterator[Lab]:
    """A lab with all daemons, whose host this process can call by the library."""
    with Lab.start(source) as lab:
        for router in lab.topology().routers:
            lab.daemon(router).start(quota=_AMPLE["addresses"])
        lab.daemon(HOST).start(quota={"application": _AMPLE, "user": _AMPLE, "all": _AMPLE})
        os.environ["MOORAGE_SOCKET"] = str(lab.node(HOST).folder / "host.sock")
        yield lab


def session_lasting(near: socket.socket) -> None:
    """Bind a socket to a Session-lasting address."""
    near.bind((str(moorage.setsc(near, ServiceType.SESSION_LASTING)), 0))


def start_flow(lab: Lab, prepare: Callable[[socket.socket], object]) -> UdpFlow:
    """Start the flow, from a socket that ``prepare`` has bound."""
    address = lab.topology().correspondents[CORRESPONDENT].core.address
    peer = lab.node(CORRESPONDENT)
    return UdpFlow.start(*udp_pair(lab.node(HOST), peer, address, prepare))


def back_and_forth(move: Mover, repetitions: int) -> list[Moved]:
    """Move away from the anchor and home again, so many times."""
    moves = []
    for _ in range(repetitions):
        for router in (OTHER, ANCHOR):
            time.sleep(_PAUSE)
            moves.append(move(router))
    time.sleep(_PAUSE)
    return moves


def interruptions(moves: list[Moved], report: UdpReport) -> Interruptions:
    """What the flow of a `back_and_forth` says. Raises RuntimeError if it did not go on."""
    found = [_interruption(move.up, report) for move in moves]
    return Interruptions(tuple(found[0::2]), tuple(found[1::2]))


def _interruption(carrier: int, report: UdpReport) -> Interruption:
    up, down = report.up_after(carrier), report.down_after(carrier)
    if up is None or down is None:
        raise RuntimeError("the flow did not go on after a move")
    return Interruption((up - carrier) / 1e6, (down - carrier) / 1e6)


def with_daemons(topology: str, repetitions: int = REPETITIONS) -> Interruptions:
    """Hard moves, as the daemons do them."""
    with daemons(topology) as lab, start_flow(lab, session_lasting) as flow:
        moves = back_and_forth(lambda router: lab.move(HOST, router), repetitions)
        return interruptions(moves, flow.stop())


def by_hand(topology: str, repetitions: int = REPETITIONS) -> Interruptions:
    """Hard moves, with static addresses and routes and no signalling: the floor.

    One process sees the carrier and changes the routes of all nodes at once.
    """
    with Lab.start(topology) as lab, ThreadPoolExecutor(1) as mover:
        floor = Floor(lab, HOST, ANCHOR, OTHER)
        carrier = lab.node(HOST).call(NetlinkMonitor, [Group.LINK])

        def move(router: str) -> Moved:
            carrier.read()
            moving = mover.submit(lab.move, HOST, router)
            _await_carrier(carrier)
            floor.route_by(router)
            return moving.result()

        def prepare(near: socket.socket) -> None:
            near.bind((str(floor.address), 0))

        floor.route_by(ANCHOR)
        with start_flow(lab, prepare) as flow:
            moves = back_and_forth(move, repetitions)
            report = flow.stop()
        carrier.close()
        floor.close()
    return interruptions(moves, report)


def _await_carrier(monitor: NetlinkMonitor) -> None:
    """Return when an interface has lost its carrier and has one again."""
    lost = False
    while True:
        select.select([monitor], [], [])
        for event in monitor.read():
            if isinstance(event, LinkChanged):
                if event.link.carrier and lost:
                    return
                lost = lost or not event.link.carrier


def figures(name: str, ours: Interruptions, floor: Interruptions, limit: float) -> list[Figure]:
    """A figure for each way to move and each direction of the flow; ``limit`` is milliseconds."""
    pairs = (("away", ours.away, floor.away), ("home", ours.home, floor.home))
    return [
        Figure(
            f"{name} {where}, {direction}",
            "ms",
            tuple(getattr(each, direction) for each in measured),
            "by hand",
            tuple(getattr(each, direction) for each in reference),
            limit,
        )
        for where, measured, reference in pairs
        for direction in ("up", "down")
    ]
