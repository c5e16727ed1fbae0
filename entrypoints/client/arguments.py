"""The command line of every command, made from its record.

Rule: nothing here knows any one command. A member becomes an argument by its type, and by its name
where that says more; the docstring becomes the help, so that a command added to the table is in the
shell at once.
"""

from __future__ import annotations

from typing import (
    Any,
    Callable,
    Dict,
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
from msgspec import Raw, UnsetType

from application.commands import COMMANDS, Command, name_of
from application.json_wording import wrong_with
from entrypoints.client.command_line import CommandLine
from entrypoints.client.durations import Duration
from entrypoints.client.keys import Key
from entrypoints.client.output import style_options
from entrypoints.client.values import AS_TEXT, Text, Value, content_of
from entrypoints.param_type import Choice, ParamType

key, text, value = Key(), Text(), Value()


def _items(ctx: click.Context, param: click.Parameter, words: Sequence[str]) -> Dict[str, Raw]:
    if len(words) % 2:
        raise click.BadParameter("every KEY needs a VALUE", ctx, param)
    keys = [key.convert(word, param, ctx) for word in words[::2]]
    return dict(zip(keys, [value.convert(word, param, ctx) for word in words[1::2]]))


def _json(kind: Any) -> Callable[[str], Any]:
    """Reads a word as JSON of a type; it may stand for a file or standard input, as a value may."""
    decode = msgspec.json.Decoder(kind).decode

    def convert(word: str) -> Any:
        text = b""
        try:
            text = content_of(word, click.get_current_context(silent=True))
            return decode(text)
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            raise click.BadParameter(wrong_with(text, error)) from error

    return convert


class _Number(ParamType):
    """A number of a kind, as JSON has it."""

    def __init__(self, kind: Any, like: str) -> None:
        self.name = "integer" if kind is int else "number"
        self._decode, self._like = _json(kind), like

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Any:
        try:
            return self._decode(value)
        except click.BadParameter:
            return self.fail(f"{value!r:.100} is not {self._like}", param, ctx)


class _Word(ParamType):
    """A word as it was typed, a `QuotedWord` too."""

    name = "word"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Any:
        return value


_NUMBER = _Number(Union[int, float], "a number such as 5, -2 or 0.5")

_ARGUMENTS: Dict[Any, Dict[str, Any]] = {
    str: {"type": text},
    Raw: {"type": value},
    float: {"type": _NUMBER},
    List[str]: {
        "nargs": -1,
        "metavar": "KEY...",
        "callback": lambda ctx, param, words: list(words),
    },
    Dict[str, Raw]: {
        "type": _Word(),
        "nargs": -1,
        "metavar": "KEY VALUE [KEY VALUE]...",
        "callback": _items,
    },
}
"""How a member that a command needs is typed, by its type; any other is one word of JSON."""

_OPTIONS: Dict[Any, Dict[str, Any]] = {
    str: {"type": text},
    bool: {"is_flag": True},
    int: {"type": _Number(int, "a whole number such as 100")},
    float: {"type": _NUMBER, "metavar": "NUMBER"},
    Union[int, float]: {"type": _NUMBER, "metavar": "NUMBER"},
    Raw: {"type": value, "metavar": "VALUE"},
    List[str]: {"multiple": True, "callback": lambda ctx, param, words: list(words) or None},
}
"""How a member that can be left out is typed, by its type when it is there; any other is JSON."""


def _how(table: Dict[Any, Dict[str, Any]], kind: Any) -> Dict[str, Any]:
    """How a member of a type is typed: one of a choice, as the table says, or as JSON."""
    if get_origin(kind) is Literal:
        return {"type": Choice(get_args(kind))}
    return table.get(kind, {"type": _json(kind)})


def _parameter(field: msgspec.structs.FieldInfo) -> click.Parameter:
    if field.required:
        return click.Argument([field.name], required=True, **_how(_ARGUMENTS, field.type))
    there = [kind for kind in get_args(field.type) if kind not in (UnsetType, type(None))]
    union = get_origin(field.type) is Union
    how = _how(_OPTIONS, Union[tuple(there)] if union else field.type)
    flag = "--" + field.encode_name.replace("_", "-")
    return click.Option([flag, field.name], **how)


MEMBERS: Dict[str, str] = {
    "ttl": "How long the key lives: seconds, or 30s, 5m, 1h, 2d.",
    "keep_ttl": "Keep the ttl that the key has.",
    "if_": "Only when the key is absent, or present.",
    "if_equals": "Only when the key has this value.",
    "by": "How much to add; a negative number subtracts.",
    "prefix": "Only keys that begin so.",
    "cursor": "Where to go on: the cursor of the page before.",
    "limit": "Most keys of a page.",
}
"""What a member that can be left out is for, by its name."""


_TYPES: Dict[str, ParamType] = {
    "key": key,
    "keys": key,
    "ttl": Duration(),
}
"""How a member is typed that means more than its type says, by its name."""


def _named(param: click.Parameter) -> click.Parameter:
    """The parameter, with what its name says about it."""
    name = str(param.name)
    param.type = _TYPES.get(name, param.type)
    if isinstance(param, click.Option):
        param.help = param.help or MEMBERS.get(name)
        if name == "ttl":
            param.metavar = "DURATION"
    return param


def command_line(kind: Type[Command[Any]]) -> click.Command:
    """The command line of a command, made from its record."""
    fields = [field for field in msgspec.structs.fields(kind) if field.name != "id"]

    @click.pass_context
    def callback(ctx: click.Context, /, **members: Any) -> None:
        given = {name: member for name, member in members.items() if member is not None}
        given.pop(AS_TEXT, None)
        ctx.obj.run(kind(**given), ctx)

    line = CommandLine(
        name_of(kind),
        params=[_named(_parameter(field)) for field in fields],
        callback=callback,
        help=kind.__doc__,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    if any(field.type in (Raw, Dict[str, Raw]) for field in fields):
        line.takes_values = True
        line.params.append(
            click.Option(
                ["--string", AS_TEXT],
                is_flag=True,
                is_eager=True,
                help="Store each VALUE as text, exactly as it is typed.",
            )
        )
    line.params += style_options()
    return line


COMMAND_LINES = [command_line(kind) for kind in COMMANDS]
