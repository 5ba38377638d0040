"""What the commands that look into a daemon have in common: their options, their JSON, events."""

from __future__ import annotations

import functools
import pwd
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from moorage.management.client import Management, ManagementError, decode
from moorage.management.config import HostManagement, RouterManagement
from moorage.management.event import TOO_SLOW

T = TypeVar("T")

_INTERRUPTED: Final = 130
"""Exit status of what a user has interrupted, as shells have it."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """A kind of daemon, and where it is found."""

    name: str
    socket: Path
    variable: str


class _Event(msgspec.Struct):
    event: str
    text: str
    time: datetime


HOST: Final = Daemon("host daemon", HostManagement().socket, "MOORAGE_MANAGEMENT")
ROUTER: Final = Daemon("router daemon", RouterManagement().socket, "MOORAGE_ROUTER_MANAGEMENT")


def looks_into(daemon: Daemon) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options to find a daemon and to print JSON.

    It is called with ``management`` and ``as_json``.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--json", "as_json", is_flag=True, help="As JSON, for other programs.")
        @click.option(
            "--socket",
            type=click.Path(path_type=Path, readable=False),
            default=daemon.socket,
            show_default=True,
            envvar=daemon.variable,
            show_envvar=True,
            help=f"The {daemon.name}'s management socket.",
        )
        @functools.wraps(command)
        def call(*args: Any, socket: Path, **kwargs: Any) -> None:
            command(*args, management=Management(socket, daemon.name), **kwargs)

        return call

    return decorate


def ask(management: Management, path: str, kind: type[T], *, as_json: bool, **query: str) -> T:
    """Return what a daemon says, to be shown; as JSON, print that instead and end the command.

    Raises:
        ManagementError: the daemon is not there, refuses, or does not fit this program.
    """
    data = management.get(path, **query)
    if as_json:
        print_json(data)
        click.get_current_context().exit()
    return decode(data, kind)


def print_json(data: bytes) -> None:
    """Print JSON so that a person can read it, too."""
    click.echo(msgspec.json.format(data, indent=2))


def user_name(uid: int) -> str:
    """Return the name of a user, or his number if he has none here."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def print_events(management: Management, daemon: Daemon, *, as_json: bool, follow: bool) -> None:
    """Print what a daemon remembers and, if asked to, what happens from then on.

    Raises:
        ManagementError: the daemon ended, or we were too slow for it.
    """
    try:
        for line in management.lines("/events", **({"follow": ""} if follow else {})):
            event = decode(line, _Event)
            if event.event == TOO_SLOW:
                raise ManagementError(event.text)
            if as_json:
                click.echo(line, nl=False)
            else:
                moment = event.time.astimezone().replace(tzinfo=None)
                click.echo(f"{moment.isoformat(' ', 'milliseconds')}  {event.text}")
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    if follow:
        raise ManagementError(f"the {daemon.name} has ended")
