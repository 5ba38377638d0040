"""``moorage run``: programs that know nothing of types, with addresses of one."""

from __future__ import annotations

import os
from typing import Final

import click

from moorage import client, preload
from moorage.errors import SetscError
from moorage.lab.enter import execute
from moorage.service import ServiceType
from moorage.wire.app import Reason

_FAILED: Final = 125
"""Exit status where the command was not run, as `env`, `nohup` and `timeout` have it."""


_NO_HOOKS: Final = "the host daemon cannot choose addresses for programs here"


class NotRunError(click.ClickException):
    """The command was not run."""

    exit_code = _FAILED


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--service",
    required=True,
    type=click.Choice([member.slug for member in ServiceType]),
    help="The type of the command's addresses.",
)
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds to wait for the network.")
@click.argument("command", nargs=-1, required=True, metavar="[--] COMMAND [ARG]...")
def run(service: str, timeout: float | None, command: tuple[str, ...]) -> None:
    """Run COMMAND, and all that it starts, with source addresses of type SERVICE.

    \b
    moorage run --service session-lasting ssh user@example.net

    Whatever IPv6 address a program binds to itself, it keeps; so do packets to the machine itself
    and to its links. Exit status, signals and terminal are those of COMMAND: this process becomes
    it. Where it cannot be run, the exit status is 125, or as of a shell 126 or 127.
    """
    kind = ServiceType.from_slug(service)
    try:
        client.become_program(kind, timeout=timeout)
    except SetscError as error:
        if error.reason is not Reason.NO_HOOKS:
            raise NotRunError(str(error)) from None
        _use_library(kind, timeout, command[0])
    execute(command)


def _use_library(kind: ServiceType, timeout: float | None, command: str) -> None:
    """Let a command, if it can, load a library that asks in its place."""
    try:
        environment = preload.environment(command, kind)
        with client.held(kind, timeout=timeout):
            pass  # it stays for the linger time, so that the first socket need not wait
    except preload.OutOfReach as error:
        raise NotRunError(f"{_NO_HOOKS}, and {error}") from None
    except SetscError as error:
        raise NotRunError(str(error)) from None
    os.environ.update(environment)
    click.echo(
        f"{_NO_HOOKS}: {command} asks by a library, in LD_PRELOAD; static programs, and those of"
        " Go, that it starts do not",
        err=True,
    )
