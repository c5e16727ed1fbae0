"""Commands that read, store and remove values."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Collection, Dict, Generator, Literal, Optional, Sequence, Union

from msgspec import UNSET, Raw, UnsetType

from application.budget import Budget
from application.commands.base import (
    QUICK_KEYS,
    Command,
    ManyKeys,
    MaybeText,
    OneKey,
    Results,
    Run,
    Ttl,
    changed,
    legal,
    register,
)
from application.commands.columns import keys_of
from application.json_text import (
    are_plain,
    validated,
    validated_in_steps,
    validated_items,
    validated_items_in_steps,
)
from application.json_values import same
from application.snapshot_read import SteppedStore, present, snapshot
from domain.store import Entry, Store


@register
class Get(OneKey[MaybeText], tag="GET", gc=False):
    """Return the value of a key; nothing when it is missing."""

    readonly = True
    is_quick = True

    def run(self, store: Store, budget: Budget) -> MaybeText:
        text = store.get(self.key)
        return UNSET if text is None else text

    @classmethod
    def run_many(cls, commands: Sequence[Any], store: Store, budget: Budget) -> Results:
        texts = store.get_many(keys_of(commands))
        if all(texts):
            return Results(texts, sum(map(len, texts)))  # type: ignore[arg-type]  # none is None
        size = sum(map(len, filter(None, texts)))
        return Results([text or UNSET for text in texts], size)


@register
class Set(OneKey[bool], tag="SET", rename={"if_": "if"}, gc=False):
    """Store a value at a key; false when a condition does not hold, and nothing changes.

    A ttl that the key had is cleared, unless a new one is given or the old one is kept.
    """

    value: Raw
    ttl: Ttl = UNSET
    keep_ttl: bool = False
    if_: Union[Literal["absent", "present"], UnsetType] = UNSET
    if_equals: Union[Raw, UnsetType] = UNSET

    @property
    def is_quick(self) -> bool:
        return self.if_equals is UNSET or _is_scalar(self.if_equals)

    def value_bytes(self) -> int:
        return _size(self.value) + _size(self.if_equals)

    def prepare(self, budget: Budget) -> Generator[None, None, Run[bool]]:
        text = yield from validated_in_steps(bytes(self.value), budget)
        wanted = yield from _wanted_in_steps(self.if_equals, budget)
        return partial(self._store, text, wanted)

    def run(self, store: Store, budget: Budget) -> bool:
        text = validated(bytes(self.value), budget)
        if (
            self.ttl is UNSET
            and not self.keep_ttl
            and self.if_ is UNSET
            and self.if_equals is UNSET
        ):
            store.set(self.key, text)
            return True
        return self._store(text, _wanted(self.if_equals, budget), store, budget)

    @classmethod
    def run_many(cls, commands: Sequence[Any], store: Store, budget: Budget) -> Optional[Results]:
        texts = [
            bytes(command.value)
            for command in commands
            if command.ttl is UNSET
            and not command.keep_ttl
            and command.if_ is UNSET
            and command.if_equals is UNSET
        ]
        if len(texts) < len(commands) or not are_plain(texts):
            return None
        store.set_many(dict(zip([command.key for command in commands], texts)))
        return Results([True] * len(commands), 0)

    def _store(self, text: bytes, wanted: Optional[bytes], store: Store, budget: Budget) -> bool:
        ttl = legal(self.ttl, self.keep_ttl)
        holds = _conditions(self.if_, wanted, budget)

        def change(before: Optional[Entry]) -> Optional[Entry]:
            if not holds(before):
                return before
            return Entry(text, before.ttl if self.keep_ttl and before else ttl)

        return changed(store, self.key, change)


@register
class Delete(OneKey[bool], tag="DELETE", gc=False):
    """Remove a key; false when it was missing, or a condition does not hold."""

    if_equals: Union[Raw, UnsetType] = UNSET

    @property
    def is_quick(self) -> bool:
        return self.if_equals is UNSET or _is_scalar(self.if_equals)

    def run(self, store: Store, budget: Budget) -> bool:
        if self.if_equals is UNSET:
            return store.delete((self.key,)) == 1
        return self._delete(_wanted(self.if_equals, budget), store, budget)

    @classmethod
    def run_many(
        cls, commands: Sequence[Command[Any]], store: Store, budget: Budget
    ) -> Optional[Results]:
        if any(command.value_bytes() for command in commands):
            return None
        return cls.run_each(commands, store, budget)

    def prepare(self, budget: Budget) -> Generator[None, None, Run[bool]]:
        wanted = yield from _wanted_in_steps(self.if_equals, budget)
        return partial(self._delete, wanted)

    def value_bytes(self) -> int:
        return _size(self.if_equals)

    def _delete(self, wanted: Optional[bytes], store: Store, budget: Budget) -> bool:
        holds = _conditions(UNSET, wanted, budget)
        return changed(store, self.key, lambda before: None if holds(before) else before)


@register
class MGet(ManyKeys[Dict[str, bytes]], tag="MGET", gc=False):
    """Return an object of those of the keys that are there, with their values."""

    readonly = True

    def run(self, store: Store, budget: Budget) -> Dict[str, bytes]:
        return present(self.keys, store.get_many(self.keys))

    def run_in_steps(
        self, store: SteppedStore, budget: Budget
    ) -> Generator[None, None, Dict[str, bytes]]:
        return snapshot(store, self.keys)


@register
class MSet(Command[bool], tag="MSET", kw_only=False, rename={"if_": "if"}, gc=False):
    """Store every value of an object at its key, all at once.

    With the condition that they be absent, none is stored when any of the keys is there.
    """

    items: Dict[str, Raw]
    ttl: Ttl = UNSET
    if_: Union[Literal["absent"], UnsetType] = UNSET

    @property
    def is_quick(self) -> bool:
        return len(self.items) <= QUICK_KEYS

    def value_bytes(self) -> int:
        return sum(map(_size, self.items.values()))

    def prepare(self, budget: Budget) -> Generator[None, None, Run[bool]]:
        texts = yield from validated_items_in_steps(self.items, budget)
        return partial(self._store, texts)

    def run(self, store: Store, budget: Budget) -> bool:
        return self._store(validated_items(self.items, budget), store, budget)

    def _store(self, texts: Dict[str, bytes], store: Store, budget: Budget) -> bool:
        return set_all(store, texts, legal(self.ttl), if_absent=self.if_ is not UNSET)

    def named_keys(self) -> Collection[str]:
        return self.items


@register
class MDelete(ManyKeys[int], tag="MDELETE", gc=False):
    """Remove many keys; the result is how many of them were there."""

    has_one_text = True

    def run(self, store: Store, budget: Budget) -> int:
        return store.delete(self.keys)


@register
class Exists(OneKey[bool], tag="EXISTS", gc=False):
    """Tell whether a key is there."""

    readonly = True
    is_quick = True

    def run(self, store: Store, budget: Budget) -> bool:
        return store.get(self.key) is not None


@register
class GetSet(OneKey[MaybeText], tag="GETSET", gc=False):
    """Store a value at a key and return the one that was there; nothing when there was none."""

    is_quick = True

    value: Raw
    ttl: Ttl = UNSET

    def value_bytes(self) -> int:
        return _size(self.value)

    def prepare(self, budget: Budget) -> Generator[None, None, Run[MaybeText]]:
        text = yield from validated_in_steps(bytes(self.value), budget)
        return partial(self._exchange, text)

    def run(self, store: Store, budget: Budget) -> MaybeText:
        return self._exchange(validated(bytes(self.value), budget), store, budget)

    def _exchange(self, text: bytes, store: Store, budget: Budget) -> MaybeText:
        after = Entry(text, legal(self.ttl))
        before, _ = store.update(self.key, lambda _: after)
        return before.text if before else UNSET


@register
class GetDel(OneKey[MaybeText], tag="GETDEL", gc=False):
    """Remove a key and return the value that was there; nothing when there was none."""

    is_quick = True

    def run(self, store: Store, budget: Budget) -> MaybeText:
        before, _ = store.update(self.key, lambda _: None)
        return before.text if before else UNSET


def _wanted(if_equals: Union[Raw, UnsetType], budget: Budget) -> Optional[bytes]:
    if isinstance(if_equals, UnsetType):
        return None
    return validated(bytes(if_equals), budget, "if_equals")


def _wanted_in_steps(
    if_equals: Union[Raw, UnsetType], budget: Budget
) -> Generator[None, None, Optional[bytes]]:
    if isinstance(if_equals, UnsetType):
        return None
    return (yield from validated_in_steps(bytes(if_equals), budget, "if_equals"))


def _conditions(
    presence: Union[str, UnsetType], wanted: Optional[bytes], budget: Budget
) -> Callable[[Optional[Entry]], bool]:
    """Whether the entry of a key meets the conditions of a command."""

    def hold(before: Optional[Entry]) -> bool:
        if presence is not UNSET and (before is not None) != (presence == "present"):
            return False
        return wanted is None or (before is not None and same(before.text, wanted, budget.open))

    return hold


def _is_scalar(text: Raw) -> bool:
    """Whether it is no array or object, so that it is soon compared, whatever with."""
    return bytes(memoryview(text)[:1]) not in (b"[", b"{")


def _size(text: Union[Raw, UnsetType]) -> int:
    return 0 if isinstance(text, UnsetType) else memoryview(text).nbytes


def set_all(store: Store, texts: Dict[str, bytes], ttl: Optional[float], if_absent: bool) -> bool:
    """Stores texts at their keys, with `if_absent` only when none of these is there; whether it
    did."""
    if if_absent:
        return store.atomically(partial(_set_absent, texts, ttl))
    store.set_many(texts, ttl)
    return True


def _set_absent(texts: Dict[str, bytes], ttl: Optional[float], store: Store) -> bool:
    if any(store.get_many(texts)):
        return False
    store.set_many(texts, ttl)
    return True
