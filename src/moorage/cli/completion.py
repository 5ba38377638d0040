"""``moorage completion``: what makes a shell complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what completes our commands in SHELL.

    \b
    bash: eval "$(moorage completion bash)"              in ~/.bashrc
    zsh:  eval "$(moorage completion zsh)"               in ~/.zshrc
    fish: moorage completion fish | source               in ~/.config/fish/config.fish
    """
    make = get_completion_class(shell)
    assert make is not None
    click.echo(make(context.find_root().command, {}, "moorage", "_MOORAGE_COMPLETE").source())
