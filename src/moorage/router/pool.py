"""What a router gives leases from: drawn at random, so that none tells its type."""

from __future__ import annotations

import random
from collections.abc import Callable
from ipaddress import IPv6Network
from typing import Final

_TRIES = 64
_ENUMERABLE = 1 << 14


class Pool:
    """The equally long parts of a network.

    Every draw is uniform over the free parts, whatever type it is for: which prefix is of which
    type cannot be told from the prefix (draft section 7).
    """

    def __init__(
        self, network: IPv6Network, length: int, source: random.Random | None = None
    ) -> None:
        self._network = network
        self._length = length
        self.size: Final = 1 << (length - network.prefixlen)
        self._random = source or random.SystemRandom()

    def __contains__(self, prefix: IPv6Network) -> bool:
        """Whether ``prefix`` is one of the parts."""
        return prefix.prefixlen == self._length and prefix.subnet_of(self._network)

    def draw(self, taken: Callable[[IPv6Network], bool]) -> IPv6Network | None:
        """Return a part that is not ``taken``, or None when the pool is full.

        A pool too big to be enumerated counts as full once a long run of draws has found nothing.
        """
        for _ in range(_TRIES):
            prefix = self.part(self._random.randrange(self.size))
            if not taken(prefix):
                return prefix
        if self.size > _ENUMERABLE:
            return None
        parts = (self.part(index) for index in range(self.size))
        free = [prefix for prefix in parts if not taken(prefix)]
        return self._random.choice(free) if free else None

    def part(self, index: int) -> IPv6Network:
        """Return the part number ``index``, from 0 to below `size`."""
        start = int(self._network.network_address) + (index << (128 - self._length))
        return IPv6Network((start, self._length))
