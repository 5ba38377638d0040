"""Runs every ``benchmarks/bench_*.py``, prints a line a figure, and writes ``bench.json``.

In the end it prints where the time of a hand-off goes.

Each file has ``run() -> list[Figure]``, and prints its own figures when it is run by itself:
``python -m benchmarks.bench_NAME``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import breakdown, report
from benchmarks.figure import Figure

_PREFIX = "bench_"


def names() -> list[str]:
    """Return the names of the benchmarks: those of the files, without ``bench_``."""
    files = Path(__file__).parent.glob(f"{_PREFIX}*.py")
    return sorted(path.stem.removeprefix(_PREFIX) for path in files)


def measure(name: str) -> list[Figure]:
    """Return the figures of one benchmark."""
    figures: list[Figure] = importlib.import_module(f"benchmarks.{_PREFIX}{name}").run()
    return figures


def run(selected: Sequence[str], measure: Callable[[str], list[Figure]], output: Path) -> int:
    """Measure the selected benchmarks and write ``output``; return the exit status.

    A benchmark that fails is told in one line, and the others go on.
    """
    figures: list[Figure] = []
    failures: dict[str, str] = {}
    for name in selected:
        try:
            measured = measure(name)
        except Exception as error:
            failures[name] = f"{type(error).__name__}: {error}"
            print(f"{name} FAILED: {failures[name]}", flush=True)
            continue
        figures += measured
        for figure in measured:
            print(report.line(figure), flush=True)
    output.write_text(report.document(figures, failures) + "\n")
    return 0 if not failures and all(figure.within_limit for figure in figures) else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the command line names, by default all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="NAME", choices=names(), help="one of: %(choices)s")
    parser.add_argument("--output", type=Path, default=Path("bench.json"), help="%(default)s")
    options = parser.parse_args(arguments)
    if options.only:
        return run([options.only], measure, options.output)
    status = run(names(), measure, options.output)
    return breakdown.main() or status


if __name__ == "__main__":
    sys.exit(main())
