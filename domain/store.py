"""The port that a storage engine implements.

Rule: a store maps keys to JSON texts that it never opens. Every method is atomic: whoever else uses
the store sees all of its effect or none.
"""

from __future__ import annotations

from typing import Dict, Mapping, Optional, Protocol, Sequence


class Store(Protocol):
    """Keys are any `str`; a text is the UTF-8 `bytes` of one JSON value."""

    def get(self, key: str) -> Optional[bytes]:
        """The text at `key`, or None when there is none."""
        ...

    def get_many(self, keys: Sequence[str]) -> Dict[str, bytes]:
        """The texts of those of `keys` that are there, in their order."""
        ...

    def set(self, key: str, text: bytes) -> None:
        """Keep `text` at `key`, in place of whatever was there."""
        ...

    def set_many(self, items: Mapping[str, bytes]) -> None:
        """Keep every text of `items` at its key."""
        ...

    def delete(self, key: str) -> bool:
        """Remove `key`; whether it was there."""
        ...

    def clear(self) -> int:
        """Remove every key; how many there were."""
        ...

    def tidy(self) -> bool:
        """Do a little of the work that was put off, for a millisecond or so; whether more is left.

        Nothing that any other method gives depends on it.
        """
        ...
