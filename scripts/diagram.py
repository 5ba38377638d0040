"""Draws a state machine as SVG: boxes where one puts them, an arrow for each transition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from math import hypot

Point = tuple[float, float]
Table = Mapping[tuple[str, str], str]

_BOX = (112, 40)
_GAP = 6
_BEND = 20
_MARGIN = 30
_LINE = 15

_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" \
viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" font-size="13">
<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M 0 0 L 10 5 L 0 10 z" fill="#445"/></marker></defs>
<rect width="100%" height="100%" fill="white"/>
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the middle of each state's box is, and how far arrows between two of them bend.

    Attributes:
        places: the middle of each box.
        bends: for arrows that are not to be straight, how far they bend to their left; those that
            have a twin in the other direction bend by themselves.
    """

    places: Mapping[str, Point]
    bends: Mapping[tuple[str, str], float]


def draw(table: Table, first: str, layout: Layout) -> str:
    """Return the picture; transitions that lead nowhere else are left to the words beside it.

    An event that leads from every state with a future to the same one without is drawn once, from a
    frame around them all.
    """
    arrows, framed = _arrows(table)
    xs, ys = zip(*layout.places.values(), strict=True)
    width = max(xs) + _BOX[0] / 2 + _MARGIN
    height = max(ys) + _BOX[1] / 2 + _MARGIN
    parts = [_HEAD.format(width=width, height=height)]
    places = dict(layout.places)
    sizes = dict.fromkeys(places, _BOX)
    if framed:
        members = {before for before, _ in table}
        places[""], sizes[""] = _frame([layout.places[state] for state in members])
        parts.append(_rectangle(places[""], sizes[""], dashed=True))
        arrows |= {("", after): [event] for event, after in framed}
    labels = []
    for (before, after), events in arrows.items():
        twin = (after, before) in arrows
        bend = layout.bends.get((before, after), _BEND if twin else 0)
        path, middle = _curve(places[before], places[after], sizes[before], sizes[after], bend)
        parts.append(path)
        labels.append(_label(middle, events))
    for state in layout.places:
        final = not any(before == state for before, _ in table)
        parts.append(_rectangle(places[state], _BOX, bold=state == first, final=final))
        parts.append(_text(places[state], state))
    return "\n".join([*parts, *labels, "</svg>", ""])


def _arrows(table: Table) -> tuple[dict[tuple[str, str], list[str]], list[tuple[str, str]]]:
    """Return the events of each pair of states, and the events that are the same everywhere."""
    before_all = {before for before, _ in table}
    sources: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (before, event), after in table.items():
        sources[event, after].add(before)
    framed = [
        (event, after)
        for (event, after), befores in sources.items()
        if befores == before_all and after not in before_all
    ]
    arrows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (before, event), after in table.items():
        if before != after and (event, after) not in framed:
            arrows[before, after].append(event)
    return dict(arrows), framed


def _frame(places: list[Point]) -> tuple[Point, tuple[int, int]]:
    xs, ys = zip(*places, strict=True)
    middle = ((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2)
    width, height = max(xs) - min(xs) + _BOX[0], max(ys) - min(ys) + _BOX[1]
    return middle, (round(width + 44), round(height + 60))


def _curve(
    start: Point, end: Point, start_box: tuple[int, int], end_box: tuple[int, int], bend: float
) -> tuple[str, Point]:
    """Return an arrow, and the point where its label belongs."""
    (x1, y1), (x2, y2) = start, end
    length = hypot(x2 - x1, y2 - y1)
    control = (
        (x1 + x2) / 2 + 2 * bend * (y2 - y1) / length,
        (y1 + y2) / 2 - 2 * bend * (x2 - x1) / length,
    )
    (x1, y1), (x2, y2) = _edge(start, control, start_box), _edge(end, control, end_box)
    cx, cy = control if bend else ((x1 + x2) / 2, (y1 + y2) / 2)
    path = (
        f'<path d="M {x1:.1f} {y1:.1f} Q {cx:.1f} {cy:.1f} {x2:.1f} {y2:.1f}" fill="none" '
        'stroke="#445" stroke-width="1.3" marker-end="url(#arrow)"/>'
    )
    return path, ((x1 + 2 * cx + x2) / 4, (y1 + 2 * cy + y2) / 4)


def _edge(middle: Point, towards: Point, box: tuple[int, int]) -> Point:
    """Return where a line from the middle of a box leaves it."""
    dx, dy = towards[0] - middle[0], towards[1] - middle[1]
    scale = min(
        (side / 2 + gap) / abs(distance)
        for side, gap, distance in ((box[0], _GAP / 2, dx), (box[1], _GAP / 2, dy))
        if distance
    )
    return middle[0] + dx * scale, middle[1] + dy * scale


def _rectangle(
    middle: Point,
    size: tuple[int, int],
    *,
    dashed: bool = False,
    bold: bool = False,
    final: bool = False,
) -> str:
    x, y = middle[0] - size[0] / 2, middle[1] - size[1] / 2
    look = 'fill="none" stroke="#99a" stroke-dasharray="5 4"' if dashed else ""
    look = look or f'fill="{"#eee" if final else "#e8eefc"}" stroke="#445"'
    width = 2.5 if bold else 1.2
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{size[0]}" height="{size[1]}" rx="9" {look} '
        f'stroke-width="{width}"/>'
    )


def _label(middle: Point, events: list[str]) -> str:
    top = middle[1] - _LINE * (len(events) - 1) / 2
    return "\n".join(
        _text((middle[0], top + _LINE * number), event, small=True)
        for number, event in enumerate(events)
    )


def _text(middle: Point, text: str, *, small: bool = False) -> str:
    look = (
        'font-size="11.5" fill="#223" stroke="white" stroke-width="4" paint-order="stroke"'
        if small
        else 'font-weight="bold"'
    )
    return (
        f'<text x="{middle[0]:.1f}" y="{middle[1] + 4:.1f}" text-anchor="middle" {look}>'
        f"{escape(text)}</text>"
    )
