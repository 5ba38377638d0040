"""The correspondent's server: it sends back what it gets. Its port is the first line it writes."""

from __future__ import annotations

import asyncio
import sys


class _Echo(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


async def _serve(address: str) -> None:
    server = await asyncio.get_running_loop().create_server(_Echo, address)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
