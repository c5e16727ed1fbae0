"""How a typed line is cut into words.

Rule: as a system shell does it, but for JSON: a word that begins with a bracket, a brace or a
double quote reaches to the end of that JSON value, spaces, line breaks and all.
"""

from __future__ import annotations

import json
from typing import List, Tuple

from entrypoints.client.arguments import QuotedWord

_json = json.JSONDecoder()


def words(line: str) -> List[str]:
    """The words of a line."""
    found: List[str] = []
    at = _skip_space(line, 0)
    while at < len(line):
        word, at = _word(line, at)
        found.append(word)
        at = _skip_space(line, at)
    return found


def is_open(line: str) -> bool:
    """Whether the last word is a JSON value, or a word in quotes, whose end is still to come."""
    at = _skip_space(line, 0)
    while at < len(line):
        if line[at] == "'" and "'" not in line[at + 1 :]:
            return True
        if line[at] in '"[{' and _breaks_off(line, at):
            return True
        _, at = _word(line, at)
        at = _skip_space(line, at)
    return False


def _breaks_off(line: str, start: int) -> bool:
    """Whether JSON begins here of which no more is wrong than that the rest is missing."""
    try:
        _json.raw_decode(line, start)
    except ValueError as error:
        text = line.rstrip()
        wrong = getattr(error, "pos", 0)
        return wrong >= len(text) or str(error).startswith("Unterminated string")
    return False


def _skip_space(line: str, at: int) -> int:
    while at < len(line) and line[at].isspace():
        at += 1
    return at


def _word(line: str, start: int) -> Tuple[str, int]:
    if line[start] in '"[{':
        try:
            value, end = _json.raw_decode(line, start)
        except ValueError:
            pass
        else:
            text = line[start:end]
            return (QuotedWord(value, text) if isinstance(value, str) else text), end
    if line[start] == "'" and "'" in line[start + 1 :]:
        end = line.index("'", start + 1)
        return line[start + 1 : end], end + 1
    end = next((at for at in range(start, len(line)) if line[at].isspace()), len(line))
    return line[start:end], end
