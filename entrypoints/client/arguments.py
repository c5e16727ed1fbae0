"""The command line of every command, made from its record.

Rule: nothing here knows any one command. A member becomes an argument by its type, and by its name
where that says more; the docstring becomes the help, so that a command added to the table is in the
shell at once.
"""

from __future__ import annotations

import difflib
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Literal,
    NoReturn,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
    get_args,
    get_origin,
)

import click
import msgspec
from click.shell_completion import CompletionItem
from msgspec import Raw, UnsetType

from application.commands import COMMANDS, Command, name_of
from entrypoints.client.durations import Duration
from entrypoints.client.examples import example_of
from entrypoints.client.keys import Key
from entrypoints.client.names import ONE_TO_MANY, answer, understood
from entrypoints.client.output import style_options
from entrypoints.client.param_type import ParamType
from entrypoints.client.streams import PipeClosed
from entrypoints.client.values import AS_TEXT, VALUE_RULE, Value, content_of

value = Value()


def _items(ctx: click.Context, param: click.Parameter, words: Sequence[str]) -> Dict[str, Raw]:
    if len(words) % 2:
        raise click.BadParameter("every KEY needs a VALUE", ctx, param)
    return dict(zip(words[::2], [value.convert(word, param, ctx) for word in words[1::2]]))


def _json(kind: Any) -> Callable[[str], Any]:
    """Reads a word as JSON of a type; it may stand for a file or standard input, as a value may."""
    decode = msgspec.json.Decoder(kind).decode

    def convert(word: str) -> Any:
        try:
            return decode(content_of(word, click.get_current_context(silent=True)))
        except ValueError as error:  # msgspec's errors are, and those of a file
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


class CommandLine(click.Command):
    """The command line of one command: its words may begin with a dash, its options are words too.

    Only a word that is the whole name of an option is one, `--name=value` included; every other
    word is an argument, and after `--` all are.
    """

    takes_values = False

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Put options first, so that no word that follows is taken for one."""
        options, words = self._sorted(ctx, args)
        room = self._room()
        extra = words[room:] if room is not None else []
        rest = super().parse_args(ctx, [*options, "--", *words[:room]])
        if extra and not ctx.resilient_parsing:
            self._refuse(ctx, words, extra)
        return rest

    def _sorted(self, ctx: click.Context, args: List[str]) -> Tuple[List[str], List[str]]:
        flags = {
            name: param.is_flag or param.count
            for param in self.get_params(ctx)
            if isinstance(param, click.Option)
            for name in param.opts
        }
        options: List[str] = []
        words: List[str] = []
        left = iter(args)
        for word in left:
            name, given, _ = word.partition("=")
            if word == "--":
                words += left
            elif word in flags and not flags[word]:
                following = next(left, None)
                if following is not None:
                    options += [word, following]
                elif not ctx.resilient_parsing:
                    raise click.BadOptionUsage(word, f"Option {word!r} needs a value.", ctx)
            elif word in flags or (given and name.startswith("--") and name in flags):
                options.append(word)
            else:
                words.append(word)
        return options, words

    def _room(self) -> Optional[int]:
        """How many words there may be; None for any number."""
        arguments = [param for param in self.params if isinstance(param, click.Argument)]
        if any(argument.nargs < 0 for argument in arguments):
            return None
        return sum(argument.nargs for argument in arguments)

    def _refuse(self, ctx: click.Context, words: List[str], extra: List[str]) -> NoReturn:
        """Say what was most likely meant by words that are too many."""
        names = [name for param in self.params for name in param.opts if name.startswith("--")]
        for word in words:
            if word.startswith("--"):
                close = difflib.get_close_matches(word.partition("=")[0], names, cutoff=0.6)
                raise click.NoSuchOption(word, possibilities=close, ctx=ctx)
        said = f"too many words, from {extra[0]!r} on"
        if self.takes_values:
            said += "; put quotes round a value with spaces"
        elif self.name in ONE_TO_MANY:
            said += f"; {ONE_TO_MANY[self.name]} takes many keys"
        raise click.UsageError(said, ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The example, as it is typed where help was asked for, and the rule for values."""
        in_shell = getattr(ctx.obj, "reads_commands", False)
        for paragraph in example_of(str(self.name), in_shell):
            formatter.write_paragraph()
            formatter.write(paragraph)
        if self.takes_values:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(VALUE_RULE)


def syntax_of(command: click.Command) -> str:
    """What is typed after the name of a command: its arguments, and its options in brackets."""
    parts = []
    for param in command.params:
        if isinstance(param, click.Argument):
            word = param.metavar or str(param.name).upper()
            parts.append(word if param.required else f"[{word}]")
        elif isinstance(param, click.Option) and param.expose_value:
            flag = param.opts[0]
            parts.append(f"[{flag}]" if param.is_flag else f"[{flag} {_metavar(param)}]")
    return " ".join(parts)


def _metavar(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    return option.metavar or option.type.name.upper()


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


class _Word(ParamType):
    """A word as it was typed, a `QuotedWord` too."""

    name = "word"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Any:
        return value


_TYPES: Dict[str, ParamType] = {
    "key": Key(),
    "keys": Key(),
    "items": _Word(),
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


def names_like(begun: str, names: Iterable[str]) -> List[str]:
    """Those of `names` that begin so, in the case that was begun with."""
    in_case = str.upper if begun[:1].isupper() else str.lower
    return [in_case(name) for name in names if name.lower().startswith(begun.lower())]


class CommandTable(click.Group):
    """All commands, in the order of their table; names may be typed in either case, and those that
    people know from other stores are understood."""

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
            known = answer(name, self.commands)
            ctx.fail(f"No such command {name!r}; {known}.")
        return (command.name if command else None), command, words

    def shell_complete(self, ctx: click.Context, incomplete: str) -> List[CompletionItem]:
        """The names that begin so, in the case that was begun with."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(
                name, help=self.commands[_own_case(name, self.commands)].get_short_help_str()
            )
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


COMMAND_LINES = [command_line(kind) for kind in COMMANDS]
