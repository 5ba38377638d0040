"""``moorage sockets``: which process uses which address of which type."""

from __future__ import annotations

import click

from moorage.cli._inside import HOST, ask, looks_into, user_name
from moorage.cli._text import one_line, print_table
from moorage.host.survey import SocketView, endpoint
from moorage.management.client import Management


@click.command()
@looks_into(HOST)
def sockets(management: Management, as_json: bool) -> None:
    """List who uses which of this host's addresses.

    A socket that several processes have open has a line for each.
    """
    views = ask(management, "/sockets", list[SocketView], as_json=as_json)
    print_table(
        ("TYPE", "PROTOCOL", "STATE", "LOCAL", "REMOTE", "USER", "PID", "COMMAND"),
        [row for view in views for row in _rows(view)],
        "no socket uses an address of this host",
    )


def _rows(view: SocketView) -> list[tuple[object, ...]]:
    """One row for each process that has the socket open."""
    common = (
        view.type,
        view.protocol,
        view.state,
        endpoint(view.address, view.port),
        view.remote or "-",
    )
    user = user_name(view.uid)
    return [(*common, user, each.pid, one_line(each.command)) for each in view.processes] or [
        (*common, user, "-", "no process that can be seen from here")
    ]
