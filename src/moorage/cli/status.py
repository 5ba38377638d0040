"""``moorage status``: the host daemon at a glance."""

from __future__ import annotations

import click

from moorage.cli._inside import HOST, ask, looks_into
from moorage.cli._text import duration, print_table
from moorage.host.view import LinkView, StatusView
from moorage.management.client import Management

_SERVICE = {
    "yes": "knows the service",
    "no": "does not know the service",
    "unknown": "not known yet",
}


@click.command()
@looks_into(HOST)
def status(management: Management, as_json: bool) -> None:
    """Show this host at a glance: its links, and how many addresses it has."""
    view = ask(management, "/status", StatusView, as_json=as_json)
    running = duration(view.running_for)
    click.echo(f"host daemon {view.version}, process {view.pid}, running for {running}")
    click.echo()
    print_table(
        ("LINK", "STATE", "SINCE", "NETWORK", "OFFERS", "ROUTERS"),
        [_row(link) for link in view.links],
    )
    click.echo()
    counts = [f"{count} {kind}" for kind, count in view.addresses.items() if count]
    click.echo(f"addresses: {', '.join(counts) or 'none'}")
    if view.waiting:
        click.echo(f"applications that wait for the network: {view.waiting}")
    for what, count in view.dropped.items():
        click.echo(f"dropped since the start: {count} × {what}")


def _row(link: LinkView) -> tuple[str, ...]:
    if link.attached_for is None:
        return link.interface, link.state, "", "", "", ""
    return (
        link.interface,
        link.state,
        duration(link.attached_for),
        _SERVICE[link.service],
        "" if link.offered is None else " ".join(link.offered),
        " ".join(map(str, link.routers)),
    )
