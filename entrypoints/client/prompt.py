"""The prompt: history, several lines to a command, hints, and completion of commands, options and
keys.

Rule: nothing here can fail because of the server or of a file. Completing never waits long, the
history is for its owner alone and holds no password, and one that cannot be written is kept in
memory.
"""

from __future__ import annotations

import contextlib
import os
import re
import textwrap
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Optional, Tuple

import click
import msgspec
from prompt_toolkit import PromptSession
from prompt_toolkit import prompt as ask
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import completion_is_selected
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import split_lines
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.styles import Style
from rich.text import Text

from entrypoints.client.arguments import CommandTable, names_like, summary, syntax_of
from entrypoints.client.keys import some_keys
from entrypoints.client.palette import LONGEST_HIGHLIGHTED, console, fragments, json_text
from entrypoints.client.target import Target
from entrypoints.client.words import State, Word, commands_in, is_open, scan, words

_STYLE = Style.from_dict(
    {
        "lost": "ansired",
        "bottom-toolbar": "noreverse",
        "bottom-toolbar.text": "",
        "auto-suggestion": "dim",
    }
)


class Prompt:
    """Asks for commands, and for a password."""

    def __init__(
        self, target: Target, table: CommandTable, is_lost: Callable[[], bool] = lambda: False
    ) -> None:
        self._table = table
        self._name = target.name
        self._is_lost = is_lost
        self._session: PromptSession[str] = PromptSession(
            self._message,
            prompt_continuation=lambda width, *_: "." * (width - 1) + " ",
            history=history(),
            completer=CommandCompleter(target, table),
            complete_in_thread=True,
            complete_while_typing=False,
            auto_suggest=AutoSuggestFromHistory(),
            lexer=CommandLexer(table),
            bottom_toolbar=self._hint,
            key_bindings=_bindings(),
            style=_STYLE,
            multiline=True,
        )

    def texts(self) -> Iterator[str]:
        """What is typed, until the end of input."""
        while True:
            try:
                yield self._session.prompt()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return

    def ask_password(self) -> Optional[str]:
        """A password, which is not shown and not kept; None when none was given."""
        try:
            return ask("password: ", is_password=True) or None
        except (KeyboardInterrupt, EOFError):
            return None

    def _message(self) -> StyleAndTextTuples:
        lost: StyleAndTextTuples = [("class:lost", "(no connection) ")] if self._is_lost() else []
        return [*lost, ("", f"{self._name}> ")]

    def _hint(self) -> StyleAndTextTuples:
        """How the command is typed that is being typed."""
        typed = words(self._session.default_buffer.document.current_line)
        command = command_of(self._table, typed[0]) if typed else None
        if command is None:
            return [("", "Tab completes, help lists the commands")]
        name, *more = textwrap.wrap(
            f"{command.name} {syntax_of(command)}  ({summary(command)})",
            get_app().output.get_size().columns - 1,
            max_lines=3,
            placeholder=" ...",
        )
        first, _, rest = name.partition(" ")
        return [("bold", first), ("", "\n".join([f" {rest}", *more]))]


def command_of(table: CommandTable, name: str) -> Optional[click.Command]:
    """The command with a name in either case."""
    return table.commands.get(name.upper()) or table.commands.get(name.lower())


class CommandCompleter(Completer):
    """Offers what may come at the cursor."""

    def __init__(self, target: Target, table: CommandTable) -> None:
        self._target = target
        self._table = table

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        """The names of commands first, then options and keys, as the command takes them."""
        before = (commands_in(document.text_before_cursor + "\0") or [""])[-1][:-1]
        typed = list(scan(before))
        at_word = bool(typed) and typed[-1].end == len(before)
        begun = before[typed[-1].start :] if at_word else ""
        previous = [word.text for word in (typed[:-1] if at_word else typed)]
        for offered, meaning in self._offered(previous, begun):
            yield Completion(offered, start_position=-len(begun), display_meta=meaning)

    def _offered(self, typed: List[str], begun: str) -> Iterable[Tuple[str, str]]:
        if not typed or (len(typed) == 1 and typed[0].lower() in ("help", "?")):
            for name in names_like(begun, self._table.commands):
                command = command_of(self._table, name)
                yield name, summary(command) if command else ""
            return
        command = command_of(self._table, typed[0])
        if command is None:
            return
        if begun.startswith("-"):
            yield from _options(command, typed, begun)
        elif _takes_key(command, typed):
            yield from ((_quoted(key), "") for key in self._keys(begun))

    def _keys(self, begun: str) -> List[str]:
        begun = begun[1:] if begun.startswith('"') else begun
        return [key for key in some_keys(self._target.executor, begun) if key]


def _options(command: click.Command, typed: List[str], begun: str) -> Iterator[Tuple[str, str]]:
    for param in command.params:
        if isinstance(param, click.Option):
            for name in param.opts:
                if name.startswith("--") and name.startswith(begun) and name not in typed:
                    yield name, param.help or ""


def _quoted(key: str) -> str:
    """A key as it is typed: in quotes where it would not be one word without."""
    if words(key) == [key] and not key.startswith("-"):
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


class CommandLexer(Lexer):
    """Colours what is typed as results are coloured."""

    def __init__(self, table: CommandTable) -> None:
        self._table = table
        self._console = console()

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """The coloured text of each line."""
        text = document.text
        shown = self.highlighted(text) if len(text) <= LONGEST_HIGHLIGHTED else Text(text)
        lines = list(split_lines(fragments(shown, self._console)))
        return lambda number: lines[number] if number < len(lines) else []

    def highlighted(self, text: str) -> Text:
        """A text of commands in the colours of the palette."""
        shown = Text(text)
        command: Optional[click.Command] = None
        starts = True
        end = 0
        for word in scan(text):
            starts = starts or "\n" in text[end : word.start]
            end = word.end
            if starts:
                command = command_of(self._table, word.text)
                shown.stylize("kv.command" if command else "", word.start, word.end)
                starts = False
            elif _is_option(command, word):
                shown.stylize("kv.option", word.start, word.end)
            else:
                _colour(shown, text, word)
        return shown


def _is_option(command: Optional[click.Command], word: Word) -> bool:
    return command is not None and any(
        word.text.partition("=")[0] in param.opts
        for param in command.params
        if isinstance(param, click.Option)
    )


def _colour(shown: Text, text: str, word: Word) -> None:
    typed = text[word.start : word.end]
    if typed[0] == "'":
        shown.stylize("kv.quoted", word.start, word.end)
    elif typed[0] in '{["' or word.state is not State.CLOSED:
        for span in json_text(typed).spans:
            shown.stylize(span.style, word.start + span.start, word.start + span.end)


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


def history() -> History:
    """The history of this user, or one in memory where there cannot be a file."""
    try:
        state = Path(os.environ.get("XDG_STATE_HOME", ""))
        if not state.is_absolute():
            state = Path.home() / ".local" / "state"
        folder = state / "kvjson"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / "history"
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600))
        os.chmod(path, 0o600)
        return PrivateHistory(str(path))
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return SessionHistory()


class _Discreet(History):
    """Keeps no text that holds a password, not even while the program runs."""

    def append_string(self, string: str) -> None:
        if not holds_password(string):
            super().append_string(string)


class SessionHistory(_Discreet, InMemoryHistory):
    """A history that ends with the program."""


class PrivateHistory(_Discreet, FileHistory):
    """A history in a file; what cannot be written there ends with the program."""

    def load_history_strings(self) -> Iterable[str]:
        try:
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)


_AUTH = re.compile(r"""^[\s'"]*auth|"auth\"""", re.IGNORECASE | re.MULTILINE)


def holds_password(text: str) -> bool:
    """Whether a text has an AUTH in it, however it is quoted."""
    firsts = [(words(command) or [""])[0] for command in commands_in(text)]
    return bool(_AUTH.search(text)) or any(first.lower() == "auth" for first in firsts)
