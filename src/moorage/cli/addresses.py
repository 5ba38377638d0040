"""``moorage addresses``: the addresses that applications of this host may use."""

from __future__ import annotations

import click

from moorage.cli._inside import HOST, ask, looks_into
from moorage.cli._text import duration, print_table
from moorage.host.view import AddressView
from moorage.management.client import Management


@click.command()
@looks_into(HOST)
def addresses(management: Management, as_json: bool) -> None:
    """List this host's addresses, with their types.

    An ordinary address is the kernel's own, from a router advertisement.
    """
    views = ask(management, "/addresses", list[AddressView], as_json=as_json)
    print_table(
        ("ADDRESS", "TYPE", "STATE", "SOCKETS", "VALID FOR", "VIA"),
        [_row(view) for view in views],
        "no addresses",
    )


def _row(view: AddressView) -> tuple[object, ...]:
    via = [view.interface, str(view.router)] if view.router else [view.interface]
    return (
        view.address or "-",
        view.type,
        _state(view),
        view.sockets,
        duration(view.valid_for) if view.address else "",
        " ".join(via),
    )


def _state(view: AddressView) -> str:
    words = [view.state]
    if view.released_in is not None:
        words.append(f"for {duration(view.released_in)}")
    if view.address is not None and view.reach in ("detached", "refused"):
        words.append("(detached)")
    return " ".join(words)
