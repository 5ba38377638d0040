"""The management interface of a daemon, in the daemon's own event loop (``docs/reference``).

Nothing is prepared before somebody asks, and what is long is made in pieces with a turn of the loop
in between, so that a hand-off never waits for a reader.
"""

from __future__ import annotations

import asyncio
import grp
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from moorage.config import ConfigError
from moorage.listening import listen
from moorage.management.config import Management
from moorage.management.event import TooSlow
from moorage.management.journal import Journal, Missed, Record

_PIECE: Final = 20
"""Items that are made without a turn of the loop."""
_GATHER: Final = 0.05
"""Seconds that events of one burst, such as a hand-off, are gathered before they are sent."""
_FAREWELL: Final = 0.2
"""Seconds that connections have to end when the daemon does."""
_LOOPBACK: Final = ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Query = Mapping[str, str]
Resource = Callable[[Query], Awaitable[object]]
"""Returns what a GET of it shows: anything that msgspec encodes, or an iterator over a long list,
of which what is none is left out.

Raises:
    NotFound: what the query names does not exist.
    BadQuery: the query makes no sense.
"""

_quiet = logging.getLogger("moorage.management")
_quiet.setLevel(logging.CRITICAL)  # whoever sends no HTTP is told so, and nobody else


class NotFound(Exception):
    """What the query names does not exist; one line for whoever asks."""


class BadQuery(Exception):
    """The query makes no sense; one line that says what is allowed."""


class ManagementServer:
    """Serves a daemon's resources, its events and its metrics to those who may connect.

    Args:
        config: where, and for whom.
        journal: the events.
        registry: the metrics.
        resources: what else there is, by path.
    """

    def __init__(
        self,
        config: Management,
        journal: Journal,
        registry: CollectorRegistry,
        resources: Mapping[str, Resource],
    ) -> None:
        self._config = config
        self._journal = journal
        self._registry = registry
        self._resources = resources
        self._closing = False
        self._followers: set[asyncio.Event] = set()
        self._runners: list[web.AppRunner] = []
        self._paths = sorted([*resources, "/events", "/metrics"])

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the socket cannot be made, or the port is taken.
            ConfigError: the group does not exist.
        """
        group = _group(self._config.group) if self._config.group else None
        sock = listen(
            self._config.socket,
            socket.SOCK_STREAM,
            mode=0o600 if group is None else 0o660,
            group=group,
        )
        await self._serve(self._application(), [sock])
        if self._config.metrics_port:
            metrics = web.Application()
            metrics.router.add_get("/metrics", self._metrics)
            await self._serve(metrics, _loopback(self._config.metrics_port))

    async def close(self) -> None:
        """Hang up on everybody and remove the socket."""
        self._closing = True
        for follower in self._followers:
            follower.set()
        for runner in self._runners:
            await runner.cleanup()
        if self._runners:
            self._config.socket.unlink(missing_ok=True)

    async def _serve(self, application: web.Application, sockets: Iterable[socket.socket]) -> None:
        runner = web.AppRunner(
            application,
            access_log=None,
            logger=_quiet,
            handler_cancellation=True,
            shutdown_timeout=_FAREWELL,
        )
        self._runners.append(runner)
        await runner.setup()
        for sock in sockets:
            await web.SockSite(runner, sock).start()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[_explain])
        application.router.add_get("/", self._index)
        application.router.add_get("/events", self._events)
        application.router.add_get("/metrics", self._metrics)
        for path, resource in self._resources.items():
            application.router.add_get(path, self._show(resource))
        return application

    async def _index(self, request: web.Request) -> web.Response:
        return _json({"resources": self._paths})

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": _METRICS_TYPE}
        )

    def _show(self, resource: Resource) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def show(request: web.Request) -> web.StreamResponse:
            value = await resource(request.query)
            if isinstance(value, Iterator):
                return await _stream(request, value)
            return _json(value)

        return show

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Send what is remembered and, with ``follow``, what happens from then on."""
        response = await _begin(request, "application/jsonl")
        news = asyncio.Event()
        self._followers.add(news)
        forget = self._journal.listen(news.set)
        number = self._journal.oldest - 1
        try:
            while True:
                news.clear()
                records = self._journal.after(number, _PIECE)
                if records:
                    await response.write(b"".join(record.encode() for record in records))
                    number = records[-1].number
                    await asyncio.sleep(0)
                elif "follow" not in request.query or self._closing:
                    break
                else:
                    await news.wait()
                    await asyncio.sleep(_GATHER)
        except Missed as missed:
            # It reads so slowly that it is better off with a new start.
            notice = Record(0, time.time(), TooSlow(missed.count))
            await response.write(notice.encode())
        finally:
            forget()
            self._followers.discard(news)
        await response.write_eof()
        return response


@web.middleware
async def _explain(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer what cannot be done with one line of text in JSON."""
    try:
        return await handler(request)
    except NotFound as error:
        return _json({"error": str(error)}, status=404)
    except BadQuery as error:
        return _json({"error": str(error)}, status=400)
    except OSError as error:
        return _json({"error": str(error)}, status=500)
    except web.HTTPException as error:
        return _json({"error": f"{request.method} {request.path}: {error.reason}"}, error.status)


def _json(value: object, status: int = 200) -> web.Response:
    body = msgspec.json.encode(value, enc_hook=str) + b"\n"
    return web.Response(body=body, status=status, content_type="application/json")


async def _begin(request: web.Request, content_type: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": content_type})
    await response.prepare(request)
    return response


async def _stream(request: web.Request, items: Iterator[object]) -> web.StreamResponse:
    """Send a list piece by piece."""
    response = await _begin(request, "application/json")
    before = b"["
    while piece := list(islice(items, _PIECE)):
        texts = [msgspec.json.encode(item, enc_hook=str) for item in piece if item is not None]
        if texts:
            await response.write(before + b",\n".join(texts))
            before = b",\n"
        await asyncio.sleep(0)
    await response.write(b"]\n" if before != b"[" else b"[]\n")
    await response.write_eof()
    return response


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(f"management.group: there is no group {name!r} here") from None


def _loopback(port: int) -> Iterator[socket.socket]:
    for family, address in _LOOPBACK:
        yield socket.create_server((address, port), family=family)
