from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

import pytest

from scripts import lifecycle
from scripts.diagram import Layout, draw

SVG = "{http://www.w3.org/2000/svg}"
LINE = Layout({"a": (100, 50), "b": (300, 50), "c": (500, 150)}, {})


def words(picture: str) -> Counter[str]:
    return Counter(text.text or "" for text in ElementTree.fromstring(picture).iter(f"{SVG}text"))


def arrows(picture: str) -> int:
    paths = ElementTree.fromstring(picture).iter(f"{SVG}path")
    return sum("marker-end" in path.attrib for path in paths)


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    status = lifecycle.main(["--check"])
    assert (status, capsys.readouterr().err) == (0, "")


@pytest.mark.parametrize("machine", lifecycle.MACHINES, ids=lambda machine: machine.picture)
def test_every_state_and_event_is_in_the_picture(machine: lifecycle.Machine) -> None:
    shown = words(lifecycle.pictures()[machine.picture])
    assert {str(state) for state in machine.states} <= shown.keys()
    assert {event.name.lower().replace("_", " ") for event in machine.events} <= shown.keys()


def test_one_arrow_for_each_pair_of_states() -> None:
    table = {("a", "go"): "b", ("a", "run"): "b", ("b", "return"): "a", ("b", "stay"): "b"}
    picture = draw(table, "a", LINE)
    assert arrows(picture) == 2
    assert words(picture) == Counter(["a", "b", "c", "go", "run", "return"])


def test_what_leads_from_everywhere_to_an_end_is_drawn_once() -> None:
    table = {("a", "go"): "b", ("a", "stop"): "c", ("b", "stop"): "c"}
    picture = draw(table, "a", LINE)
    assert arrows(picture) == 2
    assert words(picture)["stop"] == 1


def test_names_are_escaped() -> None:
    assert words(draw({("a", "<&>"): "b"}, "a", LINE))["<&>"] == 1
