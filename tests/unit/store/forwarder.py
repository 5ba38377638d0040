"""A way to a server that loses what it answers, when told to."""

from __future__ import annotations

import asyncio
from typing import Self

from tests.etcd import HOST


class Forwarder:
    """Forwards TCP connections of clients to a server."""

    def __init__(self, endpoint: str) -> None:
        """Forward to ``endpoint``, a ``[host]:port``."""
        host, _, port = endpoint.rpartition(":")
        self._server = host.strip("[]"), int(port)
        self._open: set[asyncio.StreamWriter] = set()
        self._losing = False
        self._refusing = False

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, HOST)
        self.endpoint = f"[{HOST}]:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self._cut()

    def lose_answers(self, *, refuse: bool = False) -> None:
        """Cut all connections at the next answer, before it comes through.

        Others may be made then, unless ``refuse`` is set, until `admit`.
        """
        self._losing, self._refusing = True, refuse

    def admit(self) -> None:
        """Let connections be made again."""
        self._refusing = False

    def _cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing and not self._losing:
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_connection(*self._server)
        pair = {writer, server_writer}
        self._open |= pair
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._answers(server_reader, writer))
                while data := await reader.read(1 << 16):
                    server_writer.write(data)
                server_writer.close()
        except (ConnectionError, ExceptionGroup):
            pass
        finally:
            self._open -= pair
            for each in pair:
                each.transport.abort()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if self._losing and self._is_answer(data):
                self._losing = False
                self._cut()
                return
            writer.write(data)
        writer.close()

    @staticmethod
    def _is_answer(data: bytes) -> bool:
        """Whether HTTP/2 HEADERS or DATA are among the frames (RFC 9113 section 4.1)."""
        while len(data) >= 9:
            if data[3] in (0, 1):
                return True
            data = data[9 + int.from_bytes(data[:3], "big") :]
        return False
