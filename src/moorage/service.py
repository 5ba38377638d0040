"""The four service types of On-Demand Mobility (draft section 3.2 and 6.1)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ServiceType(IntEnum):
    """What an application needs of its source address; numbers of draft section 6.1.

    The same numbers go over the wire in DHCPv6 (sub-option 1). 0 and 5 to 7 are reserved.
    """

    FIXED = 1
    SESSION_LASTING = 2
    NON_PERSISTENT = 3
    GRACEFUL_REPLACEMENT = 4

    @property
    def slug(self) -> str:
        """The name used in files and on the command line, such as ``session-lasting``."""
        return self.name.lower().replace("_", "-")

    @property
    def bit(self) -> int:
        """This type's bit in a mask of types: bit *n* stands for type *n*."""
        return 1 << self.value

    @classmethod
    def from_slug(cls, slug: str) -> ServiceType:
        """Return the type named ``slug``.

        Raises:
            ValueError: with the names that are allowed.
        """
        try:
            return cls[slug.upper().replace("-", "_")]
        except KeyError:
            allowed = ", ".join(member.slug for member in cls)
            raise ValueError(f"unknown service type {slug!r}; allowed: {allowed}") from None


def to_mask(types: Iterable[ServiceType]) -> int:
    """Return the mask with the bit of each of ``types`` set."""
    mask = 0
    for member in types:
        mask |= member.bit
    return mask


def from_mask(mask: int) -> frozenset[ServiceType]:
    """Return the types whose bit is set in ``mask``; bits of no type are ignored."""
    return frozenset(member for member in ServiceType if mask & member.bit)
