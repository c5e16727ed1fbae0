"""The client's command line: where the server is, and what to do there."""

from __future__ import annotations

import sys
from typing import Any, Dict, Optional

import click
from click.core import ParameterSource

from application.commands import Command
from application.ports import Pipelined
from domain.errors import KvError
from entrypoints.address import DEFAULT_HOST, DEFAULT_PORT
from entrypoints.client.arguments import COMMAND_LINES, VALUE_RULE, CommandTable, Target
from entrypoints.client.output import failure, show
from entrypoints.client.tools import TOOLS
from entrypoints.client_container import ClientContainer
from entrypoints.client_settings import DEFAULTS
from entrypoints.settings import (
    CONTEXT,
    FILE,
    address,
    config_option,
    password_file_option,
    read_password,
)
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
@config_option
@click.option(
    "--url",
    type=address,
    metavar="kv://HOST:PORT",
    help="The server's address in one, kvs:// for TLS; instead of --host, --port and --tls.",
)
@click.option("--host", default=DEFAULT_HOST, help="The server's address.")
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, help="And port.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULTS["timeout"],
    help="Seconds to wait for each piece of an answer.",
)
@click.option(
    "--connect-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULTS["connect_timeout"],
    help="Seconds to wait for a connection.",
)
@click.option(
    "--max-reply-bytes",
    type=click.IntRange(min=1),
    default=DEFAULTS["max_reply_bytes"],
    help="Longest reply line to take.",
)
@password_file_option("File with the server's password; or set KV_PASSWORD.")
@click.option("--tls", is_flag=True, help="Speak TLS.")
@click.option("--tls-ca", type=FILE, help="Whom to trust, PEM, instead of whom the system does.")
@click.option("--tls-cert", type=FILE, help="Certificate to show to the server, PEM.")
@click.option("--tls-key", type=FILE, help="Key of the certificate, PEM, if it is not there.")
@click.option("--json", is_flag=True, help="Print results for scripts, on a terminal too.")
@click.version_option(package_name=PACKAGE, prog_name="kv")
@click.pass_context
def main(
    context: click.Context, /, url: Optional[Dict[str, Any]], json: bool, **settings: Any
) -> None:
    """Put the client together and choose between one command, the prompt and the pipe."""
    password = read_password(settings["password_file"])
    settings = {**DEFAULTS, **settings, "attempts": 1, "password": password}
    settings.update(_unless_typed(context, url or {}))
    container = ClientContainer()
    container.config.from_dict(settings)
    name = f"{settings['host']}:{settings['port']}"
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


def _unless_typed(context: click.Context, url: Dict[str, Any]) -> Dict[str, Any]:
    """What an address says; one from the environment or a file yields to what was typed."""
    typed = ParameterSource.COMMANDLINE
    if context.get_parameter_source("url") is typed:
        return url
    return {
        name: value
        for name, value in url.items()
        if context.get_parameter_source(name) is not typed
    }


def _with_notices(executor: Pipelined) -> Pipelined:
    from entrypoints.client.shell import Reconnecting

    return Reconnecting(executor, lambda notice: click.echo(notice, err=True))


if __name__ == "__main__":
    main(prog_name="kv")
