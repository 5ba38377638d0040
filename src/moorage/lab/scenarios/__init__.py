"""Named things to do in a lab; each module of this package registers its own.

A scenario gets a lab that was made for it, says what it sees with `click.echo`, and raises
`ScenarioFailed` when that is not what has to be.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from moorage.lab import programs
from moorage.lab.errors import LabError
from moorage.lab.lab import Lab

Play = Callable[[Lab], None]

_REGISTERED: Final[dict[str, Scenario]] = {}


class ScenarioFailed(LabError):
    """What was observed is not what the scenario is to show."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario, and what it needs.

    Attributes:
        topology: the name of the topology that it is made for.
        daemons: whether the daemons of all routers and hosts are to run from the start.
        needs: other people's programs that it runs.
    """

    name: str
    play: Play
    topology: str
    daemons: bool
    needs: tuple[str, ...]

    @property
    def missing(self) -> list[str]:
        """Those of the programs it needs that this machine does not have."""
        return [name for name in self.needs if programs.find(name) is None]

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return inspect.cleandoc(self.play.__doc__ or "").partition("\n")[0]


def scenario(
    topology: str, *, daemons: bool = True, needs: tuple[str, ...] = ()
) -> Callable[[Play], Play]:
    """Register a function as the scenario of its name, with dashes for underscores."""

    def register(play: Play) -> Play:
        name = play.__name__.replace("_", "-")
        _REGISTERED[name] = Scenario(name, play, topology, daemons, needs)
        return play

    return register


def move_on(lab: Lab, host: str) -> str:
    """Move a host from its router to the next one of the topology; return that one's name."""
    status = lab.status().nodes
    routers = [name for name, node in status.items() if node.role == "router"]
    here = next((at for at in status[host].attached.values() if at is not None), routers[-1])
    there = routers[(routers.index(here) + 1) % len(routers)]
    lab.move(host, there)
    return there


def all_scenarios() -> Mapping[str, Scenario]:
    """Every scenario by its name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_REGISTERED.items()))
