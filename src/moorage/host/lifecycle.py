"""The life of a typed address, as a table.

A *lease* is a prefix of one service type and the address that we made from it. The table says
which state follows which on what; an event that has no entry in a state is an error of ours.
Being detached is no state: whether a lease is served, and by which interface, is its path
(`moorage.host.lease.Path`), since an address keeps its state over a move.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a lease stands."""

    REQUESTED = "requested"
    """Asked of the network; no prefix yet."""
    READY = "ready"
    """Has an address that no socket uses."""
    IN_USE = "in use"
    """Has an address that sockets use."""
    LINGERING = "lingering"
    """The last socket has gone; released when the linger time ends."""
    RETIRING = "retiring"
    """Takes no new sockets; those that live keep it until it becomes invalid."""
    ENDED = "ended"
    """Released, refused, lost or invalid."""


class Event(StrEnum):
    """What happens to a lease."""

    GRANT = "the network grants the prefix"
    REPLACE = "the network serves it for a grace time only"
    OPEN = "a socket takes the address"
    LAST_CLOSE = "the last socket has closed"
    UNUSED = "the last socket of an address that policy keeps has closed"
    LINGER_END = "the linger time is over and no socket is left"
    END = "refused, lost or invalid"


class IllegalTransitionError(Exception):
    """An event came in a state that has no place for it: a mistake of our own."""


_S, _E = State, Event

TABLE: dict[tuple[State, Event], State] = {
    (_S.REQUESTED, _E.GRANT): _S.READY,
    (_S.READY, _E.GRANT): _S.READY,
    (_S.IN_USE, _E.GRANT): _S.IN_USE,
    (_S.LINGERING, _E.GRANT): _S.LINGERING,
    (_S.RETIRING, _E.GRANT): _S.RETIRING,
    (_S.REQUESTED, _E.REPLACE): _S.ENDED,
    (_S.READY, _E.REPLACE): _S.RETIRING,
    (_S.IN_USE, _E.REPLACE): _S.RETIRING,
    (_S.LINGERING, _E.REPLACE): _S.RETIRING,
    (_S.RETIRING, _E.REPLACE): _S.RETIRING,
    (_S.READY, _E.OPEN): _S.IN_USE,
    (_S.IN_USE, _E.OPEN): _S.IN_USE,
    (_S.LINGERING, _E.OPEN): _S.IN_USE,
    (_S.RETIRING, _E.OPEN): _S.RETIRING,
    (_S.IN_USE, _E.LAST_CLOSE): _S.LINGERING,
    (_S.READY, _E.LAST_CLOSE): _S.LINGERING,
    (_S.LINGERING, _E.LAST_CLOSE): _S.LINGERING,
    (_S.RETIRING, _E.LAST_CLOSE): _S.RETIRING,
    (_S.READY, _E.UNUSED): _S.READY,
    (_S.IN_USE, _E.UNUSED): _S.READY,
    (_S.RETIRING, _E.UNUSED): _S.RETIRING,
    (_S.LINGERING, _E.LINGER_END): _S.ENDED,
    (_S.REQUESTED, _E.END): _S.ENDED,
    (_S.READY, _E.END): _S.ENDED,
    (_S.IN_USE, _E.END): _S.ENDED,
    (_S.LINGERING, _E.END): _S.ENDED,
    (_S.RETIRING, _E.END): _S.ENDED,
}


def after(state: State, event: Event) -> State:
    """Return the state that follows ``state`` on ``event``.

    Raises:
        IllegalTransitionError: the table has no such entry.
    """
    try:
        return TABLE[state, event]
    except KeyError:
        raise IllegalTransitionError(f"{event.name} in state {state.name}") from None
