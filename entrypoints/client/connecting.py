"""From the options of the command line to a target.

Rule: what was typed wins over an address from the environment or a file.
"""

from __future__ import annotations

from typing import Any, Dict

import click
from click.core import ParameterSource

from entrypoints.client.target import Target
from entrypoints.client_container import ClientContainer
from entrypoints.client_options import DEFAULTS
from entrypoints.settings import read_password


def target_of(context: click.Context, **overrides: Any) -> Target:
    """The server that the program's options name; nothing is connected yet."""
    given = dict(context.params)
    url: Dict[str, Any] = given.pop("url", None) or {}
    password = _asked() if given.pop("askpass", False) else read_password(given["password_file"])
    settings: Dict[str, Any] = {**DEFAULTS, **given, "attempts": 1, "password": password}
    settings.update(_unless_typed(context, url))
    settings.update(overrides)
    container = ClientContainer()
    container.config.from_dict(settings)
    executor = container.executor()

    def keep_password(password: str) -> None:
        container.config.from_dict({**settings, "password": password})
        executor.close()  # connections that have not logged in

    return Target(
        name=f"{settings['host']}:{settings['port']}",
        executor=executor,
        connect=container.connection,
        keep_password=keep_password,
    )


def _asked() -> str:
    password: str = click.prompt("password", hide_input=True, err=True)
    return password


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
