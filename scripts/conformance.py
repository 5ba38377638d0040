"""Writes docs/conformance.md: which requirement of the draft is proved by which test.

A test in tests/conformance/ names what it proves at the start of its docstring, as in
``3.4-b, 3.5-c: a missing prefix is requested``. The requirements are in docs/requirements.toml.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "docs" / "requirements.toml"
TABLE = ROOT / "docs" / "conformance.md"
TESTS = ROOT / "tests" / "conformance"

_ID = r"\d+(?:\.\d+)?-[a-z]"
_DOCSTRING = re.compile(rf"({_ID}(?:, {_ID})*): ")
_Function = ast.FunctionDef | ast.AsyncFunctionDef

_INTRODUCTION = """\
# Conformance

What draft-ietf-dmm-ondemand-mobility-17 asks for, and the tests that prove it. *Level* is the
draft's own word; "says" is plain text that a user would still expect to hold. *Where* is the part
that fulfils it: the application interface (api), the host daemon (host), the network (net).

Made by `make docs` from [requirements.toml](requirements.toml) and the docstrings of the tests in
[tests/conformance](../tests/conformance).
"""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that must hold."""

    id: str
    level: str
    where: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Proof:
    """One test, and the ids of the requirements that its docstring names."""

    file: str
    line: int
    test: str
    ids: tuple[str, ...]


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
    return [
        Proof(path.name, function.lineno, name, _ids(function))
        for path in sorted(directory.glob("test_*.py"))
        for name, function in _tests(ast.parse(path.read_bytes(), str(path)))
    ]


def problems(requirements: Sequence[Requirement], proofs: Sequence[Proof]) -> list[str]:
    """Return one line for each test that names no requirement, or one that does not exist."""
    known = {requirement.id for requirement in requirements}
    found = []
    for proof in proofs:
        place = f"{proof.file}:{proof.line}: {proof.test}"
        if not proof.ids:
            found.append(f"{place}: the docstring does not start with a requirement's id")
        found += [f"{place}: no requirement {id_}" for id_ in proof.ids if id_ not in known]
    return found


def table(requirements: Sequence[Requirement], proofs: Sequence[Proof]) -> str:
    """Return the text of docs/conformance.md."""
    proved = {id_ for proof in proofs for id_ in proof.ids}
    count = sum(requirement.id in proved for requirement in requirements)
    lines = [
        _INTRODUCTION,
        f"{count} of {len(requirements)} requirements have a test.",
        "",
        "| id | level | where | what must hold | tests |",
        "|---|---|---|---|---|",
    ]
    for requirement in requirements:
        tests = "<br>".join(
            f"[{proof.test}](../tests/conformance/{proof.file})"
            for proof in proofs
            if requirement.id in proof.ids
        )
        cells = (
            requirement.id,
            requirement.level,
            ", ".join(requirement.where),
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


def _ids(function: _Function) -> tuple[str, ...]:
    match = _DOCSTRING.match(ast.get_docstring(function) or "")
    return tuple(match[1].split(", ")) if match else ()


if __name__ == "__main__":
    sys.exit(main())
