"""Writes docs/conformance.md: which requirement of the draft is proved by which test.

A test in tests/conformance/ names what it proves at the start of its docstring, as in
``3.4-b, 3.5-c: a missing prefix is requested``. The requirements are in docs/requirements.toml. One
of the application interface (api) has to hold over every `Transport`.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "docs" / "requirements.toml"
TABLE = ROOT / "docs" / "conformance.md"
TESTS = ROOT / "tests" / "conformance"

_ID = r"\d+(?:\.\d+)?-[a-z]"
_DOCSTRING = re.compile(rf"({_ID}(?:, {_ID})*): ")
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Fixtures = Mapping[str, Sequence[str]]
"""The fixtures that each fixture asks for."""

_INTRODUCTION = """\
# Conformance

What draft-ietf-dmm-ondemand-mobility-17 asks for, and the tests that prove it. *Level* is the
draft's own word; "says" is plain text that a user would still expect to hold. *Where* is the part
that fulfils it: the application interface (api), the host daemon (host), the network (net). What an
application sees is tested *over* a daemon with hooks in the kernel, one without, and nothing, as it
is on any other host.

Made by `make docs` from [requirements.toml](requirements.toml) and the docstrings of the tests in
[tests/conformance](../tests/conformance).
"""


class Transport(StrEnum):
    """What an application's ``setsc()`` meets on a host."""

    HOOKS = "hooks"
    """The daemon with its hooks in the kernel."""
    DAEMON = "daemon"
    """The daemon without hooks."""
    NOTHING = "nothing"
    """Neither of them."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that must hold."""

    id: str
    level: str
    where: tuple[str, ...]
    text: str

    @property
    def of_api(self) -> bool:
        """Whether it is about what applications see."""
        return "api" in self.where


@dataclass(frozen=True, slots=True)
class Proof:
    """One test.

    Attributes:
        ids: those of the requirements that its docstring names.
        over_transports: whether it uses the fixture ``transport``.
    """

    file: str
    line: int
    test: str
    ids: tuple[str, ...]
    over_transports: bool = False


def read_requirements(path: Path) -> list[Requirement]:
    """Return the requirements of a TOML file, in its order."""
    with path.open("rb") as file:
        entries = tomllib.load(file)["requirement"]
    return [
        Requirement(entry["id"], entry["level"], tuple(entry["where"]), entry["text"])
        for entry in entries
    ]


def read_proofs(directory: Path) -> list[Proof]:
    """Return the tests in the files of ``directory``, which are parsed and not imported."""
    shared = directory / "conftest.py"
    everywhere = _fixtures(_parsed(shared)) if shared.exists() else {}
    proofs = []
    for path in sorted(directory.glob("test_*.py")):
        module = _parsed(path)
        fixtures = {**everywhere, **_fixtures(module)}
        proofs += [
            Proof(
                path.name,
                function.lineno,
                name,
                ids_of(ast.get_docstring(function)),
                "transport" in _used(_arguments(function), fixtures),
            )
            for name, function in _tests(module)
        ]
    return proofs


def ids_of(docstring: str | None) -> tuple[str, ...]:
    """Return the ids that a test's docstring names."""
    match = _DOCSTRING.match(docstring or "")
    return tuple(match[1].split(", ")) if match else ()


def transports(requirements: Sequence[Requirement], ids: Sequence[str]) -> tuple[Transport, ...]:
    """Return what a test is run over that uses the fixture ``transport`` and names these ids."""
    of_api = {requirement.id for requirement in requirements if requirement.of_api}
    return tuple(Transport) if of_api.intersection(ids) else (Transport.HOOKS,)


def tested_over(
    requirement: Requirement, requirements: Sequence[Requirement], proofs: Sequence[Proof]
) -> set[Transport]:
    """Return the transports over which a requirement is tested."""
    own = (proof for proof in proofs if requirement.id in proof.ids and proof.over_transports)
    return set(chain.from_iterable(transports(requirements, proof.ids) for proof in own))


def problems(requirements: Sequence[Requirement], proofs: Sequence[Proof]) -> list[str]:
    """Return one line for each thing that is wrong.

    A test names no requirement, or one that does not exist; or one of the application interface is
    not tested over every transport.
    """
    known = {requirement.id for requirement in requirements}
    found = []
    for proof in proofs:
        place = f"{proof.file}:{proof.line}: {proof.test}"
        if not proof.ids:
            found.append(f"{place}: the docstring does not start with a requirement's id")
        found += [f"{place}: no requirement {id_}" for id_ in proof.ids if id_ not in known]
    for requirement in requirements:
        if requirement.of_api:
            missing = set(Transport) - tested_over(requirement, requirements, proofs)
            found += [f"{requirement.id}: no test over {one}" for one in sorted(missing)]
    return found


def table(requirements: Sequence[Requirement], proofs: Sequence[Proof]) -> str:
    """Return the text of docs/conformance.md."""
    proved = {id_ for proof in proofs for id_ in proof.ids}
    count = sum(requirement.id in proved for requirement in requirements)
    lines = [
        _INTRODUCTION,
        f"{count} of {len(requirements)} requirements have a test.",
        "",
        "| id | level | where | over | what must hold | tests |",
        "|---|---|---|---|---|---|",
    ]
    for requirement in requirements:
        tests = "<br>".join(
            f"[{proof.test}](../tests/conformance/{proof.file})"
            for proof in proofs
            if requirement.id in proof.ids
        )
        over = tested_over(requirement, requirements, proofs) if requirement.of_api else ()
        cells = (
            requirement.id,
            requirement.level,
            ", ".join(requirement.where),
            ", ".join(one for one in Transport if one in over),
            requirement.text,
            tests or "—",
        )
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table, or with ``--check`` say whether the one that is there is up to date."""
    parser = argparse.ArgumentParser(description="write docs/conformance.md")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    check: bool = parser.parse_args(arguments).check

    requirements = read_requirements(REQUIREMENTS)
    proofs = read_proofs(TESTS)
    wrong = problems(requirements, proofs)
    text = table(requirements, proofs)
    if not check:
        TABLE.write_text(text)
    elif not TABLE.exists() or TABLE.read_text() != text:
        wrong.append(f"{TABLE.relative_to(ROOT)} is out of date: make docs")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


def _tests(module: ast.Module) -> Iterator[tuple[str, _Function]]:
    for node in module.body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            for test in _test_functions(node.body):
                yield f"{node.name}.{test.name}", test
    for test in _test_functions(module.body):
        yield test.name, test


def _test_functions(body: Sequence[ast.stmt]) -> Iterator[_Function]:
    for node in body:
        if isinstance(node, _Function) and node.name.startswith("test_"):
            yield node


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


def _fixtures(module: ast.Module) -> _Fixtures:
    """The functions that may be fixtures, with what they ask for."""
    return {node.name: _arguments(node) for node in module.body if isinstance(node, _Function)}


def _arguments(function: _Function) -> list[str]:
    return [argument.arg for argument in function.args.args]


def _used(names: Sequence[str], fixtures: _Fixtures) -> set[str]:
    """These fixtures, and all that they need."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += fixtures.get(name, ())
    return found


if __name__ == "__main__":
    sys.exit(main())
