"""``moorage host``: the host daemon."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click

from moorage import config as configuration
from moorage.host import daemon
from moorage.host.config import HostConfig


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("/etc/moorage/host.toml"),
    show_default=True,
    help="The configuration file.",
)
@click.option("--verbose", is_flag=True, help="Say what happens to addresses and links.")
def host(config: Path, verbose: bool) -> None:
    """Run the host daemon: typed source addresses for the applications of this host.

    On SIGHUP it reads the configuration file again.
    """

    def load() -> HostConfig:
        return configuration.load(config, HostConfig)

    settings = load()
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    try:
        asyncio.run(daemon.run(settings, load))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
