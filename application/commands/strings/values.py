"""Commands that read and store the bytes of a key as a whole."""

from __future__ import annotations

from functools import partial
from typing import Any, Collection, Dict, Generator, List, Optional, Sequence, Tuple, Union

from application.budget import Budget
from application.byte_values import (
    to_text,
    to_text_in_steps,
    to_texts,
    to_texts_in_steps,
)
from application.commands.base import (
    QUICK_KEYS,
    Command,
    OneKey,
    Results,
    Run,
    changed,
    register,
)
from application.commands.columns import Columns, keys_of
from application.commands.strings.base import Condition, Lifetime, entry_of, opened
from application.commands.values import MGet, set_all
from domain.errors import TooLarge
from domain.store import Entry, Store, legal_ttl


@register
class Put(OneKey[bool], tag="SET", gc=False):
    """Store bytes, or those of a text, at a key, without a ttl; true."""

    is_quick = True

    data: Union[bytes, str]

    def run(self, store: Store, budget: Budget) -> bool:
        store.set(self.key, to_text(self.data))
        return True

    def prepare(self, budget: Budget) -> Generator[None, None, Run[bool]]:
        text = yield from to_text_in_steps(self.data)
        return partial(self._store, text)

    def _store(self, text: bytes, store: Store, budget: Budget) -> bool:
        store.set(self.key, text)
        return True

    @classmethod
    def run_many(cls, commands: Sequence[Any], store: Store, budget: Budget) -> Results:
        if type(commands) is Columns:
            keys, datas = commands.columns
        else:
            keys, datas = keys_of(commands), [command.data for command in commands]
        store.set_many(dict(zip(keys, to_texts(datas))))
        return Results([True] * len(commands), 0)


@register
class SetBytes(OneKey[Tuple[bool, Optional[bytes]]], tag="SET", gc=False):
    """Store bytes under conditions; whether it did, and, if it `gets` them, the bytes that were
    there before."""

    data: bytes
    lifetime: Optional[Lifetime] = None
    keep_ttl: bool = False
    condition: Condition = Condition()
    gets: bool = False

    @property
    def is_quick(self) -> bool:
        return not self.gets and self.condition.equals is None

    def prepare(self, budget: Budget) -> Generator[None, None, Run[Tuple[bool, Optional[bytes]]]]:
        text = yield from to_text_in_steps(self.data)
        return partial(self._store, text)

    def run(self, store: Store, budget: Budget) -> Tuple[bool, Optional[bytes]]:
        return self._store(to_text(self.data), store, budget)

    def _store(self, text: bytes, store: Store, budget: Budget) -> Tuple[bool, Optional[bytes]]:
        def change(before: Optional[Entry]) -> Optional[Entry]:
            if not self.condition.holds(before, budget):
                return before
            if self.keep_ttl:
                return Entry(text, before.ttl if before else None)
            return entry_of(text, self.lifetime)

        before, after = store.update(self.key, change)
        is_set = after is not before or (before is None and self.condition.holds(None, budget))
        return is_set, opened(before.text, budget) if before and self.gets else None


@register
class MSetBytes(Command[bool], tag="MSET", kw_only=False, gc=False):
    """Store bytes at many keys, all at once; with `if_absent` only when none of these is there."""

    items: Dict[str, bytes]
    if_absent: bool = False

    @property
    def is_quick(self) -> bool:
        return len(self.items) <= QUICK_KEYS

    def prepare(self, budget: Budget) -> Generator[None, None, Run[bool]]:
        texts = yield from to_texts_in_steps([*self.items.values()])
        return partial(self._store, texts)

    def run(self, store: Store, budget: Budget) -> bool:
        return self._store(to_texts([*self.items.values()]), store, budget)

    def _store(self, texts: List[bytes], store: Store, budget: Budget) -> bool:
        return set_all(store, dict(zip(self.items, texts)), None, self.if_absent)

    def named_keys(self) -> Collection[str]:
        return self.items


@register
class MGetEach(MGet, tag="MGET", gc=False):
    """The same as MGET; its reply has a value for each key that is named, also for one that is
    named twice, and is refused over `max_reply_bytes`."""

    max_reply_bytes: int = 0

    def check_size(self, found: Dict[str, bytes]) -> None:
        """Raises `TooLarge` before the reply is made."""
        size = sum(map(len, found.values()))
        if len(found) < len(self.keys):
            size = sum(len(found.get(key, b"")) for key in self.keys)
        if size > self.max_reply_bytes:
            most = f"at most {self.max_reply_bytes} (max_reply_bytes)"
            raise TooLarge(f"the values have {size} bytes; a reply has {most}")


@register
class GetEx(OneKey[Optional[bytes]], tag="GETEX", gc=False):
    """Return the bytes of a key, and set the time that it lives, or that it lives for ever."""

    lifetime: Optional[Lifetime] = None

    def run(self, store: Store, budget: Budget) -> Optional[bytes]:
        before, _ = store.update(self.key, self._after)
        return opened(before.text, budget) if before else None

    def _after(self, before: Optional[Entry]) -> Optional[Entry]:
        if before is None or (self.lifetime is None and before.ttl is None):
            return before
        return entry_of(before.text, self.lifetime)


@register
class DelIfEq(OneKey[bool], tag="DELIFEQ", gc=False):
    """Remove a key whose bytes are these."""

    data: bytes

    def run(self, store: Store, budget: Budget) -> bool:
        holds = Condition(equals=self.data).holds
        return changed(store, self.key, lambda before: None if holds(before, budget) else before)


@register
class ExpireIfEq(OneKey[bool], tag="EXPIREIFEQ", gc=False):
    """Set how many seconds a key lives whose bytes are these, and that has a ttl if it has to;
    `adds` them to that."""

    data: bytes
    seconds: float
    needs_ttl: bool = False
    adds: bool = False

    def run(self, store: Store, budget: Budget) -> bool:
        return changed(store, self.key, partial(self._change, budget))

    def _change(self, budget: Budget, before: Optional[Entry]) -> Optional[Entry]:
        if not Condition(equals=self.data).holds(before, budget):
            return before
        assert before
        if self.needs_ttl and before.ttl is None:
            return before
        left = self.seconds + (before.ttl or 0 if self.adds else 0)
        return Entry(before.text, legal_ttl(left)) if left > 0 else None
