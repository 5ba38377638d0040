"""``moorage router``: the access router's daemon, and looking into it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click
from click.core import ParameterSource

from moorage import config as configuration
from moorage.cli._inside import ROUTER, ask, looks_into, print_events
from moorage.cli._text import duration, print_table
from moorage.management.client import Management
from moorage.router import daemon
from moorage.router.account import Place
from moorage.router.config import RouterConfig
from moorage.router.view import PathView, StatusView
from moorage.store.protocol import StoreError


@click.group(invoke_without_command=True)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("/etc/moorage/router.toml"),
    show_default=True,
    help="The configuration file.",
)
@click.option("--flush", is_flag=True, help="Remove all that is ours from the kernel, and end.")
@click.option("--verbose", is_flag=True, help="Say what happens to bindings and paths.")
@click.pass_context
def router(context: click.Context, config: Path, flush: bool, verbose: bool) -> None:
    """Run an access router, or look into a running one.

    Without a command: typed prefixes for the hosts on this machine's links, and their paths. On
    SIGHUP it reads the configuration file again.
    """
    if context.invoked_subcommand is not None:
        given = [
            f"--{name}"
            for name in context.params
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        ]
        if given:
            raise click.UsageError(
                f"{', '.join(given)}: only to run a router, not with {context.invoked_subcommand}"
            )
        return

    def load() -> RouterConfig:
        return configuration.load(config, RouterConfig)

    settings = load()
    if flush:
        daemon.flush(settings)
        return
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    try:
        asyncio.run(daemon.run(settings, load))
    except StoreError as error:
        raise click.ClickException(str(error)) from None


@router.command()
@looks_into(ROUTER)
def status(management: Management, as_json: bool) -> None:
    """Show this router at a glance."""
    view = ask(management, "/status", StatusView, as_json=as_json)
    running = duration(view.running_for)
    click.echo(f"router {view.id} {view.version}, process {view.pid}, running for {running}")
    click.echo(f"offers {', '.join(view.offered) or 'nothing'}")
    click.echo(f"pool {view.pool}: {view.given} of {view.size} taken")
    click.echo(f"hosts here: {view.hosts}")
    state = "lasts" if view.present else "has ended: the others take this router for gone"
    click.echo(f"lease of {duration(view.lease)} {state}")
    click.echo()
    print_table(
        ("LINK", "STATE", "MTU", "ADVERTISES"),
        [
            (
                link.interface,
                "served" if link.served else "not served",
                link.path_mtu,
                link.slaac_prefix or "-",
            )
            for link in view.links
        ],
    )
    click.echo()
    print_table(
        ("BINDINGS", *(place.upper() for place in Place)),
        [(kind, *(counts[place] for place in Place)) for kind, counts in view.bindings.items()],
    )
    click.echo()
    print_table(
        ("OTHER ROUTER", "ADDRESS", "LEASE", "STATE"),
        [
            (peer.id, peer.address, duration(peer.lease), "present" if peer.present else "gone")
            for peer in view.routers
        ],
        "no other router is known",
    )
    click.echo()
    print_table(
        ("ANCHOR", "POOL", "HELD BY", "EPOCH", "NETWORK TOLD"),
        [
            (each.id, each.pool, each.holder, each.epoch, each.announcement or "-")
            for each in view.anchors
        ],
    )
    for what, counts in (("messages", view.dropped), ("packets", view.filtered)):
        for why, count in counts.items():
            if count:
                click.echo(f"{what} dropped since the start: {count} × {why}")


@router.command()
@click.option("--prefix", help="Only that of a prefix or an address.")
@click.option("--host", help="Only those of the client with this DUID, in hexadecimal.")
@looks_into(ROUTER)
def paths(management: Management, as_json: bool, prefix: str | None, host: str | None) -> None:
    """Show how packets of prefixes go through this router.

    here: from this router's pool to one of its links; away: on to the router that serves the host;
    visiting: from the router that anchors the prefix; detached: dropped, since nobody serves the
    host.
    """
    if prefix is not None and host is not None:
        raise click.UsageError("--prefix and --host do not go together")
    query = {"prefix": prefix} if prefix else {"host": host} if host else {}
    views = ask(management, "/paths", list[PathView], as_json=as_json, **query)
    print_table(
        ("PREFIX", "TYPE", "PLACE", "HOST", "PATH"),
        [(view.prefix, view.type, view.place, view.host, _path(view)) for view in views],
        "this router has a part in no prefix",
    )


def _path(view: PathView) -> str:
    words = []
    if view.link:
        words.append(f"{view.link} {view.next_hop}")
    if view.via:
        what = "to" if view.place == Place.AWAY else "its packets to"
        words.append(f"{what} {view.via} by {view.segment}")
    if view.draining:
        words.append(f"{view.draining} still forwards")
    if view.quiet:
        words.append("dropped in silence for a while")
    return ", ".join(words) or "-"


@router.command()
@click.option("--follow", "-f", is_flag=True, help="Go on as events happen, until interrupted.")
@looks_into(ROUTER)
def events(management: Management, as_json: bool, follow: bool) -> None:
    """Show what happened at this router lately.

    With --json each event is an object on a line of its own; docs/reference/management.md lists
    them.
    """
    print_events(management, ROUTER, as_json=as_json, follow=follow)
