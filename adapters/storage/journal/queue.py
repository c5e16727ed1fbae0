"""The changes that are not on the disk yet, in batches.

Rule: a batch holds whole requests and becomes one frame: after a crash all of it is there, or
nothing of it. Replies that tell of a key in a batch wait for the newest such batch, and no others
wait.

For that a batch keeps the last change of each key. Where replies wait for no keys, many short texts
that were stored together are encoded as they come, while they are in the processor's cache, and are
not kept.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import (
    Callable,
    Collection,
    Deque,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Union,
    cast,
)

from msgspec import Raw

from adapters.storage.journal.frames import Change, Record, Texts, encode_record, records_of
from application.ports import Restriction
from domain.effects import Cleared, Effect, Put, PutMany, Reason, Removed

FRAME_BYTES = 1 << 18
"""Of keys and texts, after which a batch is closed."""

FEW, ENCODED_BYTES = 4, 1 << 14
"""Up to so many texts that were stored together, and from so many bytes of texts on, they
are referred to, not encoded as they come: few are quicker merged, and the disk may be slow."""

MAX_BATCHES_AT_ONCE = 16
"""How many are taken to be written; to encode them takes some milliseconds."""

MAX_BATCHES = 256
"""How many may be behind before all replies wait."""


class ChangeBatch:
    """What becomes one frame; `number` is the frame's. `expired` are keys that came due, before
    any of the `changes`, and after what the records tell that were `encoded` already."""

    __slots__ = ("changes", "encoded", "expired", "is_cleared", "number", "size", "waiting")

    def __init__(self, number: int) -> None:
        self.number = number
        self.encoded: List[Raw] = []
        self.changes: Dict[str, Change] = {}
        self.expired: List[str] = []
        self.is_cleared = False
        self.size = 0
        self.waiting: List[Callable[[], None]] = []

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.changes or self.encoded or self.expired or self.is_cleared)

    def encode(self, texts: Mapping[str, bytes]) -> int:
        """Encodes texts that were stored, behind all that there is; returns how long that is."""
        if self.changes or self.expired or self.is_cleared:
            self.encoded += map(Raw, map(encode_record, self._rest()))
            self.changes, self.expired, self.is_cleared = {}, [], False
        data = encode_record(Texts(texts))  # type: ignore[arg-type]  # it is not changed
        self.encoded.append(Raw(data))
        return len(data)

    def clear(self) -> None:
        """Every key was removed."""
        self.encoded.clear()
        self.changes.clear()
        self.is_cleared = True

    def records(self) -> List[Union[Record, Raw]]:
        """The payload of the frame."""
        return [*self.encoded, *self._rest()]

    def _rest(self) -> List[Record]:
        return records_of(self.changes, self.is_cleared, self.expired)


class ChangeQueue:
    """The batches in their order. The last one takes what comes; those taken to be written stay
    until they are `done`. `offset` makes a deadline a time since 1970; `filled` is called when
    there is something in a batch that was empty; `restrictions` has `BEHIND` while more than
    `MAX_BATCHES` are not done; `newest` is only asked of some that `tracks_keys`.

    That a key came due is no news to the disk, which has its deadline, so no reply waits for that:
    it is written for a clock that is set back.
    """

    def __init__(
        self,
        offset: Callable[[], float],
        filled: Callable[[], None],
        restrictions: Set[Restriction],
        tracks_keys: bool,
    ) -> None:
        self._encodes_up_to = -1 if tracks_keys else ENCODED_BYTES
        self._offset = offset
        self._filled = filled
        self._restrictions = restrictions
        self._batches: Deque[ChangeBatch] = deque()
        self._taken = 0
        self.restart(0)

    @property
    def number(self) -> int:
        """Of the last frame that there is anything for."""
        return self._open.number - 1

    @property
    def last(self) -> int:
        """Of the last frame, once what there is has been taken."""
        return self.number + bool(self._open)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(len(batch.waiting) for batch in self._batches)

    def restart(self, number: int) -> None:
        """Goes on behind the frame with a number."""
        self._batches.clear()
        self._begin(number + 1)

    def add(self, effects: Sequence[Effect]) -> None:
        """Adds what one request did."""
        batch = self._open
        changes = batch.changes
        if not (changes or batch.encoded):
            self._filled()
        size = 0
        for effect in effects:
            if type(effect) is Put:
                key, text, due = effect
                changes[key] = text if due is None else (text, due + self._offset())
                size += len(key) + len(text)
            elif type(effect) is PutMany:
                size += self._add_many(batch, *effect)
                changes = batch.changes
            elif type(effect) is Cleared:
                batch.clear()
            else:
                key, reason = cast(Removed, effect)
                if reason is Reason.EXPIRED and key not in changes:
                    batch.expired.append(key)
                else:
                    changes[key] = None
                size += len(key)
        batch.size += size
        if batch.size > FRAME_BYTES:
            self.close_batch()

    def _add_many(
        self, batch: ChangeBatch, items: Mapping[str, bytes], due: Optional[float]
    ) -> int:
        """Adds texts that were stored together; returns the bytes that they count for."""
        size = sum(map(len, items.values()))
        if due is None and size <= self._encodes_up_to and len(items) > FEW:
            return batch.encode(items)
        if due is None:
            batch.changes.update(items)
        else:
            due += self._offset()
            batch.changes.update({key: (text, due) for key, text in items.items()})
        return size + sum(map(len, items))

    def close_batch(self) -> None:
        """Ends the last batch, which becomes a frame even if it is empty."""
        self._begin(self._open.number + 1)

    def _begin(self, number: int) -> None:
        self._open = ChangeBatch(number)
        self._batches.append(self._open)
        if len(self._batches) > MAX_BATCHES:
            self._restrictions.add(Restriction.BEHIND)

    def newest(self, keys: Optional[Collection[str]]) -> int:
        """The number of the newest batch whose changes a reply shows that tells of `keys`, of any
        for None; 0 for none."""
        for batch in reversed(self._batches):
            changes = batch.changes
            touched = changes if keys is None else not changes.keys().isdisjoint(keys)
            if touched or batch.is_cleared:
                return batch.number
        return 0

    def backlog(self) -> int:
        """The number of the last closed batch, when too many are not done; 0 else, and while the
        disk is full, when none is added by a reply."""
        restrictions = self._restrictions
        is_behind = Restriction.BEHIND in restrictions and Restriction.FULL not in restrictions
        return self.number if is_behind else 0

    def when_done(self, number: int, *wakes: Callable[[], None]) -> bool:
        """Calls `wakes` once the batch with a number is done; false when it is done already."""
        index = number - self._batches[0].number
        if index >= 0:
            self._batches[index].waiting += wakes
        return index >= 0

    def wake_all(self) -> None:
        """Calls what waits for any batch."""
        for batch in self._batches:
            waiting, batch.waiting = batch.waiting, []
            for wake in waiting:
                wake()

    def take(self) -> List[ChangeBatch]:
        """What is to be written next."""
        if self._open:
            self.close_batch()
        self._taken = min(len(self._batches) - 1, MAX_BATCHES_AT_ONCE)
        return list(islice(self._batches, self._taken))

    @property
    def has_more(self) -> bool:
        """Whether there is more to write than was taken."""
        return self._taken < len(self._batches) - 1

    def done(self) -> None:
        """What was taken is written, and on the disk if it has to be."""
        batches = [self._batches.popleft() for _ in range(self._taken)]
        self._taken = 0
        if len(self._batches) <= MAX_BATCHES:
            self._restrictions.discard(Restriction.BEHIND)
        for batch in batches:
            for wake in batch.waiting:
                wake()
