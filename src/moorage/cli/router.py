"""``moorage router``: the access router's daemon."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click

from moorage import config as configuration
from moorage.router import daemon
from moorage.router.config import RouterConfig
from moorage.store.protocol import StoreError


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("/etc/moorage/router.toml"),
    show_default=True,
    help="The configuration file.",
)
@click.option("--flush", is_flag=True, help="Remove all that is ours from the kernel, and end.")
@click.option("--verbose", is_flag=True, help="Say what happens to bindings and paths.")
def router(config: Path, flush: bool, verbose: bool) -> None:
    """Run an access router: typed prefixes for the hosts on its links, and their paths."""
    settings = configuration.load(config, RouterConfig)
    if flush:
        daemon.flush(settings)
        return
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    try:
        asyncio.run(daemon.run(settings))
    except StoreError as error:
        raise click.ClickException(str(error)) from None
