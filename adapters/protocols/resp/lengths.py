"""What stands for a length in a protocol, such as the line before an argument."""

from __future__ import annotations

from typing import Callable, Dict, TypeVar

T = TypeVar("T")

KEPT = 4 * 1024
"""Up to so long a length has what stands for it kept."""


class Lengths(Dict[int, T]):
    """That of each length, made when it is first asked for."""

    def __init__(self, make: Callable[[int], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, size: int) -> T:
        made = self._make(size)
        if size <= KEPT:
            self[size] = made
        return made
