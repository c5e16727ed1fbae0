"""What the programs' texts share."""

from __future__ import annotations


def counted(number: int, what: str = "key") -> str:
    """A number with its noun."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
