"""Calls to an etcd cluster: one member at a time, the next one when it fails, a deadline for all.

The messages and methods are those of etcd's own API (version 3.4 and later), as aetcd brings them;
the channels are gRPC's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final

import grpc
from aetcd import rpc

from moorage.store.etcd.config import EtcdConfig, Tls
from moorage.store.protocol import StoreError

_ATTEMPTS: Final = 3
"""Silent members that one call may meet: each gets this part of the time."""

_PAUSE: Final = 0.05
"""Seconds between two attempts: an election takes some of them."""

_OPTIONS: Final = (
    # Connections to members are made anew at once, and no two share the pace at which that is done.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A cut cable is noticed by pings. More often than every 5 seconds etcd does not take them.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)

_REQUIRE_LEADER: Final = ("hasleader", "true")
"""Has a member that is cut off from the others say so, instead of keeping us waiting."""

_OLD_TOKEN: Final = "revision of auth store is old"
_NOT_SENT: Final = ("failed to connect to all addresses", "etcdserver: no leader")
_COMPACTED: Final = "required revision has been compacted"


class RevisionGone(StoreError):
    """The revision to read at was compacted."""


@dataclass(slots=True, eq=False)
class Session:
    """A channel to one member, and who we are there.

    Attributes:
        endpoint: the member, as ``host:port``.
        channel: the gRPC channel.
        metadata: goes with every call.
        lost: done as soon as we turn to another member.
    """

    endpoint: str
    channel: Any
    metadata: tuple[tuple[str, str], ...]
    lost: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a member answered.

    Attributes:
        message: the response.
        session: where it came from.
        doubtful: an earlier attempt got no answer, and may have been carried out all the same.
    """

    message: Any
    session: Session
    doubtful: bool


Method = Callable[[Any], Any]
"""Takes a channel and returns one of its methods."""


class Connection:
    """Calls of an etcd cluster. Needs a running event loop from the first call on."""

    def __init__(self, name: str, config: EtcdConfig) -> None:
        """Connect to nobody yet; ``name`` stands for the store in errors."""
        self.name = name
        self.endpoints = config.endpoints
        self.closed: asyncio.Event = asyncio.Event()
        self._config = config
        self._next_endpoint = cycle(config.endpoints)
        self._session: Session | None = None
        self._connecting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def _patience(self) -> float:
        """How long one member is waited for, in seconds."""
        return self._config.timeout / _ATTEMPTS

    async def call(self, method: Method, request: Any) -> Answer:
        """Call a method at whichever member answers.

        Raises:
            StoreError: nobody answers in time, or the answer is an error that others would give.
        """
        doubtful = False
        deadline = asyncio.get_running_loop().time() + self._config.timeout
        while True:
            self.check_open()
            session = None
            try:
                session = await self._connected()
                message = await method(session.channel)(
                    request, timeout=self._patience, metadata=session.metadata
                )
                return Answer(message, session, doubtful)
            except grpc.aio.AioRpcError as error:
                if not passes(error):
                    raise self.error(error) from error
                doubtful |= _may_have_happened(error)
                if session is not None:
                    self.leave(session)
                if asyncio.get_running_loop().time() + _PAUSE > deadline:
                    raise self.error(error) from error
            except asyncio.CancelledError:
                if session is None or not session.lost.done() or _is_cancelled():
                    raise
                # Others left this member, and the channel was closed under us.
                doubtful = True
                if asyncio.get_running_loop().time() + _PAUSE > deadline:
                    raise StoreError(f"{self.name}: no answer in time") from None
            await asyncio.sleep(_PAUSE)

    async def ask(self, endpoint: str, method: Method, request: Any) -> Any:
        """Call a method at one member, once, and return its response.

        Raises:
            StoreError: it does not answer, or the answer is an error.
        """
        session = None
        try:
            session = await self._connect(endpoint)
            return await method(session.channel)(
                request, timeout=self._patience, metadata=session.metadata
            )
        except grpc.aio.AioRpcError as error:
            raise self.error(error) from error
        finally:
            if session is not None:
                await session.channel.close()

    async def _connected(self) -> Session:
        """Return the session in use, made if there is none."""
        async with self._connecting:
            if self._session is None:
                self._session = await self._connect(next(self._next_endpoint))
            return self._session

    async def _connect(self, endpoint: str) -> Session:
        """Return a new session with a member."""
        channel = self._channel(endpoint)
        try:
            return Session(endpoint, channel, (_REQUIRE_LEADER, *await self._token(channel)))
        except BaseException:
            await channel.close()
            raise

    def _channel(self, endpoint: str) -> Any:
        options = [*_OPTIONS, ("grpc.min_reconnect_backoff_ms", int(1000 * self._patience))]
        if self._config.tls is None:
            return grpc.aio.insecure_channel(endpoint, options)
        return grpc.aio.secure_channel(endpoint, _credentials(self._config.tls), options)

    async def _token(self, channel: Any) -> Sequence[tuple[str, str]]:
        if self._config.user is None or self._config.password_file is None:
            return ()
        try:
            password = self._config.password_file.read_text().partition("\n")[0]
        except OSError as error:
            raise StoreError(f"{error.filename}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise StoreError(f"{self._config.password_file}: not UTF-8") from error
        request = rpc.AuthenticateRequest(name=self._config.user, password=password)
        answer = await rpc.AuthStub(channel).Authenticate(request, timeout=self._patience)
        return (("token", answer.token),)

    def leave(self, session: Session) -> None:
        """Turn to the next member, unless somebody has done so."""
        if session is self._session:
            self._session = None
            self._let_go(session)

    def _let_go(self, session: Session) -> None:
        session.lost.set_result(None)
        # Other calls are waiting there; whoever closes a channel under them cancels them.
        closing = asyncio.ensure_future(session.channel.close(2 * self._patience))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def error(self, error: grpc.aio.AioRpcError) -> StoreError:
        """Return what is said of a call that failed."""
        why = " ".join((error.details() or error.code().name).split())
        kind = RevisionGone if _COMPACTED in why else StoreError
        return kind(f"{self.name}: {why.removeprefix('etcdserver: ')}")

    def check_open(self) -> None:
        """Raise StoreError if the store is closed."""
        if self.closed.is_set():
            raise StoreError(f"{self.name}: the store is closed")

    async def close(self) -> None:
        """Wait for the calls under way, and end."""
        self.closed.set()
        if self._session is not None:
            self.leave(self._session)
        if self._closing:
            await asyncio.wait(self._closing)


def _is_cancelled() -> bool:
    """Whether it is the running task that was cancelled, and not what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _credentials(tls: Tls) -> Any:
    try:
        return grpc.ssl_channel_credentials(
            tls.ca.read_bytes(),
            None if tls.key is None else tls.key.read_bytes(),
            None if tls.certificate is None else tls.certificate.read_bytes(),
        )
    except OSError as error:
        raise StoreError(f"{error.filename}: {error.strerror}") from error


def passes(error: grpc.aio.AioRpcError) -> bool:
    """Whether another member, or this one a little later, may do better."""
    match error.code():
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED:
            return True
        case grpc.StatusCode.CANCELLED | grpc.StatusCode.UNAUTHENTICATED:
            return True
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return "too many requests" in (error.details() or "")
        case _:
            return _OLD_TOKEN in (error.details() or "")


def _may_have_happened(error: grpc.aio.AioRpcError) -> bool:
    """Whether what was asked for may have been carried out, or may still be."""
    why = error.details() or ""
    return not (
        error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED)
        or any(reason in why for reason in (_OLD_TOKEN, *_NOT_SENT))
    )
