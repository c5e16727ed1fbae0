"""The prompt: history, several lines to a command, and completion of commands, options and keys.

Rule: completing never fails and never waits long: keys come from one page of a scan, in a thread of
its own, and a server that cannot be asked has none.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Iterable, Iterator, List

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import completion_is_selected
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers import JsonLexer

from application.commands import Scan
from domain.errors import KvError
from entrypoints.client.arguments import CommandTable, Target, names_like
from entrypoints.client.words import is_open, words

_OWN = ("exit", "help", "timing")
"""What the shell itself understands, besides the commands."""

_KEYS = 20
"""How many keys are offered at once."""


def typed_lines(target: Target, table: CommandTable) -> Iterator[str]:
    """What is typed, command by command, until the end of input."""
    session: PromptSession[str] = PromptSession(
        f"{target.name}> ",
        prompt_continuation=lambda width, *_: "." * (width - 1) + " ",
        history=_history(),
        completer=CommandCompleter(target, table),
        complete_in_thread=True,
        complete_while_typing=False,
        lexer=PygmentsLexer(JsonLexer),
        key_bindings=_bindings(),
        multiline=True,
    )
    while True:
        try:
            yield session.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


class CommandCompleter(Completer):
    """Offers what may come at the cursor."""

    def __init__(self, target: Target, table: CommandTable) -> None:
        self._target = target
        self._table = table

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        """The names of commands first, then options and keys, as the command takes them."""
        before = document.text_before_cursor
        word = re.search(r"\S*$", before)
        begun = word.group() if word else ""
        typed = words(before[: len(before) - len(begun)])
        for offered in self._offered(typed, begun):
            yield Completion(offered, start_position=-len(begun))

    def _offered(self, typed: List[str], begun: str) -> List[str]:
        if not typed or typed[0].lower() == "help":
            return names_like(begun, [*self._table.commands, *([] if typed else _OWN)])
        command = self._table.commands.get(typed[0].upper())
        if command is None:
            return []
        if begun.startswith("-"):
            options = [name for option in command.params for name in option.opts]
            return [name for name in options if name.startswith(begun) and name not in typed]
        return self._keys(begun) if _takes_key(command, typed) else []

    def _keys(self, begun: str) -> List[str]:
        try:
            page = self._target.executor.execute(Scan(prefix=begun, limit=_KEYS))
        except KvError:
            return []
        return [key for key in page.keys if key and not re.search(r"[\s'\"\[{]", key)]


def _takes_key(command: click.Command, typed: List[str]) -> bool:
    """Whether a key may come after the words typed so far."""
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    names = [param.name for param in arguments]
    if names[:1] == ["keys"]:
        return True
    if names[:1] == ["items"]:
        return len(typed) % 2 == 1
    return names[:1] == ["key"] and len(typed) == 1


def _bindings() -> KeyBindings:
    """Enter runs what is whole, and starts a new line in what is not."""
    bindings = KeyBindings()

    @bindings.add("enter", filter=~completion_is_selected)
    def enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_open(buffer.text):
            buffer.newline()
        else:
            buffer.validate_and_handle()

    return bindings


def _history() -> History:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    try:
        (state / "kvjson").mkdir(parents=True, exist_ok=True)
    except OSError:
        return InMemoryHistory()
    return _Discreet(str(state / "kvjson" / "history"))


class _Discreet(FileHistory):
    """Keeps no passwords."""

    def store_string(self, string: str) -> None:
        if not string.lstrip().lower().startswith("auth"):
            super().store_string(string)
