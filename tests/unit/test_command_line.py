"""The command line as a whole."""

from __future__ import annotations

import inspect
import pkgutil
import subprocess
import sys

import click
import pytest

from moorage import cli
from moorage.cli import main

COMMANDS = main.list_commands(click.Context(main))
HEAVY = {"aiohttp", "matplotlib", "rich", "moorage.host.core", "moorage.router.server"}


def imported(*arguments: str) -> set[str]:
    """Return the modules that our command imports for these arguments."""
    command = [sys.executable, "-X", "importtime", "-m", "moorage", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_every_command_is_listed() -> None:
    modules = {module.name for module in pkgutil.iter_modules(cli.__path__)}
    assert set(COMMANDS) == {name for name in modules if not name.startswith("_")}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_help_of_a_command_says(name: str) -> None:
    context = click.Context(main)
    listed = main.get_command(context, name)
    _, command, _ = main.resolve_command(context, [name])
    assert listed is not None
    assert command is not None
    assert listed.short_help is not None
    assert command.help is not None
    assert " ".join(inspect.cleandoc(command.help).split()).startswith(listed.short_help)


def test_the_list_imports_no_command() -> None:
    assert not imported("--help") & {*HEAVY, *(f"moorage.cli.{name}" for name in COMMANDS)}


@pytest.mark.parametrize(
    ("command", "others"),
    [
        ("host", {"moorage.router.daemon", "moorage.store", "moorage.demo", "matplotlib", "rich"}),
        ("router", {"moorage.host.core", "moorage.demo", "matplotlib", "rich"}),
    ],
)
def test_a_daemon_imports_only_what_it_runs(command: str, others: set[str]) -> None:
    assert not imported(command, "--help") & others
