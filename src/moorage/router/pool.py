"""What a router gives leases from: drawn at random, so that none tells its type."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from ipaddress import IPV6LENGTH, IPv6Network
from typing import Final

_TRIES = 64
_ENUMERABLE = 1 << 14


class Pool:
    """Equally long parts of a network: all of them, or those in a share of its blocks.

    Every draw is uniform over the free parts, whatever type it is for: which prefix is of which
    type cannot be told from the prefix (draft section 7).

    Args:
        network: what is divided.
        length: of its parts.
        source: of what is random.
        block: length of the blocks; they are dealt out in turn.
        turn: number of the first block of this pool.
        turns: how many pools share the blocks.
    """

    def __init__(
        self,
        network: IPv6Network,
        length: int,
        source: random.Random | None = None,
        *,
        block: int | None = None,
        turn: int = 0,
        turns: int = 1,
    ) -> None:
        self._start = int(network.network_address)
        self._length = length
        self._block = length if block is None else block
        self._turn = turn
        self._turns = turns
        self._within = length - self._block
        self._blocks = 1 << (self._block - network.prefixlen)
        self.size: Final = -(-(self._blocks - turn) // turns) << self._within
        self._random = source or random.SystemRandom()

    def __contains__(self, prefix: IPv6Network) -> bool:
        """Whether ``prefix`` is one of the parts."""
        number = (int(prefix.network_address) - self._start) >> (IPV6LENGTH - self._block)
        return (
            prefix.prefixlen == self._length
            and 0 <= number < self._blocks
            and number % self._turns == self._turn
        )

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
        block, rest = index >> self._within, index & ((1 << self._within) - 1)
        number = (self._turn + self._turns * block) << self._within | rest
        return IPv6Network((self._start + (number << (IPV6LENGTH - self._length)), self._length))


def shared_out(network: IPv6Network, lengths: Sequence[int]) -> dict[int, Pool]:
    """Return a pool for each of several lengths, from which parts never overlap.

    The blocks of the shortest length are dealt out in turn, and each is divided into parts of one
    length only. So two who draw without knowing of each other can collide in nothing but the very
    same prefix, which a store gives once; and many long prefixes leave the short ones theirs.
    """
    shortest = min(lengths)
    return {
        length: Pool(network, length, block=shortest, turn=turn, turns=len(lengths))
        for turn, length in enumerate(lengths)
    }
