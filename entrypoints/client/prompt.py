"""The prompt: several lines to a command, hints, and what it is made of: completion, colours and a
history.

Rule: nothing here can fail because of the server or of a file.
"""

from __future__ import annotations

import textwrap
from typing import Callable, Iterator, Optional

from prompt_toolkit import PromptSession
from prompt_toolkit import prompt as ask
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style

from entrypoints.client.command_line import syntax_of
from entrypoints.client.completer import CommandCompleter
from entrypoints.client.history import history
from entrypoints.client.lexer import CommandLexer
from entrypoints.client.table import CommandTable, command_of, summary
from entrypoints.client.target import Target
from entrypoints.client.words import is_open, words

_STYLE = Style.from_dict(
    {
        "lost": "ansired",
        "bottom-toolbar": "noreverse",
        "bottom-toolbar.text": "",
        "auto-suggestion": "ansidefault dim",
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
            enable_suspend=True,
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


def _bindings() -> KeyBindings:
    """Enter accepts what is chosen, runs what is whole, and starts a new line in what is not."""
    bindings = KeyBindings()

    @bindings.add("enter")
    def enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None
        elif is_open(buffer.text):
            buffer.newline()
        else:
            buffer.validate_and_handle()

    return bindings
