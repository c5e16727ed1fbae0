"""Patterns of keys and channels as Redis has them: `*`, `?`, `[a-z]`, `[^a]` and `\\`.

Rule: to match takes time in proportion to the pattern times the text, whatever they are: what
stands between two stars is taken where it is found first, and never looked for again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import List, Match, Optional, Tuple

from domain.errors import BadRequest

MAX_PATTERN = 4096
"""Characters of a pattern; to compile it takes some milliseconds then."""


class Glob:
    """A pattern that matches whole texts."""

    def __init__(self, pattern: str) -> None:
        segments, self.literal_prefix = _segments(pattern)
        first, *others = segments
        last = others.pop() if others else None
        middle = "".join(
            f"(?=(?P<s{index}>.*?{segment}))(?P=s{index})"
            for index, segment in enumerate(filter(None, others))
        )
        end = "" if last is None else f".*{last}" if last else ".*"
        self._match = re.compile(f"{first}{middle}{end}", re.DOTALL).fullmatch

    def matches(self, text: str) -> Optional[Match[str]]:
        """Whether the pattern is that of `text`, as something true or not."""
        return self._match(text)


@lru_cache(maxsize=256)
def glob(pattern: str) -> Glob:
    """The pattern, kept for its next use; raises `BadRequest` for one that is too long."""
    if len(pattern) > MAX_PATTERN:
        raise BadRequest(f"a pattern has at most {MAX_PATTERN} characters, not {len(pattern)}")
    return Glob(pattern)


def _segments(pattern: str) -> Tuple[List[str], str]:
    """The regular expressions of what stands between stars, and the characters that every text
    that matches begins with."""
    segments, prefix = [""], ""
    is_literal = True
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            is_literal = False
            segments.append("")
            continue
        if char == "?":
            segments[-1] += "."
            is_literal = False
            continue
        if char == "[":
            each, at = _set(pattern, at)
            segments[-1] += each
            is_literal = False
            continue
        if char == "\\" and at < len(pattern):
            char = pattern[at]
            at += 1
        segments[-1] += re.escape(char)
        prefix += char if is_literal else ""
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
