"""The reference names everything that applications can import."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

import moorage

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "api.md").read_text()


@pytest.mark.parametrize("name", moorage.__all__)
def test_every_name_is_explained(name: str) -> None:
    code = ("EAI_REQUIREDIPNOTSUPPORTED", "EAI_REQUIREDIPFAILED")
    explained = str(getattr(moorage, name)) if name in code else name
    assert re.search(rf"\b{re.escape(explained.lstrip('-'))}\b", REFERENCE)


@pytest.mark.parametrize("event", get_args(moorage.Event))
def test_the_fields_of_an_event_are_those_of_its_row(event: type) -> None:
    [row] = re.findall(rf"^\| `{event.__name__}` \|([^|]*)\|", REFERENCE, re.MULTILINE)
    others = [each.name for each in fields(event) if each.name != "address"]
    assert re.findall(r"`(\w+)`", row) == others


@pytest.mark.parametrize("member", [*moorage.Why, *moorage.Reason, *moorage.ServiceType])
def test_every_member_is_explained(member: moorage.Why | moorage.Reason) -> None:
    if member not in (moorage.Reason.NONE, moorage.Reason.NO_ADDRESS):
        assert f"`{member.name}`" in REFERENCE


@pytest.mark.parametrize("name", ["setsc", "create_connection", "watch", "require_src_on_net"])
def test_every_parameter_is_in_the_signature(name: str) -> None:
    [shown] = re.findall(rf"`{name}\((\(?\w.*?)\)(?:`| ->)", REFERENCE)[:1]
    for parameter in inspect.signature(getattr(moorage, name)).parameters:
        assert parameter in shown or parameter == "address"  # there it is (host, port)
