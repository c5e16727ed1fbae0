"""`kv completion`: what makes bash, zsh and fish complete what is typed after `kv`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ["bash", "zsh", "fish"]


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print what SHELL has to read at its start to complete commands and options of kv.

    For bash: eval "$(kv completion bash)"
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "kv", "_KV_COMPLETE").source())
