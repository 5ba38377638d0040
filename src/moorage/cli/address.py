"""``moorage address``: a typed address for programs that know nothing of types."""

from __future__ import annotations

import contextlib

import click

from moorage import client
from moorage.service import ServiceType


@click.command()
@click.argument("service", type=click.Choice([member.slug for member in ServiceType]))
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds to wait for the network.")
@click.option("--keep", is_flag=True, help="Keep the address until this command is ended (Ctrl-C).")
def address(service: str, timeout: float | None, keep: bool) -> None:
    """Print an address of type SERVICE.

    As in: curl --interface $(moorage address session-lasting)

    It stays for the daemon's linger time after this command, and then for as long as a socket is
    bound to it.
    """
    with client.held(ServiceType.from_slug(service), timeout=timeout) as held:
        click.echo(held.address)
        if keep:
            with contextlib.suppress(KeyboardInterrupt):
                held.wait()
                raise click.ClickException("the host daemon has ended; the address is not kept")
