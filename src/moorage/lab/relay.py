"""A process that passes the frames of one link on, later or not at all.

The kernel may have no netem. So a link with delay or loss is two veth pairs, and between their
inner ends this relay moves whole frames by packet sockets. Each frame keeps its virtio header
(PACKET_VNET_HDR), so that checksums and segments that the kernel left for later stay as they are.
"""

from __future__ import annotations

import gc
import random
import select
import socket
import sys
import time
from collections import deque
from typing import Final

from moorage.lab.enter import check, libc

_SOL_PACKET: Final = 263
_PACKET_VNET_HDR: Final = 15
_PACKET_IGNORE_OUTGOING: Final = 23
_ETH_P_ALL: Final = 3
_SO_RCVBUFFORCE: Final = 33
_PR_SET_TIMERSLACK: Final = 29

_FRAME_BYTES: Final = 10 + 14 + (1 << 16)
_BUFFER_BYTES: Final = 8 << 20
_BURST: Final = 64
"""Frames taken from one side before the other side and those that are due get their turn."""
_QUEUE_FRAMES: Final = 1 << 14
"""Frames under way in one direction; as in a router, the next ones are lost."""


def open_port(interface: str) -> socket.socket:
    """A socket that gets every frame that arrives at an interface of this network namespace."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    port.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    port.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    # In a user namespace nobody may exceed the system's limit.
    for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):
        try:
            port.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        except PermissionError:
            continue
        break
    port.setblocking(False)
    port.bind((interface, _ETH_P_ALL))
    return port


class _Direction:
    """The frames on their way from one port to the other."""

    def __init__(
        self, source: socket.socket, target: socket.socket, delay: float, loss: float, seed: str
    ) -> None:
        self._source = source
        self._target = target
        self._delay = delay
        self._loss = loss
        self._random = random.Random(seed)
        self._frames: deque[tuple[float, bytes]] = deque()

    def take(self) -> None:
        """Read what has arrived."""
        for _ in range(_BURST):
            try:
                frame = self._source.recv(_FRAME_BYTES)
            except OSError:  # nothing more, or the interface is down
                return
            if self._random.random() >= self._loss and len(self._frames) < _QUEUE_FRAMES:
                self._frames.append((time.monotonic() + self._delay, frame))

    def give(self) -> float | None:
        """Send what is due; return when the next frame will be."""
        while self._frames:
            due, frame = self._frames[0]
            if due > time.monotonic():
                return due
            self._frames.popleft()
            try:
                self._target.send(frame)
            except OSError:  # too long for the link, its queue is full, or it is down
                continue
        return None


def relay(left: socket.socket, right: socket.socket, delay: float, loss: float, seed: str) -> None:
    """Pass frames on between two ports for ever."""
    check(libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0), "prctl")
    gc.disable()  # a collection may take longer than the precision that is wanted
    directions = {
        left: _Direction(left, right, delay, loss, f"{seed} there"),
        right: _Direction(right, left, delay, loss, f"{seed} back"),
    }
    while True:
        pending = [due for direction in directions.values() if (due := direction.give())]
        wait = max(0.0, min(pending) - time.monotonic()) if pending else None
        for port in select.select([left, right], [], [], wait)[0]:
            directions[port].take()


if __name__ == "__main__":
    _LEFT, _RIGHT, _DELAY, _LOSS, _SEED = sys.argv[1:]
    relay(
        socket.socket(fileno=int(_LEFT)),
        socket.socket(fileno=int(_RIGHT)),
        float(_DELAY),
        float(_LOSS),
        _SEED,
    )
