"""The pool: random, free, and full when it is full."""

from __future__ import annotations

import random
from collections import Counter
from ipaddress import IPv6Network
from itertools import combinations

from moorage.router.pool import Pool, shared_out

SMALL = IPv6Network("2001:db8:a100::/60")


def test_every_part_is_drawn_equally_often() -> None:
    pool = Pool(SMALL, 64, random.Random(1))
    drawn = Counter(pool.draw(lambda prefix: False) for _ in range(16_000))
    assert set(drawn) == set(SMALL.subnets(new_prefix=64))
    assert all(850 < count < 1150 for count in drawn.values())


def test_only_free_parts_are_drawn_until_the_pool_is_full() -> None:
    pool = Pool(SMALL, 64, random.Random(2))
    taken: set[IPv6Network] = set()
    for _ in range(16):
        prefix = pool.draw(taken.__contains__)
        assert prefix is not None
        assert prefix not in taken
        taken.add(prefix)
    assert pool.draw(taken.__contains__) is None


def test_the_last_free_part_of_a_pool_is_found() -> None:
    network = IPv6Network("2001:db8:a100::/52")
    last = IPv6Network("2001:db8:a100:777::/64")
    assert Pool(network, 64).draw(lambda prefix: prefix != last) == last


def test_a_big_pool_without_a_free_part_is_full() -> None:
    assert Pool(IPv6Network("2001:db8::/32"), 64).draw(lambda prefix: True) is None


def test_a_pool_of_one_part() -> None:
    only = IPv6Network("2001:db8::/64")
    assert Pool(only, 64).draw(lambda prefix: False) == only


def test_what_belongs_to_a_pool() -> None:
    pool = Pool(SMALL, 64)
    assert IPv6Network("2001:db8:a100:f::/64") in pool
    assert IPv6Network("2001:db8:a100:10::/64") not in pool
    assert IPv6Network("2001:db8:a100:f::/65") not in pool
    assert SMALL not in pool


def test_lengths_share_the_blocks_of_a_pool() -> None:
    pools = shared_out(IPv6Network("2001:db8:a100::/56"), [64, 60, 58])
    # Four blocks of /58: 0 and 3, 1, and 2.
    assert {length: pool.size for length, pool in pools.items()} == {64: 128, 60: 4, 58: 1}
    parts = {length: [pool.part(n) for n in range(pool.size)] for length, pool in pools.items()}
    assert parts[58] == [IPv6Network("2001:db8:a100:80::/58")]
    assert parts[60] == list(IPv6Network("2001:db8:a100:40::/58").subnets(new_prefix=60))
    assert parts[64][0] == IPv6Network("2001:db8:a100::/64")
    assert parts[64][64] == IPv6Network("2001:db8:a100:c0::/64")
    everything = [part for of_length in parts.values() for part in of_length]
    assert not any(one.overlaps(other) for one, other in combinations(everything, 2))
    assert all(part in pools[length] for length in parts for part in parts[length])


def test_a_part_belongs_to_the_pool_of_its_block() -> None:
    pools = shared_out(SMALL, [64, 62])
    assert IPv6Network("2001:db8:a100:4::/62") in pools[62]
    assert IPv6Network("2001:db8:a100::/62") not in pools[62]
    assert IPv6Network("2001:db8:a100:4::/64") not in pools[64]
