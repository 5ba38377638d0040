"""Writes docs/reference/lifecycle.md and its pictures from the tables of the host's states."""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from moorage.host import lifecycle, reach
from scripts.diagram import Layout, draw

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"

_LIFE = Layout(
    places={
        "requested": (92, 90),
        "ready": (290, 90),
        "in use": (610, 90),
        "lingering": (450, 220),
        "retiring": (450, 350),
        "released": (790, 350),
        "gone": (351, 470),
    },
    bends={("ready", "retiring"): -30, ("in use", "retiring"): 30},
)
_REACH = Layout(
    places={
        "refused": (86, 60),
        "detached": (86, 190),
        "served": (330, 125),
        "switching": (620, 125),
    },
    bends={("served", "detached"): 22, ("detached", "served"): 22},
)


@dataclass(frozen=True, slots=True)
class Machine:
    """One table, and how it is shown."""

    title: str
    picture: str
    text: str
    states: type[StrEnum]
    events: type[StrEnum]
    table: Mapping[tuple[Any, Any], StrEnum]
    layout: Layout


MACHINES = (
    Machine(
        "The life of a typed address",
        "lifecycle.svg",
        "What a typed address is to applications. It keeps its state over a move.",
        lifecycle.State,
        lifecycle.Event,
        lifecycle.TABLE,
        _LIFE,
    ),
    Machine(
        "The reach of a typed address",
        "reach.svg",
        "Which link carries the packets of a delegated address, whatever its state.",
        reach.Reach,
        reach.Change,
        reach.TABLE,
        _REACH,
    ),
)

_INTRODUCTION = """\
# The states of a typed address

An address that the host has for a service type is in one state of each of two tables; nothing else
can follow on anything else. Made by `make docs` from these tables
([lifecycle.py](../../src/moorage/host/lifecycle.py), [reach.py](../../src/moorage/host/reach.py)).
`moorage addresses` shows both. Events that change nothing are not drawn; arrows from a dashed frame
lead from every state in it.
"""


def pictures() -> dict[str, str]:
    """Return the text of each picture, by file name."""
    return {
        machine.picture: draw(
            {(str(before), _name(event)): str(after) for (before, event), after in _rows(machine)},
            str(next(iter(machine.states))),
            machine.layout,
        )
        for machine in MACHINES
    }


def page() -> str:
    """Return the text of the page."""
    return "\n".join([_INTRODUCTION, *map(_section, MACHINES)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or with ``--check`` say whether those that are there are up to date."""
    parser = argparse.ArgumentParser(description="write docs/reference/lifecycle.md")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    check: bool = parser.parse_args(arguments).check
    stale = []
    for name, text in {"lifecycle.md": page(), **pictures()}.items():
        path = FOLDER / name
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(f"{path.relative_to(ROOT)} is out of date: make docs")
    for line in stale:
        print(line, file=sys.stderr)
    return 1 if stale else 0


def _section(machine: Machine) -> str:
    meanings = _docstrings(machine.states)
    header = [_name(event) for event in machine.events]
    lines = [
        f"## {machine.title}",
        "",
        machine.text,
        "",
        f"![{machine.title}]({machine.picture})",
        "",
        "| state | meaning |",
        "|---|---|",
        *(f"| {state} | {meanings[state.name]} |" for state in machine.states),
        "",
        "| event | what happens |",
        "|---|---|",
        *(f"| {_name(event)} | {event} |" for event in machine.events),
        "",
        "What follows (—: cannot happen):",
        "",
        f"| | {' | '.join(header)} |",
        f"|---|{'---|' * len(header)}",
    ]
    for state in machine.states:
        cells = [str(machine.table.get((state, event), "—")) for event in machine.events]
        lines.append(f"| **{state}** | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _rows(machine: Machine) -> list[tuple[tuple[StrEnum, StrEnum], StrEnum]]:
    return list(machine.table.items())


def _name(member: StrEnum) -> str:
    return member.name.lower().replace("_", " ")


def _docstrings(members: type[StrEnum]) -> dict[str, str]:
    """Return the text below each member of an enumeration, by the member's name."""
    [definition] = ast.parse(inspect.getsource(members)).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    name = ""
    for statement in definition.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]):
                pass
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                found[name] = " ".join(text.split())
    return found


if __name__ == "__main__":
    sys.exit(main())
