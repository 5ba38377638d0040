"""``moorage address``: a typed address for programs that know nothing of types."""

from __future__ import annotations

import click

from moorage import client
from moorage.service import ServiceType


@click.command()
@click.argument("service", type=click.Choice([member.slug for member in ServiceType]))
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds to wait for the network.")
def address(service: str, timeout: float | None) -> None:
    """Print an address of type SERVICE, as in: curl --interface $(moorage address session-lasting)

    It stays for the daemon's linger time, and then for as long as a socket is bound to it.
    """
    reply = client.hold(ServiceType.from_slug(service), timeout=timeout)
    click.echo(reply.address)
