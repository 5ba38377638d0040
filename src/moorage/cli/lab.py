"""``moorage lab``: access routers, correspondents and mobile hosts in network namespaces."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from moorage.lab import control, scenarios
from moorage.lab.errors import LabError
from moorage.lab.lab import Lab

_DEFAULT_TOPOLOGY = "two-routers"


@click.group()
@click.option(
    "--name",
    default=control.DEFAULT_NAME,
    envvar="MOORAGE_LAB",
    show_default=True,
    help="Which of your labs.",
)
@click.pass_context
def lab(context: click.Context, name: str) -> None:
    """Access routers, correspondents and mobile hosts in network namespaces."""
    context.obj = name


@lab.command()
@click.argument("topology", default=_DEFAULT_TOPOLOGY)
@click.option(
    "--state",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder on disk for the routers' binding store, else in memory.",
)
@click.option("--daemons/--no-daemons", default=True, help="Start all router and host daemons.")
@click.pass_obj
def up(name: str, topology: str, state: Path | None, daemons: bool) -> None:
    """Make a lab that stays until `down`.

    TOPOLOGY is a TOML file, or the name of a topology that comes with the package.
    """
    made = Lab.start(topology, name=name, state=state, foreground=False)
    try:
        if daemons:
            made.start_daemons()
    except BaseException:
        made.down()
        raise
    click.echo(f"{name}: {' '.join(made.status().nodes)}")


@lab.command()
@click.pass_obj
def down(name: str) -> None:
    """End the lab and all that runs in it."""
    Lab.join(name).down()


@lab.command("list")
def list_labs() -> None:
    """List the labs that are up."""
    for name in control.running():
        click.echo(f"{name}: {Lab.join(name).status().source}")


@lab.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
@click.pass_obj
def status(name: str, as_json: bool) -> None:
    """Show the nodes, where hosts are attached, and which daemons run."""
    nodes = Lab.join(name).status().nodes
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(nodes), indent=2))
        return
    for node, state in nodes.items():
        places = (f"{at}: {where or 'detached'}" for at, where in state.attached.items())
        daemon = [f"daemon {state.daemon}"] if state.daemon else []
        click.echo("  ".join([f"{node:8}", f"{state.role:13}", *places, *daemon]).rstrip())


@lab.command("exec", context_settings={"allow_interspersed_args": False})
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def execute(name: str, node: str, command: tuple[str, ...]) -> None:
    """Run COMMAND in a node: moorage lab exec mn -- curl http://..."""
    if command[0] == "--":
        command = command[1:]
    Lab.join(name).node(node).execute(command)


@lab.command()
@click.argument("host")
@click.argument("router")
@click.option("--hard/--soft", default=True, help="Old link down first, or new link up first.")
@click.option(
    "--overlap",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Seconds that both links are up in a soft move.",
)
@click.pass_obj
def move(name: str, host: str, router: str, hard: bool, overlap: float) -> None:
    """Move HOST to the access link of ROUTER."""
    moved = Lab.join(name).move(host, router, soft=not hard, overlap=overlap)
    click.echo(f"{host}: {moved.interface} is at {router}")


@lab.command()
@click.argument("scenario", type=click.Choice(list(scenarios.all_scenarios())))
@click.option("--topology", help="Another topology than the one that the scenario is made for.")
def run(scenario: str, topology: str | None) -> None:
    """Run SCENARIO in a lab of its own."""
    chosen = scenarios.all_scenarios()[scenario]
    if chosen.missing:
        raise LabError(f"{scenario} needs programs that are missing: {', '.join(chosen.missing)}")
    with Lab.start(topology or chosen.topology) as made:
        if chosen.daemons:
            made.start_daemons()
        chosen.play(made)
