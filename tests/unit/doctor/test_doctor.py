"""How checks are carried out, and what the command makes of their findings."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Never

import pytest
from click.testing import CliRunner

import moorage.cli.doctor as command
from moorage.cli.doctor import doctor
from moorage.doctor.check import Check, Missing, NotTried, Outcome, User, carry_out


def check(attempt: Callable[[], str], *, needed: bool = True, user: User = User.HOST) -> Check:
    return Check("a feature", frozenset({user}), "something is lost", needed, attempt, apart=False)


def works() -> str:
    return "like a charm"


def fails() -> Never:
    raise Missing("does nothing")


def is_unknown() -> Never:
    raise OSError(95, "Operation not supported")


def is_forbidden() -> Never:
    raise PermissionError(1, "Operation not permitted")


def cannot_be_tried() -> Never:
    raise NotTried("no way")


def dies() -> Never:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def is_a_mistake() -> Never:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("attempt", "outcome", "detail"),
    [
        (works, Outcome.PASSED, "like a charm"),
        (fails, Outcome.MISSING, "does nothing"),
        (is_unknown, Outcome.MISSING, "Operation not supported"),
        (is_forbidden, Outcome.NOT_TRIED, "not allowed: Operation not permitted"),
        (cannot_be_tried, Outcome.NOT_TRIED, "no way"),
        (dies, Outcome.MISSING, "the attempt came to no end"),
        (is_a_mistake, Outcome.MISSING, "the attempt came to no end"),
    ],
)
def test_an_attempt_ends_in_a_finding(
    attempt: Callable[[], str], outcome: Outcome, detail: str
) -> None:
    [finding] = carry_out([check(attempt)])
    assert (finding.outcome, finding.detail) == (outcome, detail)


def test_an_attempt_changes_nothing_here() -> None:
    def leaves_things_behind() -> str:
        os.chdir("/")
        os.environ["MOORAGE_WAS_HERE"] = "yes"
        return ""

    here = os.getcwd()
    list(carry_out([check(leaves_things_behind)]))
    assert os.getcwd() == here
    assert "MOORAGE_WAS_HERE" not in os.environ


@pytest.mark.parametrize(
    ("checks", "status", "verdict"),
    [
        ([check(works)], 0, "host: works: 1 of 1"),
        ([check(fails)], 1, "host: does not work on this machine"),
        ([check(fails, needed=False)], 0, "host: works, with less than it could have"),
        ([check(works), check(cannot_be_tried)], 0, "1 of 2 could not be tried"),
        ([check(fails, user=User.ROUTER), check(works)], 1, "host: works: 1 of 1"),
    ],
)
def test_the_status_says_whether_it_works_at_all(
    monkeypatch: pytest.MonkeyPatch, checks: list[Check], status: int, verdict: str
) -> None:
    monkeypatch.setattr(command, "CHECKS", checks)
    done = CliRunner().invoke(doctor, [])
    assert done.exit_code == status
    assert verdict in done.output


def test_only_what_concerns_a_part_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "CHECKS", [check(fails), check(works, user=User.LAB)])
    done = CliRunner().invoke(doctor, ["lab", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.output) == [
        {
            "name": "a feature",
            "users": ["lab"],
            "outcome": "passed",
            "needed": True,
            "lost": "something is lost",
            "detail": "like a charm",
        }
    ]


def test_what_is_lost_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "CHECKS", [check(is_unknown)])
    lines = CliRunner().invoke(doctor, []).output.splitlines()
    assert lines[0].endswith("a feature: Operation not supported")
    assert lines[1].strip() == "host, without it: something is lost"
