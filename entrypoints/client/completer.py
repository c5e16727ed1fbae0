"""Completion at the prompt: commands, options, choices and keys, as they may come at the cursor.

Rule: completion never fails and never waits long.
"""

from __future__ import annotations

from typing import Iterable, Iterator, List, NamedTuple, Optional

import click
import msgspec
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from entrypoints.client.keys import some_keys
from entrypoints.client.table import CommandTable, command_of, names_like, summary
from entrypoints.client.target import Target
from entrypoints.client.values import files_like
from entrypoints.client.words import commands_in, scan, words


class Offer(NamedTuple):
    """A word that may come, what it means, and what the menu shows of it, if not all."""

    word: str
    meaning: str = ""
    shown: Optional[str] = None


class CommandCompleter(Completer):
    """Offers what may come at the cursor."""

    def __init__(self, target: Target, table: CommandTable) -> None:
        self._target = target
        self._table = table

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        """The names of commands first, then what the command takes: options, choices and keys."""
        # The mark keeps the space before the cursor, and a new line a command of its own.
        before = (commands_in(document.text_before_cursor + "\0") or [""])[-1][:-1]
        typed = list(scan(before))
        at_word = bool(typed) and typed[-1].end == len(before)
        begun = before[typed[-1].start :] if at_word else ""
        previous = [word.text for word in (typed[:-1] if at_word else typed)]
        for word, meaning, shown in self._offered(previous, begun):
            yield Completion(word, -len(begun), display=shown or word, display_meta=meaning)

    def _offered(self, typed: List[str], begun: str) -> Iterable[Offer]:
        if not typed or " ".join(typed).lower() in ("help", "?"):
            return self._names(begun)
        command = command_of(self._table, typed[0])
        if command is None:
            return ()
        option, takes_key = _option_before_value(command, typed[-1]), _takes_key(command, typed)
        if begun.startswith("@") and (option or not takes_key):
            return _files(begun)
        if option:
            return _choices(option, begun)
        if begun.startswith("-"):
            return _options(command, typed, begun)
        return self._keys(begun) if takes_key else ()

    def _names(self, begun: str) -> Iterator[Offer]:
        for name in names_like(begun, self._table.commands):
            command = command_of(self._table, name)
            yield Offer(name, summary(command) if command else "")

    def _keys(self, begun: str) -> Iterator[Offer]:
        in_quotes = begun.startswith('"')
        for key in some_keys(self._target.executor, begun[in_quotes:]):
            yield Offer(_quoted(key, in_quotes) if key else begun)


def _option_before_value(command: click.Command, word: str) -> Optional[click.Option]:
    """The option that a word names whose value is the next word."""
    return next(
        (
            param
            for param in command.params
            if isinstance(param, click.Option) and word in param.opts and not param.is_flag
        ),
        None,
    )


def _choices(option: click.Option, begun: str) -> Iterator[Offer]:
    if isinstance(option.type, click.Choice):
        for choice in option.type.choices:
            if choice.startswith(begun):
                yield Offer(choice)


def _options(command: click.Command, typed: List[str], begun: str) -> Iterator[Offer]:
    for param in command.params:
        if isinstance(param, click.Option):
            for name in param.opts:
                if name.startswith("--") and name.startswith(begun) and name not in typed:
                    yield Offer(name, param.help or "")


def _files(begun: str) -> Iterator[Offer]:
    """The files that a word may go on to, shown without the folder that is typed."""
    folder, slash, _ = begun.rpartition("/")
    for file in files_like(begun):
        if words(file) == [file]:
            yield Offer(file, shown=file[len(folder + slash) :])


def _quoted(key: str, in_quotes: bool) -> str:
    """A key as it is typed: in quotes where it is begun so, or would not be one word without."""
    if words(key) == [key] and not key.startswith("-") and not in_quotes:
        return key
    return msgspec.json.encode(key).decode()


def _takes_key(command: click.Command, typed: List[str]) -> bool:
    """Whether a key may come after the words typed so far."""
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    names = [param.name for param in arguments]
    if names[:1] == ["keys"]:
        return True
    if names[:1] == ["items"]:
        return len(typed) % 2 == 1
    return names[:1] in (["key"], ["prefix"]) and len(typed) == 1
