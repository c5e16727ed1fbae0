"""The longest common subsequence of the bytes of two keys."""

from __future__ import annotations

from typing import Any, Collection, Dict, List, NamedTuple, Tuple

from application.budget import Budget
from application.commands.base import Command, register
from application.commands.strings.base import bytes_at
from domain.store import Store


class Commons(NamedTuple):
    """A longest common subsequence: its bytes, and where its parts are in both, from the last on:
    start and end in the one, start and end in the other."""

    data: bytes
    matches: List[Tuple[int, int, int, int]]


@register
class Lcs(Command[Commons], tag="LCS", kw_only=False, gc=False):
    """Find the longest common subsequence of the bytes of two keys."""

    readonly = True
    cost = 1000

    one: str
    other: str

    def run(self, store: Store, budget: Budget) -> Commons:
        one, other = bytes_at(store, self.one, budget), bytes_at(store, self.other, budget)
        if not one or not other:
            return Commons(b"", [])
        budget.open(_CELL_COST * len(one) * (_ROW_CELLS + len(other)))
        return _common(one, other)

    def named_keys(self) -> Collection[str]:
        return (self.one, self.other)


_CELL_COST, _ROW_CELLS = 8, 16
"""Bytes that a pair of bytes counts for as opened, each of one value: comparing them takes about as
long; and how many pairs each byte of the first value takes as long as, beside its own."""


@register
class LcsMatches(Lcs, tag="LCSIDX", gc=False):
    """Find where the longest common subsequence is in both, from the last part on; parts that are
    shorter than `shortest` are left out."""

    shortest: int = 0
    with_lengths: bool = False

    def run(self, store: Store, budget: Budget) -> Any:
        found = super().run(store, budget)
        matches = [
            [[start, end], [its_start, its_end], *([end - start + 1] if self.with_lengths else [])]
            for start, end, its_start, its_end in found.matches
            if end - start + 1 >= self.shortest
        ]
        return Matches(matches=matches, len=len(found.data))


class Matches(Dict[str, Any]):
    """The parts, by name."""


def _common(one: bytes, other: bytes) -> Commons:
    rows: List[List[int]] = [[0] * (len(other) + 1)]
    for byte in one:
        above, row = rows[-1], [0]
        for index, its in enumerate(other):
            row.append(above[index] + 1 if byte == its else max(above[index + 1], row[index]))
        rows.append(row)
    i, j = len(one), len(other)
    data = bytearray()
    matches: List[Tuple[int, int, int, int]] = []
    while i and j:
        if one[i - 1] == other[j - 1]:
            i, j = i - 1, j - 1
            data.append(one[i])
            if matches and matches[-1][0] == i + 1 and matches[-1][2] == j + 1:
                matches[-1] = (i, matches[-1][1], j, matches[-1][3])
            else:
                matches.append((i, i, j, j))
        elif rows[i - 1][j] > rows[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return Commons(bytes(data[::-1]), matches)
