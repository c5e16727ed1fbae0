"""Reads of many keys in steps, between which others use the store, that still see one moment.

Rule: the result is what was there at the read's last look at the store. The read listens to the
store's effects and brings up to date what it has read already, so nothing is read twice, and what
writers pay is a look at each reading for each key that they change.

A deadline that has passed shows in the effects only when the store acts on it. So at the end the
read lets the store expire what is due, until one call of `expire_due` has found no more: all that
is gone then is what was due at the instant of that call.
"""

from __future__ import annotations

from typing import Collection, Dict, Generator, Iterable, Optional, Protocol, Sequence

from domain.effects import Cleared, Effect, Observable, Put, PutMany
from domain.store import Maintained, Store

STEP_KEYS = 1000
"""How many keys are dealt with in a step, a millisecond's worth."""


class SteppedStore(Store, Maintained, Observable, Protocol):
    """What a store has to be for commands on it to be executed in steps."""


def snapshot(store: SteppedStore, keys: Sequence[str]) -> Generator[None, None, Dict[str, bytes]]:
    """Reads some of `keys` in each step; returns the texts of those that are there at the end, in
    their order. The store must not block, since an effect could then be told between two halves of
    a change."""
    read = SnapshotRead()
    unsubscribe = store.subscribe(read.listen)
    try:
        for start in range(0, len(keys), STEP_KEYS):
            part = keys[start : start + STEP_KEYS]
            read.add(part, store.get_many(part))
            yield
        while store.expire_due(STEP_KEYS) == STEP_KEYS:
            yield
    finally:
        unsubscribe()
    return read.found()


class SnapshotRead:
    """The keys that were read so far, with their texts as they are by now."""

    def __init__(self) -> None:
        self._texts: Dict[str, Optional[bytes]] = {}

    def add(self, keys: Sequence[str], texts: Sequence[Optional[bytes]]) -> None:
        """Adds keys that were read, and what was there."""
        self._texts.update(zip(keys, texts))

    def listen(self, effects: Sequence[Effect]) -> None:
        """Applies the store's effects to what was read."""
        texts = self._texts
        for effect in effects:
            if isinstance(effect, Cleared):
                self._texts = texts = dict.fromkeys(texts)
            elif isinstance(effect, PutMany):
                for key in texts.keys() & effect.items.keys():
                    texts[key] = effect.items[key]
            elif effect.key in texts:
                texts[effect.key] = effect.text if isinstance(effect, Put) else None

    def found(self) -> Dict[str, bytes]:
        """The texts of those keys that are there."""
        return present(self._texts, self._texts.values())


def present(keys: Iterable[str], texts: Collection[Optional[bytes]]) -> Dict[str, bytes]:
    """Those of the keys that have a text, each with its own."""
    if all(texts):
        return dict(zip(keys, texts))  # type: ignore[arg-type]  # none of them is None
    return {key: text for key, text in zip(keys, texts) if text is not None}
