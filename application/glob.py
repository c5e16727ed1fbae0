"""Patterns of keys and channels as Redis has them: `*`, `?`, `[a-z]`, `[^a]` and `\\`.

Rule: what stands between two stars has a length, is taken where it is found first, and never looked
for again. Costs are told in bytes of JSON that would be decoded in the time, as budgets count.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Callable, Collection, List, NamedTuple, Tuple

from domain.errors import BadRequest

MAX_PATTERN = 1024
"""Characters of a pattern."""

_CHARACTER, _EXPRESSION = 32, 512
"""What it costs to read a character of a pattern, or to compile it, and each regular expression."""

_TEXT = 16
"""What it costs to match a text, but for looking for what stands between stars."""

_EXPRESSION_WEIGHT, _COMPARED = 4, 96
"""How many characters of a literal one of a regular expression is worth where it is looked for, and
how many of such comparisons are one unit."""


class Segment(NamedTuple):
    """What stands between two stars, of `size` characters: `find` returns where it begins first in
    a text, from one place up to another, and -1 for nowhere. `cost` is that of compiling it,
    `weight` that of looking for it, for each character of a text."""

    size: int
    find: Callable[[str, int, int], int]
    cost: int
    weight: int


class Glob:
    """A pattern that matches whole texts. `cost` is that of making it, `weight` that of matching,
    for each character of a text; every text that matches begins with `literal_prefix`."""

    def __init__(self, pattern: str) -> None:
        expressions, self.literal_prefix = _expressions(pattern)
        segments = list(map(_segment, expressions))
        self.cost = _CHARACTER * len(pattern) + sum(segment.cost for segment in segments)
        self._first, *others = segments
        self._last = others.pop() if others else None
        self._middle = [segment for segment in others if segment.size]
        self.weight = max((segment.weight for segment in self._middle), default=0)

    def matching_cost(self, texts: Collection[str]) -> int:
        """What it may cost to match so many texts."""
        return _TEXT * len(texts) + searching_cost(self.weight, sum(map(len, texts)))

    def matches(self, text: str) -> bool:
        """Whether the pattern is that of `text`."""
        first, last = self._first, self._last
        at = first.size
        if first.find(text, 0, at) != 0:
            return False
        if last is None:
            return len(text) == at
        end = len(text) - last.size
        if end < at or last.find(text, end, len(text)) != end:
            return False
        for segment in self._middle:
            at = segment.find(text, at, end)
            if at < 0:
                return False
            at += segment.size
        return True


@lru_cache(maxsize=256)
def glob(pattern: str) -> Glob:
    """The pattern, kept for its next use; raises `BadRequest` for one that is too long."""
    if len(pattern) > MAX_PATTERN:
        raise BadRequest(f"a pattern has at most {MAX_PATTERN} characters, not {len(pattern)}")
    return Glob(pattern)


def searching_cost(weight: int, characters: int) -> int:
    """What it may cost to look for patterns in so many characters, by the sum of their weights."""
    return weight * characters // _COMPARED


Part = Tuple[str, bool]
"""One character of a segment: itself, or a regular expression."""


def _segment(parts: List[Part]) -> Segment:
    size = len(parts)
    if not any(is_expression for _, is_expression in parts):
        literal = "".join(text for text, _ in parts)
        return Segment(size, lambda text, start, end: text.find(literal, start, end), 0, size)
    expression = "".join(text if is_one else re.escape(text) for text, is_one in parts)
    search = re.compile(expression, re.DOTALL).search

    def find(text: str, start: int, end: int) -> int:
        found = search(text, start, end)
        return found.start() if found else -1

    cost = _EXPRESSION + _CHARACTER * len(expression)
    return Segment(size, find, cost, _EXPRESSION_WEIGHT * size)


def _expressions(pattern: str) -> Tuple[List[List[Part]], str]:
    """The characters of each segment, and those that every text that matches begins with."""
    segments: List[List[Part]] = [[]]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            segments.append([])
            continue
        part = char, False
        if char == "?":
            part = ".", True
        elif char == "[":
            each, at = _set(pattern, at)
            part = each, True
        elif char == "\\" and at < len(pattern):
            part = pattern[at], False
            at += 1
        segments[-1].append(part)
    prefix = ""
    for text, is_expression in segments[0]:
        if is_expression:
            break
        prefix += text
    return segments, prefix


def _set(pattern: str, at: int) -> Tuple[str, int]:
    """The regular expression of a set of characters, and where the pattern goes on."""
    is_negated = pattern[at : at + 1] == "^"
    at += is_negated
    members = ""
    while at < len(pattern) and pattern[at] != "]":
        low = pattern[at]
        if low == "\\" and at + 1 < len(pattern):
            at += 1
            members += re.escape(pattern[at])
        elif pattern[at + 1 : at + 2] == "-" and at + 2 < len(pattern):
            low, high = sorted((low, pattern[at + 2]))
            members += f"{re.escape(low)}-{re.escape(high)}"
            at += 2
        else:
            members += re.escape(low)
        at += 1
    if not members:
        return ("." if is_negated else "(?!)"), at + 1
    return f"[{'^' if is_negated else ''}{members}]", at + 1
