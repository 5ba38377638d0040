"""State machines as tables: which state follows which on what."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class IllegalTransitionError(Exception):
    """An event came in a state that has no place for it: a mistake of our own."""


def after(table: Mapping[tuple[S, E], S], state: S, event: E) -> S:
    """Return the state that follows ``state`` on ``event``.

    Raises:
        IllegalTransitionError: the table has no such entry.
    """
    try:
        return table[state, event]
    except KeyError:
        raise IllegalTransitionError(f"{event.name} in state {state.name}") from None
