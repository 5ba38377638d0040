"""Length and range checks that all DHCPv6 codecs share.

Decoders meet the peer's mistakes (`WireError`), encoders our own (`ValueError`).
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812 (an exception, named like one)

from moorage.wire.errors import WireError


def need_exactly(where: str, data: bytes, size: int) -> None:
    """Raise `WireError` unless ``data`` has ``size`` bytes."""
    if len(data) != size:
        raise WireError(where, f"{len(data)} bytes instead of {size}")


def need_at_least(where: str, data: bytes, size: int) -> None:
    """Raise `WireError` if ``data`` has fewer than ``size`` bytes."""
    if len(data) < size:
        raise WireError(where, f"{len(data)} bytes, at least {size} are needed")


def pack(layout: Struct, *values: int | bytes) -> bytes:
    """Pack ``values``; one that does not fit its field raises `ValueError`."""
    try:
        return layout.pack(*values)
    except StructError as error:
        raise ValueError(f"{values!r}: {error}") from None


def sized(data: bytes, size: int) -> bytes:
    """Return ``data``; `ValueError` unless it has ``size`` bytes (a Struct would pad or cut it)."""
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes instead of {size}")
    return data
