"""The command line. Each command is a module of this package, imported when it is run."""

from __future__ import annotations

import importlib
from typing import Any, Final

import click

from moorage.config import ConfigError
from moorage.lab.errors import LabError
from moorage.management.client import ManagementError, NoDaemon, NotAllowed

_COMMANDS: Final = {
    "address": "Print an address of type SERVICE.",
    "addresses": "List this host's addresses, with their types.",
    "bindings": "Show who holds which prefix, who anchors it, and where the host is served.",
    "completion": "Print what completes our commands in SHELL.",
    "demo": "Play the message flow of the draft's section 4.2 in network namespaces.",
    "doctor": "Try everything that is needed of this machine.",
    "events": "Show what happened on this host lately.",
    "host": "Run the host daemon: typed source addresses for the applications of this host.",
    "lab": "Access routers, correspondents and mobile hosts in network namespaces.",
    "router": "Run an access router, or look into a running one.",
    "run": "Run COMMAND, and all that it starts, with source addresses of type SERVICE.",
    "sockets": "List who uses which of this host's addresses.",
    "status": "Show this host at a glance: its links, and how many addresses it has.",
    "store": "The binding store: who holds which prefix, who anchors it, who serves it.",
    "why": "Say why a process, or a socket, has its address.",
}
"""How the help of each command begins, so that a list of them needs none of their modules."""


class WrongInputError(click.ClickException):
    """What the user gave is wrong; exit status 2, as for a wrong command line."""

    exit_code = 2


class NoDaemonError(click.ClickException):
    """There is no daemon to look into; exit status 3, as `systemctl status` has it."""

    exit_code = 3


class NotAllowedError(click.ClickException):
    """The user may not look into the daemon; exit status 4."""

    exit_code = 4


class _Commands(click.Group):
    """The commands are the modules of this package; each has a command of its own name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return what stands for a command in a list."""
        if cmd_name not in _COMMANDS:
            return None
        return click.Command(cmd_name, short_help=_COMMANDS[cmd_name])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that ``args`` name, ready to run."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None:
            command = getattr(importlib.import_module(f"{__name__}.{name}"), name)
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what the user or the system did wrong is one line, not a traceback."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise WrongInputError(str(error)) from None
        except NoDaemon as error:
            raise NoDaemonError(str(error)) from None
        except NotAllowed as error:
            raise NotAllowedError(str(error)) from None
        except BrokenPipeError:
            raise  # whoever reads our output has seen enough; click ends without a word
        except (LabError, ManagementError, OSError) as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_Commands)
def main() -> None:
    """On-Demand Mobility Management: the source address that each application needs."""
