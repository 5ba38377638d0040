"""The command line. Each command is a module of this package, imported when it is used."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import click

from moorage.config import ConfigError
from moorage.lab.errors import LabError
from moorage.management.client import ManagementError, NoDaemon, NotAllowed


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
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(
            importlib.import_module(f"{__name__}.{cmd_name}"), cmd_name
        )
        return command

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
