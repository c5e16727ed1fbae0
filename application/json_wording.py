"""What is wrong with a text that was to be JSON, in JSON's words instead of msgspec's.

Rule: a message that is not on the table stays as it is, so that no version of msgspec is relied on.
Whatever a message quotes of a text is cut to 100 characters, and such a message as a whole to 200.
"""

from __future__ import annotations

import re
from typing import Callable, List, Match, Optional, Pattern, Tuple

import msgspec

from application.commands import NAMES, closest_name

LONE_SURROGATE = "a string has half of a surrogate pair, such as \\ud800, which is no character"

_LONGEST_SEARCH = 64 * 1024
"""Bytes of a text in which half of a surrogate pair is looked for."""

_TYPES = {
    "array": "an array",
    "bool": "a boolean",
    "float": "a number",
    "int": "an integer",
    "null": "null",
    "object": "an object",
    "str": "a string",
}


def wrong_with(text: bytes, error: Exception) -> str:
    """Why a text could not be decoded, for people who may not write Python; `error` is what msgspec
    raised."""
    if isinstance(error, RecursionError):
        return "nested too deep to be read"
    if not isinstance(error, msgspec.ValidationError) and _has_lone_surrogate(text):
        return LONE_SURROGATE
    return in_json_words(str(error))


def in_json_words(message: str) -> str:
    """A message of msgspec's."""
    for pattern, reworded in _WORDINGS:
        match = pattern.fullmatch(message)
        if match:
            return reworded(match)
    return message[:200]


def _has_lone_surrogate(text: bytes) -> bool:
    """Whether a string in the text has an escape for half of a surrogate pair."""
    return any(match[1] for match in _ESCAPE.finditer(text[:_LONGEST_SEARCH]))


def _expected(match: Match[str]) -> str:
    wanted, found, place = match["wanted"], match["found"], match["place"]
    what = _types(wanted)
    instead = "a fraction" if found == "float" and "int" in wanted else found and _types(found)
    if place:
        return f"`{place:.100}` must be {what}" + (f", not {instead}" if instead else "")
    return f"expected {what}" + (f", got {instead}" if instead else "")


def _not_a_command(name: str, place: str) -> str:
    """What is wrong with a name that no command has, or none that may stand there."""
    if name in NAMES:
        return f"`{name}` cannot stand" + (_within(place) or " here")
    return f"unknown command `{name:.100}`{_within(place)}; the closest is `{closest_name(name)}`"


def _within(place: Optional[str]) -> str:
    return f" in `{place:.100}`" if place else ""


def _types(names: str) -> str:
    names = names.replace("int | float", "float")
    return " or ".join(_TYPES.get(name, name) for name in names.split(" | "))


_PLACE = r"(?: - at `\$\.?(?P<place>[^`]*)`)?"

_WORDINGS: List[Tuple[Pattern[str], Callable[[Match[str]], str]]] = [
    (
        re.compile(r"Expected `(?P<wanted>[^`]+)`(?:, got `(?P<found>[^`]+)`)?" + _PLACE),
        _expected,
    ),
    (
        re.compile(r"Object missing required field `(?P<name>[^`]+)`" + _PLACE),
        lambda match: f"`{match['name']}` is missing" + _within(match["place"]),
    ),
    (
        re.compile(r"Object contains unknown field `(?P<name>.*?)`" + _PLACE, re.DOTALL),
        lambda match: f"`{match['name']:.100}` is not a known member" + _within(match["place"]),
    ),
    (
        re.compile(r"Invalid value '(?P<name>.*)' - at `\$\.?(?P<place>.*)\.?type`", re.DOTALL),
        lambda match: _not_a_command(match["name"], match["place"].rstrip(".")),
    ),
    (
        re.compile(r"Number out of range - at `\$\.(?P<place>[^`]*)`"),
        lambda match: f"`{match['place']:.100}` is out of range",
    ),
    (
        re.compile(r"Invalid enum value (?P<value>.*) - at `\$\.(?P<place>[^`]*)`", re.DOTALL),
        lambda match: f"`{match['place']:.100}` cannot be {match['value']:.100}",
    ),
]

_HEX = rb"[0-9a-fA-F]"
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB]%b{2}\\u[dD][c-fC-F]%b{2}|(u[dD][89a-fA-F]%b{2})|.)" % (_HEX, _HEX, _HEX),
    re.DOTALL,
)
"""A pair of escapes, half of one, or any other escape."""
