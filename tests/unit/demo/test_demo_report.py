"""The values, tables and pictures that a demo hands over."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from moorage.demo.application import Arrival
from moorage.demo.moves import route
from moorage.demo.picture import draw
from moorage.demo.report import (
    Clock,
    ConnectionReport,
    Files,
    FlowReport,
    Interruption,
    Move,
    RefusalReport,
    Report,
    Step,
    distribution_table,
    distributions,
    interruptions,
    random_moves_step,
    table,
    throughput,
    to_json,
)
from moorage.lab.control import Moved

SECOND = 1_000_000_000
CLOCK = Clock(100 * SECOND)
STEPS = (
    Step(1, "It attaches.", "a link", "a link", True, ("a route",)),
    Step(2, "It moves.", "a path", "none", False),
)
MOVES = (Move(1, "ar2", "wl0", lost=1.0, carrier=1.1), Move(2, "ar1", "wl0", 3.0, 3.2))
LASTING = FlowReport(
    name="app 1",
    asked=("graceful-replacement", "session-lasting"),
    connections=(
        ConnectionReport("session-lasting", "2001:db8::1", "IPsl1", 1.0, 0.5, 2.0, "ECONNABORTED"),
        ConnectionReport("session-lasting", "2001:db8::2", "IPsl2", 1.0, 2.1, None, None),
    ),
    refusals=(RefusalReport(0.1, "graceful-replacement", 1.0, -180, "not supported"),),
    interruptions=(Interruption(1, 1.0, 100.0), Interruption(2, 3.0, 300.0)),
    throughput=(0, 5, 0, 5),
)
NOTHING = FlowReport("app 2", ("fixed",), (), (), (), (0, 0, 0, 0))


def report(*flows: FlowReport, moves: tuple[Move, ...] = MOVES) -> Report:
    return Report(
        passed=False,
        topology="two-routers",
        soft=False,
        seed=1,
        duration=4.0,
        interval=1.0,
        steps=STEPS,
        moves=moves,
        flows=flows,
        distributions=distributions(flows),
        files=Files("demo.json", ("flows.png",), "capture.pcap", 0),
    )


def printed(shown: object) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


def arrivals(*seconds: float) -> list[Arrival]:
    return [Arrival(CLOCK.moment(second), 10) for second in seconds]


def test_clock_counts_from_its_start() -> None:
    assert CLOCK.seconds(101 * SECOND + 500_000_000) == 1.5
    assert CLOCK.moment(1.5) == 101 * SECOND + 500_000_000


def test_move_knows_when_it_began_and_ended() -> None:
    hard = CLOCK.move(1, "ar2", Moved("wl0", down=101 * SECOND, up=102 * SECOND))
    soft = CLOCK.move(1, "ar2", Moved("wl1", down=102 * SECOND, up=101 * SECOND))
    assert (hard.lost, hard.carrier) == (1.0, 2.0)
    assert (hard.begin, hard.end) == (soft.begin, soft.end) == (1.0, 2.0)


def test_throughput_sums_what_arrives_in_each_interval() -> None:
    assert throughput(arrivals(0.1, 0.9, 2.5), CLOCK, 3.0, 1.0) == (20, 0, 10, 0)


def test_throughput_leaves_out_what_is_outside() -> None:
    assert throughput(arrivals(-2, 9), CLOCK, 1.0, 1.0) == (0, 0)


def test_each_move_has_its_own_interruption() -> None:
    found = interruptions(arrivals(0.5, 0.9, 1.3, 2.9, 3.5, 3.6), MOVES, CLOCK, 4.0)
    assert found == (Interruption(1, 1.3, 1600.0), Interruption(2, 2.9, 600.0))


def test_flow_that_begins_later_has_not_seen_the_move() -> None:
    assert [one.move for one in interruptions(arrivals(2, 2.9, 3.1), MOVES, CLOCK, 4.0)] == [2]


def test_distributions_are_by_type_and_leave_out_what_has_none() -> None:
    [(service, found)] = distributions([LASTING, NOTHING]).items()
    assert (service, found.count, found.maximum) == ("session-lasting", 2, 300.0)


def test_random_moves_fail_when_a_flow_is_lost() -> None:
    found = distributions([LASTING])
    assert random_moves_step(3, 9, found, []).passed
    failed = random_moves_step(3, 9, found, ["app 1 at move 4"])
    assert not failed.passed
    assert "app 1 at move 4" in failed.observed


def test_json_has_everything() -> None:
    made = report(LASTING, NOTHING)
    assert msgspec.json.decode(to_json(made), type=Report) == made


def test_table_has_a_row_for_each_step() -> None:
    text = printed(table(STEPS))
    for word in ("It attaches.", "a link", "yes", "It moves.", "a path", "none", "NO"):
        assert word in text


def test_distribution_table() -> None:
    text = printed(distribution_table(report(LASTING).distributions))
    for word in ("session-lasting", "100.0", "200.0", "300.0"):
        assert word in text


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(report(LASTING, NOTHING), id="histogram"),
        pytest.param(report(LASTING, moves=MOVES[:1]), id="one move"),
        pytest.param(report(NOTHING), id="no data"),
    ],
)
def test_picture_can_be_drawn(made: Report, tmp_path: Path) -> None:
    draw(made, [tmp_path / "flows.png", tmp_path / "flows.svg"])
    assert (tmp_path / "flows.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "flows.svg").read_text()
    assert "<svg" in text


def test_random_route_never_stays() -> None:
    routers = ["ar1", "ar2", "ar3"]
    targets = list(route(routers, "ar2", 30, random.Random(7)))
    assert targets == list(route(routers, "ar2", 30, random.Random(7)))
    assert set(targets) == set(routers)
    assert all(one != other for one, other in pairwise(["ar2", *targets]))
