"""Figures as lines for a person and as JSON for a program."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence

from benchmarks.figure import Figure


def line(figure: Figure) -> str:
    """Return one line: name, median, unit, reference, ratio, and whether it is over its limit."""
    text = f"{figure.name:<44} {figure.median:>10.4g} {figure.unit:<7}"
    if figure.reference is not None:
        text += f" {figure.reference_name:>32} {figure.reference:>10.4g} {figure.unit:<7}"
    if figure.ratio is not None:
        text += f" x{figure.ratio:.2f}"
    if not figure.within_limit:
        text += f" OVER THE LIMIT of {figure.limit:g} {figure.unit}"
    return text.rstrip()


def document(figures: Sequence[Figure], failures: Mapping[str, str]) -> str:
    """Return the JSON document: the machine, every figure with its samples, what failed."""
    return json.dumps(
        {
            "machine": {
                "kernel": platform.release(),
                "cpus": os.cpu_count(),
                "python": platform.python_version(),
            },
            "figures": [_as_object(figure) for figure in figures],
            "failures": dict(failures),
        },
        indent=2,
    )


def standalone(run: Callable[[], Sequence[Figure]]) -> int:
    """Measure and print the figures of one file; return its exit status."""
    figures = run()
    for figure in figures:
        print(line(figure))
    return 0 if all(figure.within_limit for figure in figures) else 1


def _as_object(figure: Figure) -> dict[str, object]:
    return {
        "name": figure.name,
        "unit": figure.unit,
        "median": figure.median,
        "samples": figure.samples,
        "reference": {
            "name": figure.reference_name,
            "median": figure.reference,
            "samples": figure.reference_samples,
        },
        "ratio": figure.ratio,
        "limit": figure.limit,
    }
