"""All commands as one group, by names in either case and by those of other stores.

Rule: an unknown name is answered with the closest one, which is never run instead.
"""

from __future__ import annotations

from typing import (
    Any,
    Dict,
    Iterable,
    List,
    Optional,
    Tuple,
)

import click
from click.shell_completion import CompletionItem

from entrypoints.client.names import answer, understood
from entrypoints.streams import PipeClosed


def names_like(begun: str, names: Iterable[str]) -> List[str]:
    """Those of `names` that begin so, in the case that was begun with."""
    in_case = str.upper if begun[:1].isupper() else str.lower
    return [in_case(name) for name in names if name.lower().startswith(begun.lower())]


class CommandTable(click.Group):
    """All commands, in the order of their table; names may be typed in either case, and those that
    people know from other stores are understood."""

    lists_all = "help"
    """What a user types to see all commands."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run what the command line names."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise PipeClosed from error

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        """The command line of a name in either case."""
        return super().get_command(ctx, cmd_name.upper()) or super().get_command(
            ctx, cmd_name.lower()
        )

    def resolve_command(
        self, ctx: click.Context, args: List[str]
    ) -> Tuple[Optional[str], Optional[click.Command], List[str]]:
        """The command line that the first word names; an unknown name fails with an answer."""
        name, words = args[0], list(args[1:])
        command = self.get_command(ctx, name)
        if command is None:
            try:
                name, *words = understood(name, words) or args
            except ValueError as error:
                ctx.fail(f"{name.upper()} is typed {name.upper()} {error}".rstrip() + ".")
            command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing:
            known = answer(name, self.commands) or f"{self.lists_all} lists them all"
            ctx.fail(f"No such command {name!r:.100}; {known}.")
        return (command.name if command else None), command, words

    def shell_complete(self, ctx: click.Context, incomplete: str) -> List[CompletionItem]:
        """The names that begin so, in the case that was begun with."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=summary(self.commands[_own_case(name, self.commands)]))
            for name in names_like(incomplete, self.commands)
        ]

    def list_commands(self, ctx: click.Context) -> List[str]:
        """The names, as the table has them."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands in groups, each with the whole first sentence of its help."""
        for title, names in grouped(self.commands):
            with formatter.section(title):
                formatter.write_dl([(name, summary(self.commands[name])) for name in names])


def _own_case(name: str, names: Iterable[str]) -> str:
    return next(known for known in names if known.lower() == name.lower())


def summary(command: click.Command) -> str:
    """The first sentence of a command's help."""
    first = " ".join(str(command.help or "").split("\n\n")[0].split())
    return first.split(". ")[0].split("; ")[0].rstrip(".")


GROUPS: Dict[str, Tuple[str, ...]] = {
    "One key": ("GET", "SET", "DELETE", "EXISTS", "GETSET", "GETDEL", "INCR"),
    "Many keys": ("MGET", "MSET", "MDELETE", "SCAN", "keys", "COUNT", "FLUSH", "BATCH"),
    "Time to live": ("TTL", "EXPIRE", "PERSIST"),
    "Server": ("PING", "INFO", "AUTH"),
    "Programs": ("export", "import", "bench", "monitor", "completion"),
    "Shell": ("help", "timing", "clear", "exit"),
}
"""Where help lists a command; one that is in none comes under "More"."""


def grouped(names: Iterable[str]) -> List[Tuple[str, List[str]]]:
    """The names, group by group."""
    left = list(names)
    found = []
    for title, members in GROUPS.items():
        found.append((title, [name for name in members if name in left]))
        left = [name for name in left if name not in members]
    return [(title, members) for title, members in [*found, ("More", left)] if members]


def command_of(table: CommandTable, name: str) -> Optional[click.Command]:
    """The command with a name in either case."""
    return table.commands.get(name.upper()) or table.commands.get(name.lower())
