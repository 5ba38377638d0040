from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import run
from benchmarks.figure import Figure

MOVE = Figure("hard move", "ms", (5.0, 3.0, 40.0), "routes alone", (1.0, 2.0, 3.0), limit=10.0)
LOST = Figure("packets lost", "packets", (0.0,), "by hand", (0.0,))
SLOW = Figure("setsc()", "µs", (200.0,), limit=150.0)


def test_a_figure_is_its_median_beside_its_references() -> None:
    assert (MOVE.median, MOVE.reference, MOVE.ratio) == (5.0, 2.0, 2.5)
    assert MOVE.within_limit


def test_no_ratio_to_a_reference_of_zero_or_none() -> None:
    assert (LOST.reference, LOST.ratio) == (0.0, None)
    assert (SLOW.reference, SLOW.ratio) == (None, None)


def test_a_figure_needs_samples() -> None:
    with pytest.raises(ValueError, match="'nothing' has no samples"):
        Figure("nothing", "ms", ())


def test_a_line_has_name_median_unit_reference_and_ratio() -> None:
    words = report.line(MOVE).split()
    assert words == ["hard", "move", "5", "ms", "routes", "alone", "2", "ms", "x2.50"]


def test_a_line_says_what_is_over_its_limit() -> None:
    assert report.line(SLOW).endswith("OVER THE LIMIT of 150 µs")
    assert report.standalone(lambda: [MOVE, SLOW]) == 1
    assert report.standalone(lambda: [MOVE]) == 0


def test_a_failing_benchmark_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(name: str) -> list[Figure]:
        if name == "broken":
            raise OSError("no such link")
        return [MOVE]

    output = tmp_path / "bench.json"
    assert run(["broken", "move"], measure, output) == 1
    assert capsys.readouterr().out.splitlines() == [
        "broken FAILED: OSError: no such link",
        report.line(MOVE),
    ]

    document = json.loads(output.read_text())
    assert document["failures"] == {"broken": "OSError: no such link"}
    assert set(document["machine"]) == {"kernel", "cpus", "python"}
    (figure,) = document["figures"]
    assert figure["samples"] == [5.0, 3.0, 40.0]
    assert figure["reference"] == {
        "name": "routes alone",
        "median": 2.0,
        "samples": [1.0, 2.0, 3.0],
    }
    assert (figure["median"], figure["ratio"], figure["limit"]) == (5.0, 2.5, 10.0)


def test_the_status_tells_whether_all_is_within_its_limit(tmp_path: Path) -> None:
    assert run(["move"], lambda _: [MOVE], tmp_path / "bench.json") == 0
    assert run(["slow"], lambda _: [SLOW], tmp_path / "bench.json") == 1
