"""``moorage demo``: the message flow of the draft's section 4.2, observed."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from moorage.demo.play import Wanted, play
from moorage.demo.report import Move, Step, distribution_table, table, to_json

_WIDTH = 132
"""Columns of what does not go to a terminal."""


class _Screen:
    """Shows what happens when it happens."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def step(self, step: Step) -> None:
        mark = "[green]✓[/]" if step.passed else "[bold red]✗[/]"
        self._console.print(f"{mark} [bold]{step.number:2}[/] {escape(step.text)}")
        for line in (step.observed, *step.details):
            self._console.print(f"     {escape(line)}", style="dim", soft_wrap=True)

    def moved(self, move: Move, count: int) -> None:
        self._console.print(f"     move {move.number} of {count}: at {move.router}", style="dim")


@click.command()
@click.option(
    "--soft", is_flag=True, help="Have the new link up before the old one is gone (else after)."
)
@click.option(
    "--moves", type=click.IntRange(min=0), default=0, help="Then move so often at random."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the random moves.")
@click.option("--topology", default="two-routers", show_default=True, help="Name, or TOML file.")
@click.option(
    "--delay",
    "topology",
    flag_value="two-routers-delay",
    help="The same with 10 ms one way between routers and core.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-report"),
    show_default=True,
    help="Folder of the report.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON document.")
@click.pass_context
def demo(
    context: click.Context,
    soft: bool,
    moves: int,
    seed: int,
    topology: str,
    output: Path,
    as_json: bool,
) -> None:
    """Play the message flow of the draft's section 4.2 in network namespaces.

    Writes a report with a picture of every flow, a packet capture and what was observed. Ends with
    status 1 if any step is not as the draft says.
    """
    terminal = Console()
    width = terminal.width if terminal.is_terminal else _WIDTH
    console = Console(quiet=as_json, highlight=False, width=width)
    report = play(Wanted(topology, soft, moves, seed, output), _Screen(console))
    if as_json:
        click.echo(to_json(report), nl=False)
    console.print(table(report.steps))
    console.print(distribution_table(report.distributions))
    console.print(f"{output}/: {', '.join(file.name for file in sorted(output.iterdir()))}")
    if not report.passed:
        context.exit(1)
