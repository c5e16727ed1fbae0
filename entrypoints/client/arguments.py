"""The command line of every command, made from its record.

Rule: nothing here knows any one command. A member becomes an argument by its type, the docstring
becomes the help, so that a command added to the table is in the shell at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Literal,
    Optional,
    Sequence,
    Type,
    Union,
    get_args,
    get_origin,
)

import click
import msgspec
from click.shell_completion import CompletionItem
from msgspec import Raw, UnsetType

from application.commands import COMMANDS, Command, closest_name, name_of
from application.ports import Pipelined
from entrypoints.client.examples import example_of

Run = Callable[[Command[Any]], None]
"""What is done with the command that was typed."""


@dataclass
class Target:
    """The server that commands go to: what it is called, how to ask it, how to ask and show, and a
    connection of one's own to it."""

    name: str
    executor: Pipelined
    run: Run
    connect: Callable[[], Pipelined]


VALUE_RULE = (
    "A VALUE that is JSON is stored as it is; one that is not is stored as a string, "
    "so that hello and '\"hello\"' are the same."
)


class QuotedWord(str):
    """A JSON string typed in the shell: as a key it is what it says, as a value its `text`."""

    text: str

    def __new__(cls, value: str, text: str) -> QuotedWord:
        """Keeps both what the string says and how it was typed."""
        word = super().__new__(cls, value)
        word.text = text
        return word


def value(word: str) -> Raw:
    """The text of the JSON value that a word stands for, by `VALUE_RULE`."""
    text = (word.text if isinstance(word, QuotedWord) else word).encode()
    try:
        return _json_text(text)
    except (msgspec.DecodeError, RecursionError):
        return Raw(msgspec.json.encode(word))


_json_text = msgspec.json.Decoder(Raw).decode


def _items(ctx: click.Context, param: click.Parameter, words: Sequence[str]) -> Dict[str, Raw]:
    if len(words) % 2:
        raise click.BadParameter("every KEY needs a VALUE", ctx, param)
    return dict(zip(words[::2], map(value, words[1::2])))


def _json(kind: Any) -> Callable[[str], Any]:
    """Reads a word as JSON of a type."""
    decode = msgspec.json.Decoder(kind).decode

    def convert(word: str) -> Any:
        try:
            return decode(word)
        except msgspec.DecodeError as error:
            raise click.BadParameter(str(error)) from error

    return convert


_ARGUMENTS: Dict[Any, Dict[str, Any]] = {
    str: {},
    Raw: {"type": value},
    float: {"type": float},
    List[str]: {
        "nargs": -1,
        "metavar": "KEY...",
        "callback": lambda ctx, param, words: list(words),
    },
    Dict[str, Raw]: {
        "nargs": -1,
        "metavar": "KEY VALUE [KEY VALUE]...",
        "callback": _items,
    },
}
"""How a member that a command needs is typed, by its type; any other is one word of JSON."""

_OPTIONS: Dict[Any, Dict[str, Any]] = {
    str: {},
    bool: {"is_flag": True},
    int: {"type": int},
    float: {"type": float, "metavar": "NUMBER"},
    Union[int, float]: {"type": _json(Union[int, float]), "metavar": "NUMBER"},
    Raw: {"type": value, "metavar": "VALUE"},
    List[str]: {"multiple": True, "callback": lambda ctx, param, words: list(words) or None},
}
"""How a member that can be left out is typed, by its type when it is there; any other is JSON."""


def _how(table: Dict[Any, Dict[str, Any]], kind: Any) -> Dict[str, Any]:
    """How a member of a type is typed: one of a choice, as the table says, or as JSON."""
    if get_origin(kind) is Literal:
        return {"type": click.Choice(get_args(kind))}
    return table.get(kind, {"type": _json(kind)})


def _parameter(field: msgspec.structs.FieldInfo) -> click.Parameter:
    if field.required:
        return click.Argument([field.name], required=True, **_how(_ARGUMENTS, field.type))
    there = [kind for kind in get_args(field.type) if kind not in (UnsetType, type(None))]
    union = get_origin(field.type) is Union
    how = _how(_OPTIONS, Union[tuple(there)] if union else field.type)
    flag = "--" + field.encode_name.replace("_", "-")
    return click.Option([flag, field.name], **how)


def command_line(kind: Type[Command[Any]]) -> click.Command:
    """The command line of a command, made from its record."""
    fields = [field for field in msgspec.structs.fields(kind) if field.name != "id"]

    @click.pass_obj
    def callback(target: Target, /, **members: Any) -> None:
        target.run(kind(**{name: given for name, given in members.items() if given is not None}))

    takes_values = any(field.type in (Raw, Dict[str, Raw]) for field in fields)
    return click.Command(
        name_of(kind),
        params=list(map(_parameter, fields)),
        callback=callback,
        help=kind.__doc__,
        epilog="\n\n".join([*example_of(name_of(kind)), *([VALUE_RULE] if takes_values else [])]),
        # A value may begin with a minus sign.
        context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]},
    )


def names_like(begun: str, names: Iterable[str]) -> List[str]:
    """Those of `names` that begin so, in the case that was begun with."""
    in_case = str.upper if begun[:1].isupper() else str.lower
    return [in_case(name) for name in names if name.lower().startswith(begun.lower())]


class CommandTable(click.Group):
    """All commands, in the order of their table; names may be typed in lower case."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        """The command line of a name in either case; an unknown one fails with the closest."""
        found = super().get_command(ctx, cmd_name.upper()) or super().get_command(
            ctx, cmd_name.lower()
        )
        if found is None:
            ctx.fail(f"No such command {cmd_name!r}; the closest is {closest_name(cmd_name)}.")
        return found

    def shell_complete(self, ctx: click.Context, incomplete: str) -> List[CompletionItem]:
        """The names that begin so, in the case that was begun with."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return list(map(CompletionItem, names_like(incomplete, self.commands)))

    def list_commands(self, ctx: click.Context) -> List[str]:
        """The names, as the table has them."""
        return list(self.commands)


COMMAND_LINES = [command_line(kind) for kind in COMMANDS]
