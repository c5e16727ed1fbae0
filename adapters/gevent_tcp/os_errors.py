"""What an error of the system is about: `filename` names the file, or the address."""

from __future__ import annotations

import contextlib
from typing import Iterator


@contextlib.contextmanager
def about(name: str) -> Iterator[None]:
    """Names what an `OSError` of the block is about."""
    try:
        yield
    except OSError as error:
        error.filename = name
        raise
