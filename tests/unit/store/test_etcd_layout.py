"""The keys of a store in an etcd cluster."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moorage.store.etcd.layout import range_end


@given(
    start=st.tuples(st.just(b"/moorage/index/"), st.binary(max_size=4)).map(b"".join),
    other=st.binary(max_size=30),
)
def test_a_range_has_the_keys_that_begin_with_its_start_and_no_others(
    start: bytes, other: bytes
) -> None:
    for key in (start, start + other, start + b"\xff" + other, b"/moorage/index/" + other, other):
        assert (start <= key < range_end(start)) is key.startswith(start)
