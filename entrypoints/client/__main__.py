"""The client's command line: where the server is, and what to do there."""

from __future__ import annotations

import sys
from typing import Any, List, Optional, Tuple

import click

from entrypoints import streams
from entrypoints.client.arguments import COMMAND_LINES
from entrypoints.client.connecting import target_of
from entrypoints.client.options import connection_options
from entrypoints.client.output import NOTHING_THERE, Style, chosen_style, style_options
from entrypoints.client.table import CommandTable
from entrypoints.client.tools import TOOLS
from entrypoints.client.values import VALUE_RULE
from entrypoints.settings.sources import CONTEXT
from entrypoints.starting import INTERRUPTED
from entrypoints.version import PACKAGE

_HELP = f"""Run one COMMAND on a server, or type commands at a prompt, or pipe them in, one a line;
a line that begins with # is a comment. Many keys are stored ten times as fast by import.

{VALUE_RULE}

The result is printed as JSON; for a key that is missing the line is empty. Each option of the
connection is also a variable (KV_PORT=5000; the password is KV_PASSWORD) and an entry of the file
that --config names; the command line wins over the environment, and that over the file.

Exit codes: 0 done, 1 refused by the server, 2 not understood, or a setting or its file cannot be
used, 3 no connection, {NOTHING_THERE} nothing there (with --exit-status), {INTERRUPTED}
ended by Ctrl-C. Of several commands in a pipe, 3 counts before 2, 1 and {NOTHING_THERE}, in this
order.
"""


class Program(streams.Program, CommandTable):
    """The group of all commands, as a program."""

    lists_all = "`kv --help`"

    def resolve_command(
        self, ctx: click.Context, args: List[str]
    ) -> Tuple[Optional[str], Optional[click.Command], List[str]]:
        """See `CommandTable`; `help` is `--help`, and `help GET` is `GET --help`."""
        if args[0].lower() != "help" or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        if len(args) == 1:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().resolve_command(ctx, [args[1], "--help"])


@click.group(
    cls=Program,
    commands=[*COMMAND_LINES, *TOOLS],
    help=_HELP,
    invoke_without_command=True,
    context_settings=CONTEXT,
)
@connection_options
@click.option("-W", "--askpass", is_flag=True, help="Ask for the server's password.")
@click.version_option(package_name=PACKAGE, prog_name="kv")
@click.pass_context
def main(context: click.Context, /, **_: Any) -> None:
    """Choose between one command, the prompt and the pipe."""
    target = target_of(context)
    target.style = chosen_style(context, Style())
    context.obj = target
    if context.invoked_subcommand is None:
        from entrypoints.client import shell  # prompt_toolkit is slow to import

        target.reads_commands = True
        if sys.stdin.isatty():
            shell.run_prompt(target)
        else:
            context.exit(shell.run_pipe(sys.stdin.buffer, target))


main.params += style_options()


if __name__ == "__main__":
    main(prog_name="kv")
