"""The order of the whole run: what runs in memory first, what needs namespaces last."""

from __future__ import annotations

import pytest


def _is_slow(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("netns", "interop"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_is_slow)
