"""`moorage` for asyncio: the same calls, without blocking the loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address
from typing import Any

from moorage import client, watching
from moorage.errors import SetscError
from moorage.offered import offered
from moorage.service import ServiceType
from moorage.watching import Event, Interrupted
from moorage.wire.app import REPLY_LENGTH, Reply, Request
from moorage.wire.notice import NOTICE_LENGTH


async def setsc(
    sock: socket.socket,
    service: ServiceType | int | None = None,
    *,
    on_net: bool = False,
    timeout: float | None = None,  # noqa: ASYNC109 - the daemon keeps it, so that it can tell why
    lifetime: int | None = None,
) -> IPv6Address:
    """Return a source address of type ``service`` for ``sock``; see `moorage.setsc`.

    Raises:
        SetscError, ValueError: as `moorage.setsc` does.
    """
    if service is not None and not on_net and lifetime is None:
        address = offered(sock, service)
        if address is not None:
            return address
    request = client.setsc_request(sock, service, on_net=on_net, timeout=timeout, lifetime=lifetime)
    with client.connect(blocking=False) as connection:
        return client.granted(await _ask(connection, request, sock)).address


@asynccontextmanager
async def watch(subject: socket.socket | IPv6Address | str) -> AsyncIterator[AsyncIterator[Event]]:
    """Watch the address of a socket, or an address; see `moorage.watch`.

    ``async with watch(sock) as events`` gives an iterator for ``async for``, which ends after
    `moorage.Interrupted`.

    Raises:
        OSError, ValueError: as `moorage.watch` does.
    """
    with client.connect(blocking=False) as connection:
        with watching.user_of(subject) as sock:
            watching.accepted(await _ask(connection, watching.watch_request(), sock))
        yield _events(connection)


async def _events(connection: socket.socket) -> AsyncIterator[Event]:
    loop = asyncio.get_running_loop()
    while True:
        try:
            data = await loop.sock_recv(connection, NOTICE_LENGTH + 1)
        except ConnectionError:
            data = b""
        event = watching.event_in(data)
        yield event
        if isinstance(event, Interrupted):
            return


async def open_connection(
    host: str,
    port: int,
    service: ServiceType | None = None,
    *,
    on_net: bool = False,
    **kwargs: Any,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a TCP connection from a source of type ``service``.

    Like `asyncio.open_connection`, which gets ``kwargs`` (``ssl``, ``limit`` and so on), it tries
    every IPv6 address of the host in turn.

    Raises:
        SetscError: there is no such source address.
        OSError: no address of the host could be connected to.
    """
    loop = asyncio.get_running_loop()
    if kwargs.get("ssl"):
        kwargs.setdefault("server_hostname", host)
    error: OSError | None = None
    found = await loop.getaddrinfo(host, port, family=socket.AF_INET6, type=socket.SOCK_STREAM)
    for *_, target in found:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            source = await setsc(sock, service, on_net=on_net)
            sock.bind((str(source), 0))
            await loop.sock_connect(sock, target)
            return await asyncio.open_connection(sock=sock, **kwargs)
        except SetscError:
            sock.close()
            raise
        except OSError as failure:
            sock.close()
            error = failure
        except BaseException:
            sock.close()
            raise
    raise error or OSError(f"{host} has no IPv6 address")


async def _ask(connection: socket.socket, request: Request, subject: socket.socket) -> Reply:
    """Send a request and return its reply.

    Raises:
        RequiredIPFailed: none comes.
    """
    loop = asyncio.get_running_loop()
    try:
        client.send(connection, request, subject)
        async with asyncio.timeout(client.patience(request)):
            while True:
                data = await loop.sock_recv(connection, REPLY_LENGTH + 1)
                reply = client.outcome(request, data)
                if reply is not None:
                    return reply
    except TimeoutError:
        raise client.unanswered() from None
    except ConnectionError:
        raise client.hung_up() from None
