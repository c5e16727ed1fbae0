"""Changes to an input that keep most of it JSON lines, which changes of single bytes seldom do.

Rule: the same input, chance and vocabulary give the same output.
"""

from __future__ import annotations

import re
from random import Random
from typing import List, Sequence

TOKEN = re.compile(rb'"(?:[^"\\\n]|\\.)*"|[-+.\w]+|[^"\w]|"', re.DOTALL)


def mutated(data: bytes, chance: Random, lines: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """`data` with one to four places where lines or tokens, its own or these, replace others."""
    for _ in range(chance.randint(1, 4)):
        if chance.random() < 0.4:
            data = b"".join(_edited(data.splitlines(keepends=True), chance, lines))
        else:
            data = b"".join(_edited(TOKEN.findall(data), chance, tokens))
    return data


def _edited(parts: List[bytes], chance: Random, others: Sequence[bytes]) -> List[bytes]:
    source = others if not parts or chance.random() < 0.5 else parts
    start = chance.randrange(len(source))
    new = source[start : start + chance.choice((0, 1, 1, 2, 5))]
    at = chance.randint(0, len(parts))
    return [*parts[:at], *new, *parts[at + chance.choice((0, 0, 1, 1, 2, 5)) :]]
