"""What a demo hands over: plain values for JSON, and the table at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from rich.table import Table

from moorage.demo.application import Arrival
from moorage.demo.flows import Flow, interruption
from moorage.demo.statistics import Distribution
from moorage.lab.control import Moved

_MS = 1_000_000
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """One bullet of the draft's section 4.2, or what was done beyond it.

    Attributes:
        text: the draft's words in short.
        expected: what they mean here.
        observed: what was seen, in one line.
        details: more of it, such as routes.
    """

    number: int
    text: str
    expected: str
    observed: str
    passed: bool
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """A move, in seconds since the start; a soft one has the new carrier first.

    Attributes:
        lost: when the old link's carrier was gone.
        carrier: when the new link had its carrier.
    """

    number: int
    router: str
    interface: str
    lost: float
    carrier: float

    @property
    def begin(self) -> float:
        """When it began."""
        return min(self.lost, self.carrier)

    @property
    def end(self) -> float:
        """When it was over."""
        return max(self.lost, self.carrier)


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """A connection of an application, in seconds since the start."""

    service: str
    address: str
    name: str
    """What the draft would call the address, such as IPnp1."""
    setsc_ms: float
    start: float
    end: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class RefusalReport:
    """A ``setsc()`` that failed."""

    at: float
    service: str
    setsc_ms: float
    eai: int
    text: str


@dataclass(frozen=True, slots=True)
class Interruption:
    """The longest time without data that a move caused, in seconds since the start."""

    move: int
    start: float
    ms: float


@dataclass(frozen=True, slots=True)
class FlowReport:
    """What became of an application.

    Attributes:
        asked: the service types that it was to ask for, in this order.
        throughput: bytes that came back in each interval since the start.
    """

    name: str
    asked: tuple[str, ...]
    connections: tuple[ConnectionReport, ...]
    refusals: tuple[RefusalReport, ...]
    interruptions: tuple[Interruption, ...]
    throughput: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a report, by their names in its folder, and what the capture holds."""

    json: str
    picture: tuple[str, ...]
    capture: str
    capture_lost: int
    """Frames that the capture missed."""


@dataclass(frozen=True, slots=True)
class Report:
    """A demo.

    Attributes:
        duration: seconds.
        interval: seconds, of every flow's throughput.
        distributions: of the interruptions in ms, by service type.
    """

    passed: bool
    topology: str
    soft: bool
    seed: int
    duration: float
    interval: float
    steps: tuple[Step, ...]
    moves: tuple[Move, ...]
    flows: tuple[FlowReport, ...]
    distributions: dict[str, Distribution]
    files: Files


class Clock:
    """Seconds since a moment of CLOCK_MONOTONIC in ns."""

    def __init__(self, start: int) -> None:
        self._start = start

    def seconds(self, moment: int) -> float:
        """Return a moment as seconds since the start."""
        return round((moment - self._start) / _SECOND, 6)

    def moment(self, seconds: float) -> int:
        """Return the moment that is so many seconds after the start."""
        return self._start + round(seconds * _SECOND)

    def move(self, number: int, router: str, moved: Moved) -> Move:
        """Return what the lab said about a move."""
        lost, carrier = self.seconds(moved.down), self.seconds(moved.up)
        return Move(number, router, moved.interface, lost, carrier)


def throughput(
    arrivals: Iterable[Arrival], clock: Clock, duration: float, interval: float
) -> tuple[int, ...]:
    """Bytes that arrived in each interval of a time."""
    samples = [0] * (int(duration / interval) + 1)
    for arrival in arrivals:
        index = int(clock.seconds(arrival.moment) / interval)
        if 0 <= index < len(samples):
            samples[index] += arrival.size
    return tuple(samples)


def interruptions(
    arrivals: Sequence[Arrival], moves: Sequence[Move], clock: Clock, duration: float
) -> tuple[Interruption, ...]:
    """What each move did to a flow; nothing for a move before the flow or one that ended it."""
    found = []
    ends = [move.begin for move in moves[1:]] + [duration]
    for move, until in zip(moves, ends, strict=True):
        stall = interruption(arrivals, clock.moment(move.begin), clock.moment(until))
        if stall is not None:
            start, ms = clock.seconds(stall.start), round(stall.duration / _MS, 3)
            found.append(Interruption(move.number, start, ms))
    return tuple(found)


def flow_reports(
    flows: Iterable[Flow],
    names: dict[str, str],
    moves: Sequence[Move],
    clock: Clock,
    duration: float,
    interval: float,
) -> tuple[FlowReport, ...]:
    """What became of the applications; ``names`` has the draft's name of each address."""
    return tuple(
        FlowReport(
            name=flow.name,
            asked=tuple(service.slug for service in flow.services),
            connections=tuple(
                ConnectionReport(
                    service=connection.service.slug,
                    address=str(connection.address),
                    name=names.get(str(connection.address), "?"),
                    setsc_ms=round(connection.setsc_ns / _MS, 3),
                    start=clock.seconds(connection.start),
                    end=None if connection.end is None else clock.seconds(connection.end),
                    error=connection.error,
                )
                for connection in flow.history.connections
            ),
            refusals=tuple(
                RefusalReport(
                    at=clock.seconds(refusal.moment),
                    service=refusal.service.slug,
                    setsc_ms=round(refusal.setsc_ns / _MS, 3),
                    eai=refusal.eai,
                    text=refusal.text,
                )
                for refusal in flow.history.refusals
            ),
            interruptions=interruptions(flow.history.arrivals, moves, clock, duration),
            throughput=throughput(flow.history.arrivals, clock, duration, interval),
        )
        for flow in flows
    )


def distributions(flows: Iterable[FlowReport]) -> dict[str, Distribution]:
    """The distribution of the interruptions for each service type that had any."""
    times: dict[str, list[float]] = {}
    for flow in flows:
        if flow.connections and flow.interruptions:
            found = times.setdefault(flow.connections[-1].service, [])
            found += (interruption.ms for interruption in flow.interruptions)
    return {service: Distribution.of(found) for service, found in sorted(times.items())}


def random_moves_step(
    number: int, moves: int, found: dict[str, Distribution], lost: Sequence[str]
) -> Step:
    """The step in which the host moved at random; ``lost`` says which flow did not come along."""
    medians = [
        f"{service}: median {one.median:.1f} ms, at most {one.maximum:.1f} ms"
        for service, one in found.items()
    ]
    return Step(
        number,
        f"The mobile host moves {moves} times at random.",
        "every Session-lasting connection goes on, every Non-persistent one is made again",
        f"did not come along: {', '.join(lost)}"
        if lost
        else "all came along; " + "; ".join(medians),
        not lost,
    )


def to_json(report: Report) -> bytes:
    """The report as a JSON document."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def table(steps: Iterable[Step]) -> Table:
    """Step, expected, observed."""
    made = Table(title="Draft section 4.2", show_lines=True)
    made.add_column("", justify="right")
    made.add_column("step", ratio=3, overflow="fold")
    made.add_column("expected", ratio=3, overflow="fold")
    made.add_column("observed", ratio=4, overflow="fold")
    made.add_column("")
    for step in steps:
        verdict = "[green]yes[/]" if step.passed else "[bold red]NO[/]"
        made.add_row(str(step.number), step.text, step.expected, step.observed, verdict)
    return made


def distribution_table(found: dict[str, Distribution]) -> Table:
    """Minimum, median, p90 and maximum of each service type."""
    made = Table(title="Interruptions by a move, in ms")
    made.add_column("service type")
    for column in ("count", "minimum", "median", "p90", "maximum"):
        made.add_column(column, justify="right")
    for service, one in found.items():
        times = (one.minimum, one.median, one.p90, one.maximum)
        made.add_row(service, str(one.count), *(f"{time:.1f}" for time in times))
    return made
