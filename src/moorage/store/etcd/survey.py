"""How the members of an etcd cluster are."""

from __future__ import annotations

import asyncio
from typing import Any

from aetcd import rpc

from moorage.store.etcd.connection import Connection
from moorage.store.etcd.methods import alarms, members, status
from moorage.store.protocol import StoreError


async def survey(connection: Connection) -> dict[str, str | int]:
    """Return what an operator may want to know of the members, each asked for itself.

    Raises:
        StoreError: none of them answers.
    """
    listed = (await connection.call(members, rpc.MemberListRequest())).message
    raised = (await connection.call(alarms, rpc.AlarmRequest())).message.alarms
    names = {member.ID: member.name for member in listed.members}
    said = await asyncio.gather(*(_ask(connection, each) for each in connection.endpoints))
    answers = [each for each in said if not isinstance(each, str)]
    found: dict[str, str | int] = {
        "members": len(names),
        "leader": _leader(answers, names),
        "raft term": max((each.raftTerm for each in answers), default=0),
        "alarms": ", ".join(_alarm(alarm, names) for alarm in raised) or "none",
    }
    for endpoint, each in zip(connection.endpoints, said, strict=True):
        found[f"endpoint {endpoint}"] = each if isinstance(each, str) else _member(each, names)
    return found


async def _ask(connection: Connection, endpoint: str) -> Any:
    """Return what a member says of itself, or why it does not."""
    try:
        return await connection.ask(endpoint, status, rpc.StatusRequest())
    except StoreError as error:
        return f"no answer: {error}"


def _leader(answers: list[Any], names: dict[int, str]) -> str:
    """Return who leads, as those see it who are furthest."""
    newest = max(answers, key=lambda each: int(each.raftTerm), default=None)
    return "none" if newest is None else names.get(newest.leader, "none")


def _member(answer: Any, names: dict[int, str]) -> str:
    return (
        f"{names.get(answer.header.member_id, 'unknown')}, version {answer.version},"
        f" database of {answer.dbSize} bytes, {answer.dbSizeInUse} in use"
    )


def _alarm(alarm: Any, names: dict[int, str]) -> str:
    kind = rpc.AlarmType.Name(alarm.alarm).lower()
    return f"{kind} at {names.get(alarm.memberID, 'unknown')}"
