"""``moorage events``: what happens on this host."""

from __future__ import annotations

import click

from moorage.cli._inside import HOST, looks_into, print_events
from moorage.management.client import Management


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on as events happen, until interrupted.")
@looks_into(HOST)
def events(management: Management, as_json: bool, follow: bool) -> None:
    """Show what happened on this host lately.

    With --json each event is an object on a line of its own; docs/reference/management.md lists
    them.
    """
    print_events(management, HOST, as_json=as_json, follow=follow)
