"""The reference of the management interface names every event."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from moorage.host.events import HostEvent
from moorage.management.event import ConfigurationRefused, ConfigurationTaken, TooSlow
from moorage.router.events import RouterEvent

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "management.md").read_text()
EVENTS = [
    *get_args(HostEvent),
    *get_args(RouterEvent),
    *(ConfigurationTaken, ConfigurationRefused, TooSlow),
]


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_in_the_reference(event: type) -> None:
    assert f"`{event.__struct_config__.tag}`" in REFERENCE  # type: ignore[attr-defined]


def test_the_reference_names_no_other_event() -> None:
    rows = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", REFERENCE, re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`([a-z-]+)`", row)}
    assert named <= {event.__struct_config__.tag for event in EVENTS}
