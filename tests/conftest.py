"""The order of the whole run: what runs in memory first, what needs namespaces last."""

from __future__ import annotations

import signal

import pytest

# Whoever runs the tests in the background has them ignore these, and so what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(_number, signal.SIG_DFL)


def _is_slow(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("netns", "interop"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_is_slow)
