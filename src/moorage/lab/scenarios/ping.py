"""The smallest scenario: addresses by hand, no daemons."""

from __future__ import annotations

import click

from moorage.lab import static
from moorage.lab.lab import Lab
from moorage.lab.ping import ping as send_ping
from moorage.lab.scenarios import ScenarioFailed, scenario


@scenario("two-routers", daemons=False)
def ping(lab: Lab) -> None:
    """A host pings the correspondent from each access router, with an address made by hand."""
    topology = lab.topology()
    [destination] = (peer.core.address for peer in topology.correspondents.values())
    [name] = topology.hosts
    host = lab.node(name)
    for router, configuration in topology.routers.items():
        moved = lab.move(name, router)
        host.call(static.settle, moved.interface, configuration.access)
        seconds = send_ping(host, destination)
        if seconds is None:
            raise ScenarioFailed(f"{name} at {router}: no answer from {destination}")
        click.echo(f"{name} at {router}: answer from {destination} after {seconds * 1e3:.2f} ms")
