"""What happened on this host, told to its owner: log, journal and watchers all live on these.

Each event is one sentence by `str()`, and one JSON object whose ``event`` names it.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from moorage.host.findings import Lack
from moorage.management.event import Event
from moorage.service import ServiceType
from moorage.wire.notice import Why


class LinkAttached(Event, frozen=True):
    """An interface is on a link, perhaps a new one."""

    interface: str

    def __str__(self) -> str:
        return f"{self.interface}: attached"


class LinkLeft(Event, frozen=True):
    """An interface is no longer on the link that it was on."""

    interface: str

    def __str__(self) -> str:
        return f"{self.interface}: left its link"


class RouterLost(Event, frozen=True):
    """A router of the link is gone while the link is still there; others are looked for."""

    interface: str
    router: IPv6Address
    why: Lack

    def __str__(self) -> str:
        return f"{self.interface}: router {self.router}: {self.why}"


class PrefixesWithdrawn(Event, frozen=True):
    """The routers of the link no longer advertise prefixes that they advertised before."""

    interface: str
    prefixes: list[IPv6Network]

    def __str__(self) -> str:
        return f"{self.interface}: no longer advertised: {', '.join(map(str, self.prefixes))}"


class AddressClash(Event, frozen=True):
    """Somebody else on the link has an address of this host, which must not use it then."""

    interface: str
    address: IPv6Address

    def __str__(self) -> str:
        return f"{self.interface}: somebody else on the link has {self.address}"


class Resumed(Event, frozen=True):
    """The host has slept, and takes every link for perhaps another.

    Attributes:
        slept: seconds.
    """

    slept: float

    def __str__(self) -> str:
        return f"resumed after {self.slept:.0f} s"


class AddressServed(Event, frozen=True):
    """The network serves an address: a new one, after a move, or for longer.

    Attributes:
        moved: whether it is another link, or another router, than before.
        preferred_for: seconds; 0 if the network serves it for a grace time only.
        valid_for: seconds.
    """

    address: IPv6Address
    type: ServiceType
    prefix: IPv6Network
    interface: str
    router: IPv6Address
    moved: bool
    preferred_for: float
    valid_for: float

    def __str__(self) -> str:
        where = f"on {self.interface} by {self.router}"
        return f"{self.address} ({self.type.slug}) served {where}, valid for {self.valid_for:.0f} s"


class AddressFormed(Event, frozen=True):
    """A Non-persistent address of our own works, formed from a prefix that a link advertises.

    Attributes:
        valid_for: seconds.
    """

    address: IPv6Address
    prefix: IPv6Network
    interface: str
    valid_for: float

    def __str__(self) -> str:
        return f"{self.address} formed on {self.interface}, valid for {self.valid_for:.0f} s"


class AddressDetached(Event, frozen=True):
    """The link of an address went away; it stays, and is served again after the next move."""

    address: IPv6Address
    type: ServiceType

    def __str__(self) -> str:
        return f"{self.address} ({self.type.slug}) is detached"


class AddressAttached(Event, frozen=True):
    """The link that an ordinary address is of is there again."""

    address: IPv6Address
    type: ServiceType

    def __str__(self) -> str:
        return f"{self.address} ({self.type.slug}) is attached again"


class AddressDeprecated(Event, frozen=True):
    """An address is not for new connections any more; those that there are keep it for a while.

    Attributes:
        valid_for: seconds.
    """

    address: IPv6Address
    type: ServiceType
    valid_for: float

    def __str__(self) -> str:
        return f"{self.address} ({self.type.slug}) is deprecated, valid for {self.valid_for:.0f} s"


class AddressReplaced(Event, frozen=True):
    """There is an address for new connections in the place of one that is deprecated.

    Attributes:
        by: the new address.
        valid_for: seconds that the old one has left.
    """

    address: IPv6Address
    type: ServiceType
    by: IPv6Address
    valid_for: float

    def __str__(self) -> str:
        what = f"{self.address} ({self.type.slug}) is replaced by {self.by}"
        return f"{what}, valid for {self.valid_for:.0f} s"


class AddressReleased(Event, frozen=True):
    """An address that nobody used was given back."""

    address: IPv6Address
    type: ServiceType

    def __str__(self) -> str:
        return f"{self.address} ({self.type.slug}) released"


class AddressGone(Event, frozen=True):
    """An address became invalid; the sockets on it are of no use any longer."""

    address: IPv6Address
    type: ServiceType
    why: Why

    def __str__(self) -> str:
        return f"{self.address} ({self.type.slug}) is gone: {self.why}"


class Declined(Event, frozen=True):
    """Something that the network sent was not taken, or it did not serve what we hold."""

    prefix: IPv6Network
    type: ServiceType
    why: str

    def __str__(self) -> str:
        return f"{self.prefix} ({self.type.slug}): {self.why}"


class NamePublished(Event, frozen=True):
    """The host's name in DNS has its Fixed addresses, which may be none."""

    name: str
    addresses: tuple[IPv6Address, ...]

    def __str__(self) -> str:
        return f"{self.name} has {', '.join(map(str, self.addresses)) or 'no address'}"


class NameNotPublished(Event, frozen=True):
    """The host's name in DNS could not be changed; it will be tried again."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name} could not be published: {self.why}"


HostEvent = (
    LinkAttached
    | LinkLeft
    | RouterLost
    | PrefixesWithdrawn
    | AddressClash
    | Resumed
    | AddressServed
    | AddressFormed
    | AddressDetached
    | AddressAttached
    | AddressDeprecated
    | AddressReplaced
    | AddressReleased
    | AddressGone
    | Declined
    | NamePublished
    | NameNotPublished
)
