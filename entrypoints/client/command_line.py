"""How the words after a command are sorted into options and arguments.

Rule: only a word that is the whole name of an option is one, or the letters of several flags
together, so that keys and values may begin with a dash; an error names the closest match.
"""

from __future__ import annotations

import difflib
from typing import (
    AbstractSet,
    Collection,
    List,
    NoReturn,
    Optional,
    Tuple,
)

import click

from entrypoints.client.examples import example_of
from entrypoints.client.names import ONE_TO_MANY, options_for
from entrypoints.client.values import VALUE_RULE


class CommandLine(click.Command):
    """The command line of one command: its words may begin with a dash, its options are words too.

    Only a word that is the whole name of an option is one, `--name=value` included, or the letters
    of several flags, `-rj`; every other word is an argument, and after `--` all are.
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
        own = {name for param in self.params for name in param.opts}  # not -h: -her is no option
        letters = {name[1] for name in own if len(name) == 2 and flags.get(name)}
        options: List[str] = []
        words: List[str] = []
        left = iter(args)
        for word in left:
            if word == "--":
                words += left
            elif word in flags and not flags[word]:
                following = next(left, None)
                if following is not None:
                    options += [word, following]
                elif not ctx.resilient_parsing:
                    raise click.BadOptionUsage(word, f"Option {word!r} needs a value.", ctx)
            elif word in flags or _has_value(word, flags) or _is_letters(word, letters):
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
        """Refuse surplus words, with the closest match."""
        names = [name for param in self.params for name in param.opts if name.startswith("--")]
        for word in words:
            if word.startswith("--"):
                close = difflib.get_close_matches(word.partition("=")[0], names, cutoff=0.6)
                raise click.NoSuchOption(word[:100], possibilities=close, ctx=ctx)
        said = f"too many words, from {extra[0]!r:.100} on"
        options = options_for(str(self.name), extra)
        if options:
            said += f"; for {' '.join(extra):.100} say {options:.100}"
        elif self.takes_values:
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


def _has_value(word: str, flags: Collection[str]) -> bool:
    """Whether a word is the long name of an option and its value, `--name=value`."""
    name, given, _ = word.partition("=")
    return bool(given) and name.startswith("--") and name in flags


def _is_letters(word: str, letters: AbstractSet[str]) -> bool:
    """Whether a word is the letters of several flags, `-rj`."""
    return word[:1] == "-" and word[1:] != "" and letters >= set(word[1:])
