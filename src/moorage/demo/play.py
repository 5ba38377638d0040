"""Plays a demo in a lab of its own and writes its report."""

from __future__ import annotations

import importlib.util
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from moorage.demo.flows import echo_server
from moorage.demo.moves import route, wander
from moorage.demo.observations import Observer
from moorage.demo.report import (
    Clock,
    Files,
    Move,
    Report,
    Step,
    distributions,
    flow_reports,
    random_moves_step,
    to_json,
)
from moorage.demo.scenario import Scenario
from moorage.lab import topology as topologies
from moorage.lab.errors import LabError
from moorage.lab.lab import Lab
from moorage.lab.network import ACCESS, UPLINK
from moorage.lab.pcap import Capture, capture_socket
from moorage.lab.topology import Topology
from moorage.service import ServiceType

JSON: Final = "demo.json"
PICTURES: Final = ("flows.png", "flows.svg")
CAPTURE: Final = "capture.pcap"

_OFFERED: Final = [ServiceType.SESSION_LASTING.slug, ServiceType.NON_PERSISTENT.slug]
_SAMPLES: Final = 400
_SHORTEST_INTERVAL: Final = 0.02


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to play.

    Attributes:
        topology: file or shipped name.
        moves: how often to move at random afterwards.
        output: folder of the report.
    """

    topology: str
    soft: bool
    moves: int
    seed: int
    output: Path


class Audience(Protocol):
    """Whoever wants to know at once."""

    def step(self, step: Step) -> None:
        """A step is over."""

    def moved(self, move: Move, count: int) -> None:
        """A move of the ``count`` that there are to be is over; not told of the first one."""


def play(wanted: Wanted, audience: Audience) -> Report:
    """Play it and write the report's files.

    Raises:
        LabError: the system does not allow a lab, something is missing, or the topology does not
            suit.
        ConfigError: the topology is wrong.
        OSError: the report cannot be written.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise LabError("matplotlib, which draws the report, is missing: pip install moorage[lab]")
    made = _prepared(topologies.load(wanted.topology), soft=wanted.soft)
    with _folder(wanted.output):
        report = _play(made, wanted, audience)
        (wanted.output / JSON).write_bytes(to_json(report))
        # Not before: the libraries below it start threads, which a lab must not find.
        from moorage.demo.picture import draw

        draw(report, [wanted.output / name for name in PICTURES])
        return report


def _prepared(plain: Topology, *, soft: bool) -> Topology:
    """The topology as the draft's example has it.

    The network offers two types, if the topology says nothing else, and its host is not attached.
    """
    if len(plain.hosts) != 1 or len(plain.routers) < 2 or not plain.correspondents:
        raise LabError("a demo needs one host, two access routers and a correspondent")
    [host] = plain.hosts.values()
    if soft and len(host.interfaces) < 2:
        raise LabError("a soft move needs a host with two interfaces")
    replace: Any = msgspec.structs.replace
    changed: Topology = replace(
        plain,
        routers={
            name: replace(router, settings={"offered": _OFFERED, **router.settings})
            for name, router in plain.routers.items()
        },
        hosts={name: replace(node, attach={}) for name, node in plain.hosts.items()},
    )
    return changed


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Make the report's folder; what is not finished is not left there."""
    new = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for name in (JSON, *PICTURES, CAPTURE):
            (path / name).unlink(missing_ok=True)
        if new:
            with suppress(OSError):
                path.rmdir()
        raise


def _play(topology: Topology, wanted: Wanted, audience: Audience) -> Report:
    [host] = topology.hosts
    routers = list(topology.routers)
    [(correspondent, peer), *_] = topology.correspondents.items()
    with ExitStack() as stack:
        lab = stack.enter_context(Lab.start(topology))
        lab.start_daemons()
        server = stack.enter_context(echo_server(lab.node(correspondent), peer.core.address))
        observer = Observer(lab, host)
        scenario = Scenario(
            lab, observer, host, (routers[0], routers[1]), server, stack, audience.step
        )
        with _capture(lab, routers, wanted.output / CAPTURE) as capture:
            clock = Clock(scenario.attach(topology.hosts[host].interfaces[0]))
            scenario.launch()
            moves = [clock.move(1, routers[1], scenario.move(soft=wanted.soft))]
            scenario.ask_for_unsupported()
        source = random.Random(wanted.seed)
        lost = []
        targets = route(routers, routers[1], wanted.moves, source)
        for one in wander(lab, observer, host, scenario.flows, targets, source, soft=wanted.soft):
            moves.append(clock.move(len(moves) + 1, one.router, one.moved))
            audience.moved(moves[-1], wanted.moves + 1)
            lost += [f"{name} at move {len(moves)}" for name in one.lost]
        duration = clock.seconds(time.monotonic_ns())
    interval = max(_SHORTEST_INTERVAL, duration / _SAMPLES)
    flows = flow_reports(scenario.flows, scenario.names(), moves, clock, duration, interval)
    found = distributions(flows)
    steps = list(scenario.steps)
    if wanted.moves:
        steps.append(random_moves_step(len(steps) + 1, wanted.moves, found, lost))
        audience.step(steps[-1])
    return Report(
        passed=all(step.passed for step in steps),
        topology=wanted.topology,
        soft=wanted.soft,
        seed=wanted.seed,
        duration=duration,
        interval=interval,
        steps=tuple(steps),
        moves=tuple(moves),
        flows=flows,
        distributions=found,
        files=Files(JSON, PICTURES, CAPTURE, capture.dropped),
    )


def _capture(lab: Lab, routers: Sequence[str], path: Path) -> Capture:
    """A capture of every access link and of every router's link to the core."""
    return Capture(
        path,
        [
            lab.node(router).call(capture_socket, interface)
            for router in routers
            for interface in (ACCESS, UPLINK)
        ],
    )
