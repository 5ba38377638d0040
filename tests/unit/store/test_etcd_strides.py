"""The pages in which an etcd store lists long ranges of keys."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.store.etcd.strides import Strides

START = b"/moorage/state/binding/"


def read(keys: Sequence[bytes], limit: int) -> tuple[list[bytes], int]:
    """Return the keys as they are listed, and how many etcd goes over for that."""
    strides, found, visited = Strides(START, limit), list[bytes](), 0
    while (bounds := strides.page()) is not None:
        first, end = (bisect_left(keys, bound) for bound in bounds)
        page = keys[first:end][:limit]
        strides.took(page, end - first > limit)
        found += page
        visited += end - first
    return found, visited


suffixes = st.one_of(
    st.binary(max_size=40),
    st.builds(bytes.__add__, st.just(b"\x20\x01" + bytes(30)), st.binary(max_size=3)),
    st.builds(bytes.__add__, st.just(b"\xff" * 31), st.binary(max_size=3)),
)


@given(st.sets(suffixes, max_size=60), st.integers(1, 8))
def test_every_key_is_listed_once_and_in_order(found: set[bytes], limit: int) -> None:
    keys = sorted(START + suffix for suffix in found)
    others = [b"/", START[:-1] + b"0", b"\xff"]
    assert read(sorted([*keys, *others]), limit)[0] == keys


@pytest.mark.parametrize("pools", [1, 3])
def test_a_page_costs_no_more_than_what_is_in_it(pools: int) -> None:
    """Of prefixes at random from pools of a /40. The first page of each may go over all of it."""
    random, count = Random(pools), 20_000
    blocks = [START + bytes.fromhex(f"20010db8a{pool}00") for pool in range(pools)]
    keys = sorted({random.choice(blocks) + random.randbytes(3) + bytes(8) for _ in range(count)})
    found, visited = read(keys, 100)
    assert found == keys
    assert visited < 6 * count
