from __future__ import annotations

from pathlib import Path

import pytest

from scripts import conformance
from scripts.conformance import Proof, Requirement, Transport

REQUIREMENTS = [
    Requirement("3.1-a", "says", ("host", "api"), "one thing"),
    Requirement("7-a", "should", ("host", "net"), "another | thing"),
]

TESTS = '''
import a_module_that_is_not_there

def helper():
    """3.1-a: no test."""

def test_one():
    """3.1-a: what holds."""

class TestGroup:
    async def test_two(self, fixture):
        """7-a, 3.1-a: what holds,

        in more words.
        """

    def test_three(self):
        pass

def test_four():
    """It holds; see 3.1-a: not named at the start."""
'''

FIXTURES = """
def scene(stage): ...
def stage(tmp_path, transport): ...
def transport(request): ...
def other(): ...
"""

OVER_TRANSPORTS = """
def own(scene): ...
def test_there(own): ...
def test_far_from_there(other, stage): ...
def test_elsewhere(other): ...
"""


def test_the_table_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    status = conformance.main(["--check"])
    assert (status, capsys.readouterr().err) == (0, "")


def test_requirements_have_each_id_once_and_a_known_part() -> None:
    requirements = conformance.read_requirements(conformance.REQUIREMENTS)
    ids = [requirement.id for requirement in requirements]
    assert len(ids) == len(set(ids)) > 0
    assert {part for r in requirements for part in r.where} == {"api", "host", "net"}


def test_tests_are_found_with_their_ids(tmp_path: Path) -> None:
    (tmp_path / "test_section.py").write_text(TESTS)
    (tmp_path / "support.py").write_text("def test_nothing(): pass")
    assert {(proof.test, proof.ids) for proof in conformance.read_proofs(tmp_path)} == {
        ("test_one", ("3.1-a",)),
        ("TestGroup.test_two", ("7-a", "3.1-a")),
        ("TestGroup.test_three", ()),
        ("test_four", ()),
    }


def test_a_test_is_over_transports_if_one_of_its_fixtures_is(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(FIXTURES)
    (tmp_path / "test_section.py").write_text(OVER_TRANSPORTS)
    assert {proof.test: proof.over_transports for proof in conformance.read_proofs(tmp_path)} == {
        "test_there": True,
        "test_far_from_there": True,
        "test_elsewhere": False,
    }


def test_what_applications_see_is_tested_over_every_transport() -> None:
    assert conformance.transports(REQUIREMENTS, ["7-a"]) == (Transport.HOOKS,)
    assert conformance.transports(REQUIREMENTS, ["7-a", "3.1-a"]) == tuple(Transport)


def test_a_test_that_proves_nothing_known_is_a_problem() -> None:
    proofs = [
        Proof("test_3_1.py", 1, "test_right", ("3.1-a",), over_transports=True),
        Proof("test_3_1.py", 5, "test_unknown", ("3.1-a", "3.1-z")),
        Proof("test_3_1.py", 9, "test_silent", ()),
    ]
    assert conformance.problems(REQUIREMENTS, proofs) == [
        "test_3_1.py:5: test_unknown: no requirement 3.1-z",
        "test_3_1.py:9: test_silent: the docstring does not start with a requirement's id",
    ]


def test_an_application_interface_without_a_transport_is_a_problem() -> None:
    proofs = [
        Proof("test_3_1.py", 1, "test_in_memory", ("3.1-a",)),
        Proof("test_7.py", 1, "test_of_the_host", ("7-a",), over_transports=True),
    ]
    assert conformance.problems(REQUIREMENTS, proofs) == [
        "3.1-a: no test over daemon",
        "3.1-a: no test over hooks",
        "3.1-a: no test over nothing",
    ]


def test_a_row_shows_the_tests_or_a_dash() -> None:
    proofs = [
        Proof("test_3_1.py", 1, "test_one", ("3.1-a",), over_transports=True),
        Proof("test_7.py", 1, "test_two", ("3.1-a",)),
    ]
    text = conformance.table(REQUIREMENTS, proofs)
    assert "1 of 2 requirements have a test." in text
    assert text.splitlines()[-2:] == [
        "| 3.1-a | says | host, api | hooks, daemon, nothing | one thing "
        "| [test_one](../tests/conformance/test_3_1.py)"
        "<br>[test_two](../tests/conformance/test_7.py) |",
        r"| 7-a | should | host, net |  | another \| thing | — |",
    ]
