"""The times in a host's signatures (`docs/protocol.md`, Identity)."""

from __future__ import annotations

from typing import Final

_TOLERATED_SKEW: Final = 30_000_000
"""Microseconds that our clock may be off the network's before its time is used."""
_ACCEPTED: Final = 60_000_000
"""Microseconds that a router lets a time be off its own."""


class SignatureClock:
    """Gives times that routers accept: by the network's clock where ours is far from it.

    Each is later than the one before, although our clock may be set back a little: what is not
    would be taken for a replay.
    """

    def __init__(self) -> None:
        self._last = 0

    def time(self, own: int, network: int | None) -> int:
        """Return the time for a signature.

        Args:
            own: what our clock says, microseconds since 1970.
            network: what the network's says; None: nobody has found ours wanting.
        """
        time = own
        if network is not None and abs(network - own) > _TOLERATED_SKEW:
            time = network
        if time <= self._last <= time + _ACCEPTED:
            time = self._last + 1
        self._last = time
        return time
