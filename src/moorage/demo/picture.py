"""The picture of a demo: every flow's throughput over time, and the distribution of stalls."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from moorage.demo.report import ConnectionReport, FlowReport, Report
from moorage.demo.statistics import bin_labels

_WIDTH: Final = 11.0
_ROW: Final = 1.5
_DPI: Final = 150
_GREY: Final = "0.55"
_MANY_MOVES: Final = 12
"""With more moves than this their labels would cover each other."""

# Of Okabe and Ito: they differ for everybody's eyes.
_SERVICES: Final = {"session-lasting": "#009E73", "non-persistent": "#0072B2"}
_FURTHER: Final = ("#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def draw(report: Report, files: Sequence[Path]) -> None:
    """Write the picture of a report, each file in the format of its suffix.

    Raises:
        OSError: a file cannot be written.
    """
    with mpl.rc_context({"font.size": 9, "svg.hashsalt": "moorage"}):
        figure = _figure(report)
        for file in files:
            figure.savefig(file, dpi=_DPI)


def _figure(report: Report) -> Figure:
    histogram = len(report.moves) > 1 and bool(report.distributions)
    rows = len(report.flows) + histogram
    heights = [1.0] * len(report.flows) + [1.6] * histogram
    figure = Figure(figsize=(_WIDTH, _ROW * sum(heights) + 1.3), layout="constrained")
    kind = "soft" if report.soft else "hard"
    verdict = "as the draft says" if report.passed else "NOT as the draft says"
    figure.suptitle(
        f"{len(report.moves)} {kind} move{'s' * (len(report.moves) != 1)} in {report.topology}:"
        f" {verdict}",
        fontsize=12,
    )
    made = figure.subplots(rows, 1, squeeze=False, height_ratios=heights)[:, 0]
    axes = list(made)
    colours = _colours(report.flows)
    flow_axes = axes[: len(report.flows)]
    for axis, flow in zip(flow_axes, report.flows, strict=True):
        _draw_flow(axis, flow, report, colours)
    for axis in flow_axes[:-1]:
        axis.tick_params(labelbottom=False)
    if flow_axes:
        flow_axes[-1].set_xlabel("seconds since the host was attached")
        _label_moves(flow_axes[0], report)
        _legend(figure, colours)
    if histogram:
        _draw_histogram(axes[-1], report)
    return figure


def _label(connection: ConnectionReport) -> str:
    return f"{connection.name} {connection.address}"


def _colours(flows: Sequence[FlowReport]) -> dict[str, str]:
    """A colour for each address: its type's for the first of that type, another for the others."""
    services = {_label(c): c.service for flow in flows for c in flow.connections}
    further = cycle(_FURTHER)
    free = dict(_SERVICES)
    return {
        label: free.pop(service) if service in free else next(further)
        for label, service in sorted(services.items())
    }


def _draw_flow(axis: Any, flow: FlowReport, report: Report, colours: dict[str, str]) -> None:
    interval = report.interval
    rates = [size * 8 / interval / 1e6 for size in flow.throughput]
    edges = [n * interval for n in range(len(rates) + 1)]
    top = max([*rates, 0.1])
    for move in report.moves:
        axis.axvspan(move.begin, move.end, color="0.9", zorder=0)
        axis.axvline(move.begin, color=_GREY, linewidth=1, zorder=1)
    begins = [int(connection.start / interval) for connection in flow.connections]
    parts = pairwise([*begins, len(rates)])
    for connection, (begin, end) in zip(flow.connections, parts, strict=True):
        if begin < end:
            shape = rates[begin:end], edges[begin : end + 1]
            colour = colours[_label(connection)]
            axis.stairs(*shape, color=colour, alpha=0.35, fill=True)
            axis.stairs(*shape, color=colour, linewidth=1)
    if len(report.moves) <= _MANY_MOVES:
        _annotate(axis, flow, report, top)
    asked = ", then ".join(flow.asked)
    axis.set_title(f"{flow.name}: asks for {asked}", loc="left", fontsize=9, fontweight="bold")
    axis.set_ylabel("Mbit/s")
    axis.set_ylim(0, top * 1.15)
    axis.set_xlim(0, report.duration)
    axis.spines[["top", "right"]].set_visible(False)


def _annotate(axis: Any, flow: FlowReport, report: Report, top: float) -> None:
    """Say how long each move interrupted the flow, and when its address was gone or refused."""
    for stall in flow.interruptions:
        ended = [
            connection.error
            for connection in flow.connections
            if connection.end is not None
            and stall.start <= connection.end <= stall.start + stall.ms / 1e3
        ]
        text = f"{stall.ms:.1f} ms without data"
        if ended:
            text += f"\n{ended[0]}, connects again"
        _note(axis, text, stall.start, top, report.duration)
    for refusal in flow.refusals[:1]:
        start = min((c.start for c in flow.connections), default=report.duration / 2)
        axis.annotate(
            f"{refusal.service}: error {refusal.eai}",
            xy=(refusal.at, 0),
            xytext=(min(start, refusal.at) - 0.01 * report.duration, top * 0.55),
            ha="right",
            va="center",
            fontsize=8,
            bbox=_BOX,
            arrowprops={"arrowstyle": "->", "color": _GREY},
        )


_BOX: Final = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "0.8"}


def _note(axis: Any, text: str, x: float, top: float, duration: float) -> None:
    right = x > 0.75 * duration
    offset = (-0.008 if right else 0.008) * duration
    axis.text(
        x + offset,
        top * 0.5,
        text,
        ha="right" if right else "left",
        va="center",
        fontsize=8,
        bbox=_BOX,
    )


def _label_moves(axis: Any, report: Report) -> None:
    """Say above the first row where each move leads."""
    if len(report.moves) > _MANY_MOVES:
        return
    for move in report.moves:
        axis.annotate(
            f"move to {move.router}",
            xy=(move.begin, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            color="0.3",
            fontsize=9,
        )


def _legend(figure: Any, colours: dict[str, str]) -> None:
    patch = mpl.patches.Patch
    handles: list[Any] = [
        patch(color=colour, alpha=0.7, label=label) for label, colour in colours.items()
    ]
    handles.append(mpl.lines.Line2D([], [], color=_GREY, linewidth=1, label="move"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)


def _draw_histogram(axis: Any, report: Report) -> None:
    labels = bin_labels()
    width = 0.8 / len(report.distributions)
    for number, (service, one) in enumerate(report.distributions.items()):
        places = [
            n + (number - (len(report.distributions) - 1) / 2) * width for n in range(len(labels))
        ]
        bars = axis.bar(
            places,
            one.histogram,
            width,
            color=_SERVICES.get(service, _FURTHER[0]),
            alpha=0.8,
            label=f"{service}: min {one.minimum:.1f}, median {one.median:.1f},"
            f" p90 {one.p90:.1f}, max {one.maximum:.1f} ms",
        )
        axis.bar_label(bars, [str(count) if count else "" for count in one.histogram], fontsize=8)
    axis.set_xticks(range(len(labels)), labels)
    axis.set_xlabel("longest time without data at a move, in ms")
    axis.set_ylabel("flows × moves")
    axis.set_title("Interruptions", loc="left", fontsize=9, fontweight="bold")
    axis.margins(y=0.15)
    axis.legend(frameon=False, fontsize=8, loc="upper right")
    axis.spines[["top", "right"]].set_visible(False)
