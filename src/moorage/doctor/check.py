"""A check, its finding, and how checks are carried out without a trace on the machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from moorage.kernel.netlink import NETLINK_ROUTE, NetlinkSocket
from moorage.lab import links, namespaces
from moorage.lab.errors import LabError

_LOOPBACK = 1


class User(StrEnum):
    """Who needs a feature."""

    HOST = "host"
    ROUTER = "router"
    LAB = "lab"


class Outcome(StrEnum):
    """What came of a check."""

    PASSED = "passed"
    MISSING = "missing"
    """The machine cannot do it, or not as it has to."""
    NOT_TRIED = "not tried"
    """Our rights do not suffice to find out."""


class NotTried(Exception):
    """A check could not be made; the text says why."""


class Missing(Exception):
    """What was tried did not work as it has to; the text says how it did."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that is tried.

    Attributes:
        name: what it is.
        users: who needs it.
        lost: what is lost without it.
        needed: whether those who need it do not work at all without it.
        attempt: tries it and returns what was found, if that is worth a word. It raises `Missing`
            or an OSError if it does not work, and `NotTried` if that cannot be said.
        apart: whether it is tried in a network namespace of its own.
    """

    name: str
    users: frozenset[User]
    lost: str
    needed: bool
    attempt: Callable[[], str]
    apart: bool = True


class Finding(msgspec.Struct, frozen=True):
    """What came of a check.

    Attributes:
        needed: whether those who need it do not work at all without it.
        lost: what is lost without it.
        detail: what was found, or what went wrong; may be empty.
    """

    name: str
    users: list[User]
    outcome: Outcome
    needed: bool
    lost: str
    detail: str


def carry_out(checks: Iterable[Check]) -> Iterator[Finding]:
    """Yield a finding for each check, each tried by a process of its own.

    This process must have no other threads.
    """
    for check in checks:
        outcome, detail = _apart(check)
        yield Finding(check.name, sorted(check.users), outcome, check.needed, check.lost, detail)


def _apart(check: Check) -> tuple[Outcome, str]:
    """Try it in a process that ends with all that the attempt has opened or changed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            outcome, detail = _attempt(check)
            os.write(writer, msgspec.json.encode((outcome, detail)))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as result:
        answer = result.read()
    os.waitpid(child, 0)
    if not answer:
        return Outcome.MISSING, "the attempt came to no end"
    return msgspec.json.decode(answer, type=tuple[Outcome, str])


def _attempt(check: Check) -> tuple[Outcome, str]:
    try:
        if check.apart:
            _enter_namespace()
        return Outcome.PASSED, check.attempt()
    except NotTried as error:
        return Outcome.NOT_TRIED, str(error)
    except PermissionError as error:
        return Outcome.NOT_TRIED, f"not allowed: {error.strerror or error}"
    except Missing as error:
        return Outcome.MISSING, str(error)
    except OSError as error:
        return Outcome.MISSING, error.strerror or str(error)


def _enter_namespace() -> None:
    """Be root of a new network namespace in which the loopback interface is up.

    Raises:
        NotTried: the system does not let us.
    """
    try:
        namespaces.become_root()
        namespaces.unshare(namespaces.NEW_NETWORK)
    except (LabError, OSError) as error:
        raise NotTried(f"needs root or unprivileged user namespaces ({error})") from None
    with NetlinkSocket(NETLINK_ROUTE) as netlink:
        links.carry_out(netlink, [links.set_up(_LOOPBACK)])
