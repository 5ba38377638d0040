"""The life of a typed address, as a table.

The table says which state follows which on what; an event that has no entry in a state is an error
of ours. Whether packets reach the address is another question, and another table
(`moorage.host.reach`), since an address keeps its state over a move.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a typed address stands."""

    REQUESTED = "requested"
    """Asked for; there is no address yet."""
    READY = "ready"
    """Works, and no socket uses it; it stays by policy."""
    IN_USE = "in use"
    """Sockets use it."""
    LINGERING = "lingering"
    """The last socket has gone; it is released when the linger time ends."""
    RETIRING = "retiring"
    """Takes no new sockets; those that live keep it until it becomes invalid."""
    RELEASED = "released"
    """Given back, since nobody used it."""
    GONE = "gone"
    """Refused, lost or invalid; sockets that were left were ended."""


class Event(StrEnum):
    """What happens to a typed address."""

    GRANT = "it works, or is served for longer"
    OPEN = "a socket takes it"
    KEEP = "the last socket has closed, and policy keeps it"
    LAST_CLOSE = "the last socket has closed"
    RETIRE = "another one replaces it, or its own lifetime is over"
    LINGER_END = "the linger time is over and no socket is left"
    END = "refused, lost or invalid"


_S, _E = State, Event

TABLE: dict[tuple[State, Event], State] = {
    (_S.REQUESTED, _E.GRANT): _S.READY,
    (_S.READY, _E.GRANT): _S.READY,
    (_S.IN_USE, _E.GRANT): _S.IN_USE,
    (_S.LINGERING, _E.GRANT): _S.LINGERING,
    (_S.RETIRING, _E.GRANT): _S.RETIRING,
    (_S.READY, _E.OPEN): _S.IN_USE,
    (_S.IN_USE, _E.OPEN): _S.IN_USE,
    (_S.LINGERING, _E.OPEN): _S.IN_USE,
    (_S.RETIRING, _E.OPEN): _S.RETIRING,
    (_S.READY, _E.KEEP): _S.READY,
    (_S.IN_USE, _E.KEEP): _S.READY,
    (_S.LINGERING, _E.KEEP): _S.READY,
    (_S.READY, _E.LAST_CLOSE): _S.LINGERING,
    (_S.IN_USE, _E.LAST_CLOSE): _S.LINGERING,
    (_S.LINGERING, _E.LAST_CLOSE): _S.LINGERING,
    (_S.RETIRING, _E.LAST_CLOSE): _S.RETIRING,
    (_S.READY, _E.RETIRE): _S.RETIRING,
    (_S.IN_USE, _E.RETIRE): _S.RETIRING,
    (_S.LINGERING, _E.RETIRE): _S.RETIRING,
    (_S.RETIRING, _E.RETIRE): _S.RETIRING,
    (_S.LINGERING, _E.LINGER_END): _S.RELEASED,
    (_S.RETIRING, _E.LINGER_END): _S.RELEASED,
    (_S.REQUESTED, _E.END): _S.GONE,
    (_S.READY, _E.END): _S.GONE,
    (_S.IN_USE, _E.END): _S.GONE,
    (_S.LINGERING, _E.END): _S.GONE,
    (_S.RETIRING, _E.END): _S.GONE,
}
