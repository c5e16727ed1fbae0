"""How a typed line is cut into words, and a text into commands.

Rule: as a system shell does it, but for JSON: a word that begins with a bracket, a brace or a
double quote reaches to the end of that JSON value, spaces and line breaks included. A value or a
quote ends before a space or the end of the text; one that does not is broken, and is cut at spaces.
"""

from __future__ import annotations

import enum
import json
import re
from collections import deque
from typing import Deque, Iterable, Iterator, List, NamedTuple, Tuple

import msgspec

from entrypoints.client.values import BrokenWord, QuotedWord


class State(enum.Enum):
    """Whether a word is complete, or its end is still to come, or cannot come any more."""

    CLOSED, OPEN, BROKEN = range(3)


class Word(NamedTuple):
    """A word, where it stands in the text, and what it stands for."""

    start: int
    end: int
    text: str
    state: State = State.CLOSED


Numbered = Tuple[int, str]


def scan(text: str) -> Iterator[Word]:
    """The words of a text with their places; none of a line that begins with `#`, a comment."""
    begins_line = True
    at = _skip_space(text, 0)
    while at < len(text):
        comment = _COMMENT.match(text, at) if begins_line else None
        if comment:
            end = comment.end()
        else:
            word = _word(text, at)
            yield word
            end = word.end
        at = _skip_space(text, end)
        begins_line = "\n" in text[end:at]


def words(text: str) -> List[str]:
    """The words of a text."""
    return [word.text for word in scan(text)]


def state_of(text: str) -> State:
    """The state of the first word that is not complete."""
    for word in scan(text):
        if word.state is not State.CLOSED:
            return word.state
    return State.CLOSED


def is_open(text: str) -> bool:
    """Whether the text ends within a value or a quote."""
    return state_of(text) is State.OPEN


def commands_in(text: str) -> List[str]:
    """The commands of a text: they end with their line, unless a value or a quote goes on."""
    found: List[str] = []
    start = end = 0
    for word in scan(text):
        if "\n" in text[end : word.start]:
            found.append(text[start:end])
            start = word.start
        end = word.end
    return [command for command in [*found, text[start:end]] if command.strip(_SPACE)]


def numbered_commands(lines: Iterable[str]) -> Iterator[Numbered]:
    """The commands of a pipe with the number of each one's first line.

    A line whose value goes on takes the next ones with it. If these do not continue it, it is a
    command by itself, a broken one, and they are commands again.
    """
    source = enumerate(lines, 1)
    again: Deque[Numbered] = deque()
    while True:
        first = again.popleft() if again else next(source, None)
        if first is None:
            return
        number, text = first
        state, more = _continued(text, again, source)
        if state is State.CLOSED:
            text += "".join(line for _, line in more)
        else:
            again.extendleft(reversed(more))
        if text.strip(_SPACE):
            yield number, text.rstrip("\r\n")


def _continued(
    text: str, again: Deque[Numbered], source: Iterator[Numbered]
) -> Tuple[State, List[Numbered]]:
    """The lines that complete `text`. What is open is looked at only where it may have ended, and
    after 1, 2, 4, 8 ... lines, so that a long value takes linear time."""
    more: List[Numbered] = []
    depth = _depth(text)
    state = state_of(text)
    while state is State.OPEN:
        line = again.popleft() if again else next(source, None)
        if line is None:
            return (state_of(text) if more else state), more
        more.append(line)
        text += line[1]
        depth += _depth(line[1])
        if depth <= 0 or not len(more) & (len(more) - 1):
            state = state_of(text)
    return state, more


def _depth(line: str) -> int:
    bare = _STRING.sub("", line)
    return sum(map(bare.count, "[{")) - sum(map(bare.count, "]}"))


_SPACE = " \t\r\n\v\f"
"""What separates words; a no-break space, and others of Unicode, are part of a word."""

_COMMENT = re.compile(r"#[^\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_json = json.JSONDecoder()
_lenient_json = json.JSONDecoder(strict=False)


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _word(text: str, start: int) -> Word:
    opening = text[start]
    if opening in "[{":
        return _document(text, start)
    if opening == '"':
        return _string(text, start)
    if opening == "'":
        end = text.find("'", start + 1) + 1
        if end and _ends(text, end):
            return Word(start, end, text[start + 1 : end - 1])
        return _up_to_space(text, start, State.BROKEN if end else State.OPEN)
    return _up_to_space(text, start, State.CLOSED)


def _document(text: str, start: int) -> Word:
    try:
        _, end = _json.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        wrong = getattr(error, "pos", 0)
        breaks_off = wrong >= len(text.rstrip()) or str(error).startswith("Unterminated string")
        return _broken_document(text, start, State.OPEN if breaks_off else State.BROKEN)
    if _ends(text, end):
        return Word(start, end, text[start:end])
    return _broken_document(text, start, State.BROKEN)


def _broken_document(text: str, start: int, state: State) -> Word:
    word = _up_to_space(text, start, state)
    return word._replace(text=BrokenWord(text, start, word.end))


def _string(text: str, start: int) -> Word:
    """A JSON string; line breaks and other controls may stand in it as they are."""
    found = _STRING.match(text, start)
    if not found:
        return _up_to_space(text, start, State.OPEN)
    try:
        value, end = _lenient_json.raw_decode(text, start)
    except ValueError:
        return _up_to_space(text, start, State.BROKEN)
    if not _ends(text, end):
        return _up_to_space(text, start, State.BROKEN)
    typed = found.group()
    as_json = typed if typed.isprintable() else msgspec.json.encode(value).decode()
    return Word(start, end, QuotedWord(value, as_json))


def _ends(text: str, end: int) -> bool:
    return end == len(text) or text[end] in _SPACE


def _up_to_space(text: str, start: int, state: State) -> Word:
    end = next((at for at in range(start, len(text)) if text[at] in _SPACE), len(text))
    return Word(start, end, text[start:end], state)
