"""Brings a store to the state that records tell of.

Rule: a key is due at the same moment as before, whatever clock the store has. One that came due
while nothing ran is removed from the journal, too, so that a clock that is set back does not bring
it back. A key never has more than `MAX_TTL` left, however far the clock was set back.
"""

from __future__ import annotations

from typing import List, Protocol, Set

from adapters.storage.journal.clocks import Clocks
from adapters.storage.journal.frames import Emptied, Gone, Record, Texts, TimedTexts
from domain.store import MAX_TTL, Restorable, Store


class RestorableStore(Store, Restorable, Protocol):
    """What a store has to be for a journal to rebuild it."""


class Replay:
    """Does to a store what records tell."""

    def __init__(self, store: RestorableStore, clocks: Clocks) -> None:
        self._store = store
        self._clocks = clocks
        self.expired: Set[str] = set()
        """Keys that came due while nothing ran. They are to be removed in the journal, too, so that
        a clock that is set back does not bring them back."""

    def __call__(self, records: List[Record]) -> None:
        """Does what one frame tells."""
        for record in records:
            if isinstance(record, Texts):
                self._store.restore(record.items)
                if self.expired:
                    self.expired.difference_update(record.items)
            elif isinstance(record, TimedTexts):
                self._restore_timed(record)
            elif isinstance(record, Gone):
                self._store.delete(record.keys)
            elif isinstance(record, Emptied):
                self._store.clear()
                self.expired.clear()

    def _restore_timed(self, record: TimedTexts) -> None:
        now, offset = self._clocks.store(), self._clocks.offset()
        for key, (text, due) in record.items.items():
            if due - offset > now:
                self._store.restore({key: text}, min(due - offset, now + MAX_TTL))
                self.expired.discard(key)
            else:
                self._store.delete((key,))
                self.expired.add(key)
