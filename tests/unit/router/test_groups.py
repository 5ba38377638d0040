"""Groups of one and of many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moorage.router.groups import Groups

_STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 3)))


@given(_STEPS)
def test_groups_are_what_was_added_and_not_removed(steps: list[tuple[bool, int, int]]) -> None:
    groups: Groups[int, int] = Groups()
    expected: dict[int, dict[int, None]] = {}
    for adds, key, value in steps:
        values = expected.setdefault(key, {})
        if adds:
            groups.add(key, value)
            values[value] = None
        else:
            groups.discard(key, value)
            values.pop(value, None)
        present = {each for each, values in expected.items() if values}
        assert set(groups) == present
        assert len(groups) == len(present)
        for each in range(3):
            assert list(groups.of(each)) == list(expected.get(each, {}))
            assert (each in groups) == (each in present)
