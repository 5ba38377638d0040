"""`moorage` for asyncio: the same calls, without blocking the loop."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv6Address
from typing import Any

from moorage import client
from moorage.errors import RequiredIPFailed, SetscError
from moorage.service import ServiceType
from moorage.wire.app import REPLY_LENGTH, Operation, Reason


async def setsc(
    sock: socket.socket,
    service: ServiceType | int,
    *,
    on_net: bool = False,
    timeout: float | None = None,  # noqa: ASYNC109 - the daemon keeps it, so that it can tell why
    lifetime: int | None = None,
) -> IPv6Address:
    """Return a source address of type ``service`` for ``sock``; see `moorage.setsc`.

    Raises:
        SetscError: as `moorage.setsc` does.
        ValueError: ``sock`` is no IPv6 socket, or ``lifetime`` is not for this type.
    """
    if sock.family != socket.AF_INET6:
        raise ValueError("setsc() is about IPv6 sockets")
    request = client.new_request(
        Operation.SETSC, service, on_net=on_net, timeout=timeout, lifetime=lifetime
    )
    loop = asyncio.get_running_loop()
    with client.connect(blocking=False) as connection:
        try:
            client.send(connection, request, sock)
            while True:
                reply = client.outcome(request, await loop.sock_recv(connection, REPLY_LENGTH + 1))
                if reply is not None:
                    return reply.address
        except ConnectionError:
            raise RequiredIPFailed(Reason.BAD_REQUEST, "the host daemon hung up") from None


async def open_connection(
    host: str,
    port: int,
    service: ServiceType,
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
