"""The colours of what is typed at the prompt.

Rule: they are those of what is printed, from the same palette.
"""

from __future__ import annotations

from typing import Callable, Optional

import click
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import split_lines
from prompt_toolkit.lexers import Lexer
from rich.text import Text

from entrypoints.client.palette import LONGEST_HIGHLIGHTED, console, fragments, json_text
from entrypoints.client.table import CommandTable, command_of
from entrypoints.client.words import State, Word, scan


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
