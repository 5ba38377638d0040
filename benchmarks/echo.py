"""A server that does nothing but answer: what a request and its reply cost at the least.

Run as ``python -m benchmarks.echo FD SIZE``: it answers each packet on a socket, of whatever kind,
by SIZE bytes.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LARGEST: Final = 1 << 16


@contextmanager
def answering(server: socket.socket, size: int) -> Iterator[None]:
    """Have another process answer on ``server``, which it owns from now on."""
    with server:
        argv = [sys.executable, "-m", "benchmarks.echo", str(server.fileno()), str(size)]
        process = subprocess.Popen(argv, pass_fds=[server.fileno()])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


async def _serve(server: socket.socket, reply: bytes) -> None:
    def answer() -> None:
        _, ancillary, _, sender = server.recvmsg(_LARGEST, socket.CMSG_SPACE(4))
        if ancillary:
            _, _, data = ancillary[0]
            socket.close(int.from_bytes(data, sys.byteorder))
        if sender:
            server.sendto(reply, sender)
        else:
            server.send(reply)

    asyncio.get_running_loop().add_reader(server, answer)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1])), bytes(int(sys.argv[2]))))
