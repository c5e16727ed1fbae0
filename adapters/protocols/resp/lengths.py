"""The lines that tell a length."""

from __future__ import annotations

from typing import Dict


class Lengths(Dict[int, bytes]):
    """Those of a form, such as `$%d`, by the length; those of long arguments are made as they are
    asked for."""

    def __init__(self, form: bytes) -> None:
        super().__init__({size: form % size for size in range(1024)})
        self._form = form

    def __missing__(self, size: int) -> bytes:
        return self._form % size
