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
    """

    name: str
    play: Play
    topology: str
    daemons: bool

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return inspect.cleandoc(self.play.__doc__ or "").partition("\n")[0]


def scenario(topology: str, *, daemons: bool = True) -> Callable[[Play], Play]:
    """Register a function as the scenario of its name, with dashes for underscores."""

    def register(play: Play) -> Play:
        name = play.__name__.replace("_", "-")
        _REGISTERED[name] = Scenario(name, play, topology, daemons)
        return play

    return register


def all_scenarios() -> Mapping[str, Scenario]:
    """Every scenario by its name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_REGISTERED.items()))
