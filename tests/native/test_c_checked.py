"""The library under what watches memory and threads, against daemons that do not mean well.

The same against a host daemon in a lab is in test_c_in_lab.py.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from moorage.wire.app import REPLY_LENGTH, Reason, Reply, Request
from tests.native.checkers import CHECKERS, Checker
from tests.small_daemon import LOOPBACK, Answering, Start, gives, refuses

pytestmark = pytest.mark.interop

Program = Callable[[Checker], list[str]]


def reply(request: Request) -> bytes:
    return Reply(request.id, 0, Reason.NONE, IPv6Address("2001:db8::1"), 60).encode()


def mutilated() -> Answering:
    """Replies that are cut, longer, or have other bytes; the same ones in every run."""
    chance = random.Random(17)

    def answer(request: Request) -> list[bytes]:
        data = bytearray(reply(request))
        match chance.randrange(4):
            case 0:
                return []
            case 1:
                return [bytes(data[: chance.randrange(1, REPLY_LENGTH)])]
            case 2:
                return [bytes(data) + chance.randbytes(chance.randrange(1, 5000))]
            case _:
                data[chance.randrange(8)] ^= chance.randrange(1, 256)
                return [bytes(data)]

    return answer


def check(probe: Program, checker: Checker, mode: str) -> None:
    done = subprocess.run(
        [*probe(checker), mode],
        env={**os.environ, **checker.settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", CHECKERS, ids=str)
@pytest.mark.parametrize(
    ("answering", "mode"),
    [
        (gives(LOOPBACK), "given"),
        (refuses(-180, Reason.NO_SERVICE), "refused"),
        (mutilated(), "refused"),
    ],
    ids=["gives", "refuses", "mutilates"],
)
def test_a_daemon(
    probe: Program, start: Start, checker: Checker, answering: Answering, mode: str
) -> None:
    start(answering)
    check(probe, checker, mode)


@pytest.mark.parametrize("checker", CHECKERS, ids=str)
def test_no_daemon(probe: Program, path: Path, checker: Checker) -> None:
    check(probe, checker, "refused")


@pytest.mark.parametrize("checker", [each for each in CHECKERS if each.follows_unwinding], ids=str)
def test_a_thread_that_is_cancelled(probe: Program, path: Path, checker: Checker) -> None:
    check(probe, checker, "cancelled")
