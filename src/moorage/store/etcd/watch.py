"""Following an etcd store: streams end, members go away, and no event is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc
from aetcd import rpc

from moorage.store.etcd.connection import Connection, Session, passes
from moorage.store.etcd.layout import range_end
from moorage.store.etcd.methods import read
from moorage.store.protocol import Compacted, StoreError

_PUT = 0
"""``mvccpb.Event.EventType.PUT``; the other one is DELETE."""

Change = tuple[int, bytes, bytes | None]
"""Revision, key, and the value that it has now; None: the key is gone."""


async def follow(connection: Connection, start: bytes, after: int) -> AsyncGenerator[Change, None]:
    """Yield all changes of keys that begin with ``start``, after a revision; end with the store.

    A stream that breaks is made again where it ended, at whichever member answers.

    Raises:
        Compacted: etcd does not know what happened since then.
        StoreError: nobody answers.
    """
    while not connection.closed.is_set():
        try:
            answer = await connection.call(read, rpc.RangeRequest(key=start, count_only=True))
        except StoreError:
            if connection.closed.is_set():
                return
            raise
        if after > answer.message.header.revision:
            raise Compacted(after)  # of another history: from before a backup was restored
        try:
            async with aclosing(_responses(answer.session, start, after)) as responses:
                async for response in responses:
                    if response.compact_revision:
                        raise Compacted(after)
                    if response.canceled:
                        raise StoreError(f"{connection.name}: {response.cancel_reason}")
                    for event in response.events:
                        kv = event.kv
                        if kv.mod_revision > after:
                            yield kv.mod_revision, kv.key, kv.value if event.type == _PUT else None
                    if response.events:  # one response has all that happened at one revision
                        after = max(after, response.events[-1].kv.mod_revision)
        except grpc.aio.AioRpcError as error:
            if not passes(error):
                raise connection.error(error) from error
        connection.leave(answer.session)


async def _responses(session: Session, start: bytes, after: int) -> AsyncGenerator[Any, None]:
    """Yield what a member says of keys that begin with ``start``, until it is left or ends it.

    It begins with the revision that is known: etcd 3.4 tells nobody that a compaction of the next
    one has swallowed a deletion, but that the known one is gone it does tell.

    Raises:
        AioRpcError: the member, or the way to it, fails.
    """
    if session.lost.done():
        return
    request = rpc.WatchCreateRequest(
        key=start, range_end=range_end(start), start_revision=max(1, after)
    )
    stream = rpc.WatchStub(session.channel).Watch(metadata=session.metadata)
    try:
        await stream.write(rpc.WatchRequest(create_request=request))
        while True:
            reading = asyncio.ensure_future(stream.read())
            try:
                await asyncio.wait((reading, session.lost), return_when=asyncio.FIRST_COMPLETED)
            finally:
                reading.cancel()
            if session.lost.done() or reading.result() is grpc.aio.EOF:
                return
            yield reading.result()
    finally:
        stream.cancel()
