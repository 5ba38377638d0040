"""The two-bit preference of routers and routes (RFC 4191 section 2.1)."""

from __future__ import annotations

from typing import Final

_TO_BITS: Final = {1: 0b01, 0: 0b00, -1: 0b11}
_FROM_BITS: Final = {bits: preference for preference, bits in _TO_BITS.items()}
_SHIFT: Final = 3
"""Where the two bits stand in the byte of flags, in a router advertisement as in a route."""


def encode_preference(preference: int) -> int:
    """Return the byte of flags with nothing but ``preference``: 1 high, 0 medium, -1 low.

    Raises:
        ValueError: another number.
    """
    if preference not in _TO_BITS:
        raise ValueError(f"preference {preference} is none of -1, 0, 1")
    return _TO_BITS[preference] << _SHIFT


def decode_preference(flags: int) -> int | None:
    """Return the preference inside a byte of flags, None for the reserved value."""
    return _FROM_BITS.get(flags >> _SHIFT & 0b11)
