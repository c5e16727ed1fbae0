"""The server of a program, and the execution of a typed command on it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any, Callable

import click

from application.commands import Auth, Command
from application.ports import Pipelined
from domain.errors import KvError
from entrypoints.client.output import Style, chosen_style, failure, show


@dataclass
class Target:
    """A server: its name, its executor, and how its results are printed."""

    name: str
    executor: Pipelined
    connect: Callable[..., Pipelined]
    """Makes a connection of one's own; takes `timeout` and `connect_timeout` in seconds."""
    keep_password: Callable[[str], None]
    """Makes later connections log in with a password."""
    connect_timeout: float = 0.0
    """The seconds to wait for a connection; 0 is no limit."""
    timeout: float = 0.0
    """The seconds to wait for a piece of a reply; 0 is no limit."""
    style: Style = field(default_factory=Style)
    reads_commands: bool = False
    """Whether commands come from standard input, which cannot be a value then."""
    timing: bool = False
    """Whether to show how long each request takes."""
    seconds: float = 0.0
    """How long the last request took."""

    def run(self, command: Command[Any], ctx: click.Context) -> None:
        """Execute a command and print its result; raises what click shows as a refusal."""
        start = time.perf_counter()
        try:
            if isinstance(command, Auth):
                result: object = self._log_in(command)
            else:
                result = self.executor.execute(command)
        except KvError as error:
            raise failure(error, self.style.at_prompt) from error
        finally:
            self.seconds = time.perf_counter() - start
        show(result, chosen_style(ctx, self.style))

    def _log_in(self, command: Auth) -> bool:
        """Try a password on a connection that has not logged in, where it is looked at for sure,
        and keep it for all later connections when it is right."""
        with contextlib.closing(self.connect(password="")) as connection:
            is_right: bool = connection.execute(command)
        if is_right:
            self.keep_password(command.password)
        return is_right
