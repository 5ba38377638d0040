"""From the routes that should be to the changes that make them so."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from itertools import islice
from typing import Final

from moorage.kernel.routes import Add, Remove, Route, RouteChange, RouteKey, RouteTable, Rule

_PORTION: Final = 1024
"""Routes that are looked at at a time."""

Failure = tuple[RouteChange, OSError]
"""A change that the kernel refused, and why."""


def difference(desired: Set[Route], actual: Set[Route]) -> list[RouteChange]:
    """The changes that turn the routes ``actual`` into ``desired``.

    A changed route is one `Add`, which takes the old one's place at once; what has to go goes last.
    Only where others gave one of our routes a twin with the same key, all of these go first, since
    an `Add` takes the place of one route only. Raises ValueError if two routes of ``desired`` have
    the same key.
    """
    present: defaultdict[RouteKey, list[Route]] = defaultdict(list)
    for route in actual:
        present[route.key].append(route)
    wanted = _by_key(desired)
    twins = {key for key, routes in present.items() if len(routes) > 1 and key in wanted}
    changes: list[RouteChange] = [Remove(route) for key in twins for route in present[key]]
    changes += [Add(route) for key, route in wanted.items() if key in twins or route not in actual]
    changes += [
        Remove(route) for key, routes in present.items() if key not in wanted for route in routes
    ]
    return changes


def _by_key(routes: Set[Route]) -> dict[RouteKey, Route]:
    found = {route.key: route for route in routes}
    if len(found) != len(routes):
        raise ValueError("two desired routes have the same destination, source, table and metric")
    return found


class Reconciler:
    """Keeps the routes of our protocol number as they should be.

    It remembers what it applied, so that a change costs no look at the kernel; `resync` looks at
    what is really there. Both return what failed; this is tried again by the next of them.
    """

    def __init__(self, kernel: RouteTable) -> None:
        self._kernel: Final = kernel
        self._applied: frozenset[Route] = frozenset()

    def apply(self, desired: Set[Route]) -> list[Failure]:
        """Turn what was applied into ``desired``."""
        failures = carry_out(self._kernel, difference(desired, self._applied))
        self._applied = frozenset(after_failures(desired, failures))
        return failures

    def resync(self, desired: Set[Route]) -> list[Failure]:
        """Turn what the kernel has into ``desired``. Raises OSError if it cannot be listed."""
        failures = resync_routes(self._kernel, desired)
        self._applied = frozenset(after_failures(desired, failures))
        return failures


def carry_out(kernel: RouteTable, changes: Sequence[RouteChange]) -> list[Failure]:
    """Make ``changes`` and return what failed; what is to go may be gone already."""
    return [
        (change, error)
        for change, error in zip(changes, kernel.apply(changes), strict=True)
        if error is not None and not (isinstance(change, Remove) and error.errno == errno.ESRCH)
    ]


def after_failures(desired: Set[Route], failures: Iterable[Failure]) -> Set[Route]:
    """What is there of ``desired`` after a change of which this failed."""
    added = {change.route for change, _ in failures if isinstance(change, Add)}
    kept = {change.route for change, _ in failures if isinstance(change, Remove)}
    return (desired - added) | kept if added or kept else desired


def resync_routes(kernel: RouteTable, desired: Iterable[Route]) -> list[Failure]:
    """Turn the routes that the kernel has into ``desired``, of which only a few are kept at a time.

    What has to go goes last, as in `difference`. Raises OSError if the kernel cannot list them.
    """
    there, left = kernel.listing(), iter(desired)
    failures = carry_out(kernel, [Remove(route) for route in there.twins()])
    while portion := list(islice(left, _PORTION)):
        failures += carry_out(kernel, [Add(route) for route in there.missing(portion)])
    return failures + carry_out(kernel, [Remove(route) for route in there.surplus()])


def resync_rules(kernel: RouteTable, desired: Iterable[Rule]) -> None:
    """Make the rules of our protocol number those of ``desired``. Raises OSError."""
    wanted = set(desired)
    actual = kernel.rules(kernel.protocol)
    for rule in wanted - actual:
        kernel.add_rule(rule)
    for rule in actual - wanted:
        kernel.remove_rule(rule)
