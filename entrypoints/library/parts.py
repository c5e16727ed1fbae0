"""Keys in parts whose values one reply has room for.

Rule: the keys keep their order. A part whose values were too large together is halved.
"""

from __future__ import annotations

from typing import Iterator, List


class Parts:
    """Parts of some keys, the whole at first."""

    def __init__(self, keys: List[str]) -> None:
        self._left = [keys] if keys else []

    def __iter__(self) -> Iterator[List[str]]:
        while self._left:
            yield self._left.pop()

    def halve(self, part: List[str]) -> bool:
        """Has the halves of a part come next; false when there are none."""
        middle = len(part) // 2
        if middle:
            self._left += [part[middle:], part[:middle]]
        return middle > 0
