"""From the routes that should be to the changes that make them so."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Iterable, Set
from typing import Final

from moorage.kernel.routes import Add, Remove, Route, RouteChange, RouteKey, RouteTable, Rule

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

    It remembers what it applied, so that a change costs what it changes; `resync` looks at what the
    kernel really has. Both return what failed; this is tried again by the next `apply` or `resync`.
    """

    def __init__(self, kernel: RouteTable) -> None:
        self._kernel: Final = kernel
        self._applied: dict[RouteKey, Route] = {}

    def apply(self, desired: Set[Route]) -> list[Failure]:
        """Turn what was applied into ``desired``."""
        return self._carry_out(difference(desired, set(self._applied.values())))

    def change(self, add: Set[Route], remove: Set[Route]) -> list[Failure]:
        """Apply a part: ``add`` is what must be there now, ``remove`` what it takes the place of.

        Costs nothing for the other routes. Routes of ``remove`` whose key is in ``add`` are
        replaced, and those that are not applied are left alone.
        """
        concerned = _by_key(add).keys() | {route.key for route in remove}
        before = {self._applied[key] for key in concerned if key in self._applied}
        return self._carry_out(difference(add, before))

    def resync(self, desired: Set[Route]) -> list[Failure]:
        """Turn what the kernel has into ``desired``. Raises OSError if it cannot be listed."""
        actual = self._kernel.routes(self._kernel.protocol)
        self._applied = {route.key: route for route in actual}
        return self._carry_out(difference(desired, actual))

    def _carry_out(self, changes: list[RouteChange]) -> list[Failure]:
        failures: list[Failure] = []
        for change, error in zip(changes, self._kernel.apply(changes), strict=True):
            gone = isinstance(change, Remove)
            if error is not None and not (gone and error.errno == errno.ESRCH):
                failures.append((change, error))
            elif gone:
                self._applied.pop(change.route.key, None)
            else:
                self._applied[change.route.key] = change.route
        return failures


def resync_rules(kernel: RouteTable, desired: Iterable[Rule]) -> None:
    """Make the rules of our protocol number those of ``desired``. Raises OSError."""
    wanted = set(desired)
    actual = kernel.rules(kernel.protocol)
    for rule in wanted - actual:
        kernel.add_rule(rule)
    for rule in actual - wanted:
        kernel.remove_rule(rule)
