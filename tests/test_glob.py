"""Patterns match what Redis's do."""

from __future__ import annotations

from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.glob import Glob


def reference(pattern: str, text: str) -> bool:
    """Whether a pattern of `*`, `?`, `[^a]`, `[ab]` and characters matches, by its definition."""

    @lru_cache(maxsize=None)
    def matches(at: int, place: int) -> bool:
        if at == len(pattern):
            return place == len(text)
        char = pattern[at]
        if char == "*":
            return any(matches(at + 1, after) for after in range(place, len(text) + 1))
        if place == len(text):
            return False
        if char == "?":
            return matches(at + 1, place + 1)
        if char == "[":
            end = pattern.index("]", at)
            members = pattern[at + 1 : end]
            is_in = text[place] in members.lstrip("^")
            return is_in != members.startswith("^") and matches(end + 1, place + 1)
        return char == text[place] and matches(at + 1, place + 1)

    return matches(0, 0)


patterns = st.lists(st.sampled_from(["*", "?", "a", "b", "\n", "[ab]", "[^a]", "ab"]), max_size=9)


@settings(max_examples=500)
@given(patterns.map("".join), st.text("ab\n", max_size=12))
def test_a_pattern_matches_what_its_definition_says(pattern: str, text: str) -> None:
    assert Glob(pattern).matches(text) == reference(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("", "", True),
        ("", "a", False),
        ("h[a-c]llo", "hbllo", True),
        ("h[c-a]llo", "hbllo", True),
        ("h[^a-c]llo", "hbllo", False),
        (r"a\*b", "a*b", True),
        (r"a\*b", "axb", False),
        (r"[\]]", "]", True),
        ("[]", "a", False),
        ("[^]", "a", True),
        ("a[", "a", False),
        ("*" * 100 + "b", "a" * 100, False),
        ("ab*ba", "aba", False),
        ("*.[ch]", "glob.c", True),
    ],
)
def test_special_characters(pattern: str, text: str, matches: bool) -> None:
    assert Glob(pattern).matches(text) == matches
