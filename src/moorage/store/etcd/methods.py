"""The methods of etcd that are called, each of a channel."""

from __future__ import annotations

from typing import Any

from aetcd import rpc


def read(channel: Any) -> Any:
    """Return the method that reads a key or a range of keys."""
    return rpc.KVStub(channel).Range


def transact(channel: Any) -> Any:
    """Return the method that compares, and writes or reads."""
    return rpc.KVStub(channel).Txn


def grant(channel: Any) -> Any:
    """Return the method that makes a lease."""
    return rpc.LeaseStub(channel).LeaseGrant


def keep(channel: Any) -> Any:
    """Return what lets a lease begin anew: a stream, that is used for one request."""

    async def ask(request: Any, timeout: float, metadata: Any) -> Any:  # noqa: ASYNC109
        stream = rpc.LeaseStub(channel).LeaseKeepAlive(timeout=timeout, metadata=metadata)
        try:
            await stream.write(request)
            return await stream.read()
        finally:
            stream.cancel()

    return ask


def members(channel: Any) -> Any:
    """Return the method that tells who belongs to the cluster."""
    return rpc.ClusterStub(channel).MemberList


def status(channel: Any) -> Any:
    """Return the method by which a member tells how it is."""
    return rpc.MaintenanceStub(channel).Status


def alarms(channel: Any) -> Any:
    """Return the method that tells what holds up the cluster."""
    return rpc.MaintenanceStub(channel).Alarm
