"""How the commands write tables and times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import click

_LONGEST: Final = 80
"""Characters of a command line that are shown."""
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "") -> None:
    """Print rows below headings; without rows, print ``empty`` instead if there is such a text.

    Nothing is cut or broken: a line that is too long for the terminal is better than an address
    in two pieces.
    """
    texts = [tuple("" if cell is None else str(cell) for cell in row) for row in rows]
    if empty and not texts:
        click.echo(empty)
        return
    widths = [max(map(len, column)) for column in zip(headings, *texts, strict=True)]
    for number, row in enumerate((tuple(headings), *texts)):
        line = "  ".join(map(str.ljust, row, widths)).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 else line)


def duration(seconds: float | None) -> str:
    """Return a time in its two biggest units, such as ``1 h 59 min``; none: ``for ever``."""
    if seconds is None:
        return "for ever"
    left = round(seconds)
    parts = []
    for size, name in _UNITS:
        count, left = divmod(left, size)
        parts.append((count, name))
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    shown = [part for part in parts[first : first + 2] if part[0]] or parts[-1:]
    return " ".join(f"{count} {name}" for count, name in shown)


def one_line(command: str) -> str:
    """Return a command line, which may hold anything, as one line that is not too long."""
    words = " ".join(command.split())
    text = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words
    )
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
