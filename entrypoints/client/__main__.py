"""The client's command line: where the server is, and what to do there."""

from __future__ import annotations

import sys
from typing import Any

import click

from application.commands import Command
from application.ports import Pipelined
from domain.errors import KvError
from entrypoints.address import bracketed
from entrypoints.client.arguments import COMMAND_LINES, VALUE_RULE, CommandTable, Target
from entrypoints.client.options import connection_options, connection_settings
from entrypoints.client.output import failure, show
from entrypoints.client.tools import TOOLS
from entrypoints.client_container import ClientContainer
from entrypoints.settings.sources import CONTEXT, setting
from entrypoints.version import PACKAGE

_HELP = f"""Run one COMMAND on a server, or type commands at a prompt, or pipe them in, one a line.

{VALUE_RULE}

The result is printed as JSON; for a key that is missing the line is empty. Exit codes: 0 done,
1 refused by the server, 2 not understood, 3 no connection.
"""


@click.group(
    cls=CommandTable,
    commands=[*COMMAND_LINES, *TOOLS],
    help=_HELP,
    invoke_without_command=True,
    context_settings=CONTEXT,
)
@connection_options
@setting("--json", is_flag=True, help="Print results for scripts, on a terminal too.")
@click.version_option(package_name=PACKAGE, prog_name="kv")
@click.pass_context
def main(context: click.Context, /, json: bool, **_: Any) -> None:
    """Put the client together and choose between one command, the prompt and the pipe."""
    settings, warnings = connection_settings(context)
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    settings["attempts"] = 1
    container = ClientContainer()
    container.config.from_dict(settings)
    name = settings["unix_path"] or f"{bracketed(settings['host'])}:{settings['port']}"
    at_prompt = context.invoked_subcommand is None and sys.stdin.isatty()
    executor: Pipelined = container.executor()
    if at_prompt:
        executor = _with_notices(executor)

    def run(command: Command[Any]) -> None:
        try:
            result = executor.execute(command)
        except KvError as error:
            raise failure(error) from error
        show(result, missing="(nothing there)" if at_prompt else "", for_scripts=json)

    context.obj = Target(name, executor, run, container.connection)
    if context.invoked_subcommand is None:
        from entrypoints.client import shell  # prompt_toolkit is slow to import

        if at_prompt:
            shell.run_prompt(context.obj)
        else:
            context.exit(shell.run_pipe(sys.stdin, context.obj))


def _with_notices(executor: Pipelined) -> Pipelined:
    from entrypoints.client.shell import Reconnecting

    return Reconnecting(executor, lambda notice: click.echo(notice, err=True))


if __name__ == "__main__":
    main(prog_name="kv")
