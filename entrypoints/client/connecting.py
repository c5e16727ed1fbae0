"""From the options of the command line to a target."""

from __future__ import annotations

import os
from typing import Any, Optional

import click

from domain.errors import KvError
from entrypoints.address import bracketed
from entrypoints.client.options import connection_settings
from entrypoints.client.output import failure
from entrypoints.client.target import Target
from entrypoints.client_container import ClientContainer


def target_of(context: click.Context, **overrides: Any) -> Target:
    """The server that the program's options name; nothing is connected yet."""
    settings, warnings = connection_settings(context, _asked(context))
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    settings.update(attempts=1, **overrides)
    container = ClientContainer()
    container.config.from_dict(settings)
    try:
        executor = container.executor()
    except KvError as error:  # what the executor needs is not there
        raise failure(error) from error

    def keep_password(password: str) -> None:
        container.config.from_dict({**settings, "password": password})
        executor.close()  # connections that have not logged in

    return Target(
        name=settings["unix_path"] or f"{bracketed(settings['host'])}:{settings['port']}",
        executor=executor,
        connect=container.connection,
        keep_password=keep_password,
        connect_timeout=settings["connect_timeout"],
        timeout=settings["timeout"],
    )


def _asked(context: click.Context) -> Optional[str]:
    if not context.params.get("askpass"):
        return None
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError as error:
        raise click.UsageError("--askpass needs a terminal; see --password-file") from error
    password: str = click.prompt("password", hide_input=True, err=True)
    return password
