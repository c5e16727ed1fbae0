"""What a typed VALUE stands for.

Rule: what is typed is what is stored. JSON is stored as it is and anything else as a string, but
what only looks like JSON is refused, since it is most likely a slip; `--string` stores any text.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from itertools import islice
from typing import Any, List, Optional

import click
import msgspec
from click.shell_completion import CompletionItem
from msgspec import Raw

from application.json_wording import wrong_with
from entrypoints.param_type import ParamType

VALUE_RULE = (
    "A VALUE that is JSON is stored as it is; one that is not is stored as a string, so that hello "
    "and '\"hello\"' are the same. One that begins like JSON, with { or [, and is not, is refused. "
    "@FILE is what FILE holds, and - is standard input, without a line end at its end. "
    "--string stores any VALUE as text, exactly as it is typed."
)

MAX_FILES = 1000
"""How many files of a folder are looked at for completion."""

MAX_INPUT_BYTES = 1 << 30
"""The longest file or standard input to read for one value."""


class QuotedWord(str):
    """A JSON string typed in the shell: as a key it is what it says, as a value its `text`."""

    text: str

    def __new__(cls, value: str, text: str) -> QuotedWord:
        """Keeps both what the string says and how it was typed."""
        word = super().__new__(cls, value)
        word.text = text
        return word


class BrokenWord(str):
    """The beginning, up to a space, of what looks like JSON and is not; with the `rest` of its line
    it tells what is wrong."""

    _text: str
    _end: int

    def __new__(cls, text: str, start: int, end: int) -> BrokenWord:
        """Keeps where in a text the word ends, and no copy of the rest: there may be many words."""
        word = super().__new__(cls, text[start:end])
        word._text, word._end = text, end
        return word

    @property
    def rest(self) -> str:
        """What follows the word on its line."""
        return self._text[self._end :].partition("\n")[0]


NOT_UTF8 = "the text is not UTF-8"


class Text(ParamType):
    """A word of the command line as it is."""

    name = "text"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> str:
        text = str(value)
        return text if is_utf8(text) else self.fail(NOT_UTF8, param, ctx)


class Value(ParamType):
    """A word of the command line, as the text of a JSON value, by `VALUE_RULE`."""

    name = "value"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Raw:
        if isinstance(value, Raw):
            return value
        try:
            if ctx is not None and ctx.params.get(AS_TEXT):
                return as_text(value)
            if isinstance(value, QuotedWord):
                return Raw(value.text.encode())
            if isinstance(value, BrokenWord):
                return json_or_text(value.encode(), value.rest.encode())
            return json_or_text(content_of(value, ctx))
        except UnicodeEncodeError:
            return self.fail(NOT_UTF8, param, ctx)
        except ValueError as error:
            return self.fail(str(error), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> List[CompletionItem]:
        return list(map(CompletionItem, files_like(incomplete))) if incomplete[:1] == "@" else []


AS_TEXT = "as_text"
"""The parameter that is set by `--string`."""


def as_text(word: str) -> Raw:
    """The JSON string that says `word`."""
    word.encode()  # msgspec does not refuse lone surrogates
    return Raw(msgspec.json.encode(str(word)))


def json_or_text(text: bytes, rest: bytes = b"") -> Raw:
    """The JSON that `text` is, or else the JSON string that says it; raises `ValueError` for what
    looks like JSON and is not, which says what is wrong with it and the `rest`."""
    try:
        return _json_text(text)
    except (msgspec.DecodeError, RecursionError) as error:
        if text.lstrip()[:1] in (b"{", b"["):
            if rest:
                return json_or_text(text + rest)
            reason = wrong_with(text, error)
            raise ValueError(
                f"it looks like JSON and is not: {reason}; --string stores it as text"
            ) from None
        return Raw(msgspec.json.encode(text.decode()))


_json_text = msgspec.json.Decoder(Raw).decode


def content_of(word: str, ctx: Optional[click.Context]) -> bytes:
    """What a word stands for: the content of a file or of standard input, or itself."""
    if word == "-":
        return _standard_input(ctx)
    if word.startswith("@") and len(word) > 1:
        return _file(word[1:])
    if not is_utf8(word):
        raise ValueError(NOT_UTF8)
    return word.encode()


def without_mark(data: bytes, source: str) -> bytes:
    """`data` without a UTF-8 byte order mark; raises `ValueError` for the mark of another encoding.

    `source` names where the data come from.
    """
    if data.startswith(codecs.BOM_UTF8):
        return data[len(codecs.BOM_UTF8) :]
    for mark, encoding in _FOREIGN_MARKS:
        if data.startswith(mark):
            raise ValueError(f"{source} is {encoding}; kv reads UTF-8")
    return data


_FOREIGN_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def is_utf8(text: str) -> bool:
    """Whether a text that came from outside was UTF-8, and has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def files_like(begun: str) -> List[str]:
    """The `@FILE` words that begin so, in order; a folder ends with a slash. Names that start with
    a dot come only where that is typed."""
    folder, name = os.path.split(begun[1:])
    found = []
    with contextlib.suppress(OSError), os.scandir(os.path.expanduser(folder) or ".") as entries:
        for entry in islice(entries, MAX_FILES):
            if entry.name.startswith(name) and (name or entry.name[0] != "."):
                found.append("@" + os.path.join(folder, entry.name) + "/" * entry.is_dir())
    return sorted(found)


def _file(path: str) -> bytes:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            data = file.read(MAX_INPUT_BYTES + 1)
    except OSError as error:
        raise ValueError(
            f"cannot read {path}: {error.strerror}; --string stores @{path} as text"
        ) from None
    return _content(data, path)


def _standard_input(ctx: Optional[click.Context]) -> bytes:
    target = ctx.obj if ctx is not None else None
    if getattr(target, "reads_commands", False):
        raise ValueError(
            '- is standard input, which the commands come from: use @FILE, or "-" for text'
        )
    if ctx is not None:
        if ctx.meta.get(_READ):
            raise ValueError("- can stand for one value only, since standard input is read once")
        ctx.meta[_READ] = True
    return _content(sys.stdin.buffer.read(MAX_INPUT_BYTES + 1), "standard input")


_READ = "entrypoints.client.values.read"


_BYTES = '; bytes are stored as {"$binary":{"base64":"...","subType":"00"}}'


def _content(data: bytes, source: str) -> bytes:
    if len(data) > MAX_INPUT_BYTES:
        raise ValueError(f"{source} is longer than {MAX_INPUT_BYTES >> 20:,} MiB")
    data = without_mark(data, source)
    if not is_utf8(data.decode("utf-8", "surrogateescape")):
        raise ValueError(f"{source} is not UTF-8{_BYTES}")
    for line_end in (b"\r\n", b"\n"):
        if data.endswith(line_end):
            return data[: -len(line_end)]
    return data
