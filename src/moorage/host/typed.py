"""An address of a service type that applications may use."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from moorage.host.lifecycle import TABLE, Event, State
from moorage.host.machine import after
from moorage.service import ServiceType

_OVER = (State.RELEASED, State.GONE)
_CLOSED = (State.RETIRING, *_OVER)


@dataclass(slots=True, kw_only=True)
class TypedAddress:
    """An address and its users; moments are seconds on the core's clock.

    Attributes:
        kept: wanted by policy, so that it does not end when no socket is left.
        lifetime: seconds after which it takes no new sockets, if an application set that; it is
            given only to those that set the same.
        granted_at: when it came to be.
        sent: bytes that were sent from it in earlier lives of the daemon.
        spent: whether as many bytes were sent from it as policy allows.
        linger_until: when it is released, or its users are counted, while nobody is known to
            use it.
        counting: whether the kernel was asked who uses it, before it is released.
        sockets: the cookies of the sockets that use it.
        holders: the applications that hold it without a socket, as long as they are connected.
    """

    type: ServiceType
    kept: bool = False
    state: State = State.REQUESTED
    address: IPv6Address | None = None
    lifetime: int | None = None
    granted_at: float = 0.0
    sent: int = 0
    spent: bool = False
    valid_until: float = 0.0
    linger_until: float = 0.0
    counting: bool = False
    sockets: set[int] = field(default_factory=set)
    holders: set[Hashable] = field(default_factory=set)

    def step(self, event: Event) -> None:
        """Change the state as the life-cycle table says.

        Raises:
            IllegalTransitionError: the table has no such entry.
        """
        self.state = after(TABLE, self.state, event)

    @property
    def alive(self) -> bool:
        """Whether there is an address."""
        return self.address is not None and self.state not in _OVER

    @property
    def usable(self) -> bool:
        """Whether a new socket may take it."""
        return self.address is not None and self.state not in _CLOSED

    @property
    def lingers(self) -> bool:
        """Whether it waits for its release."""
        unused = not (self.sockets or self.holders)
        return self.state is State.LINGERING or (self.state is State.RETIRING and unused)

    @property
    def uncertain(self) -> bool:
        """Whether it waits for a count of its users: none is known, be it used or not."""
        taken = self.state is State.IN_USE and not (self.sockets or self.holders)
        return taken or self.lingers
