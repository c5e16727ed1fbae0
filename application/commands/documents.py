"""Commands on a key's value as a document with a version, for protocols that have conditions on it.

Rule: the tag of a value is a hash of its text, so that equal texts have equal tags on every server;
so have those of a string that differ in escapes alone.
A condition is looked at in the same step as the change that it is for. The commands are in the
table `BYTE_COMMANDS`, not offered to JSON.
"""

from __future__ import annotations

import base64
import hashlib
from functools import partial
from typing import Generator, List, NamedTuple, Optional, Union

from msgspec import UNSET, UnsetType

from application.budget import Budget
from application.byte_values import to_bytes, to_text, to_text_in_steps
from application.commands.base import OneKey, Run, Ttl, changed, legal, register
from application.json_patch import Operation, json_patched, merge_patched
from application.json_text import validated, validated_in_steps
from application.json_values import Open
from domain.errors import BadRequest
from domain.store import Entry, Store

ANY = "*"
"""Stands in a condition for any value that is there."""


class ConditionFailed(BadRequest):
    """The value is not, or is, one of those that the request names."""

    code = "CONDITION_FAILED"


class TagCondition(NamedTuple):
    """What has to hold of a key: its value has one of the tags of `match`, and none of those of
    `none_match`; None names no condition."""

    match: Optional[List[str]] = None
    none_match: Optional[List[str]] = None

    @property
    def compares(self) -> bool:
        """Whether there is a tag to be made of the value."""
        return self.match is not None or self.none_match is not None

    def check(self, before: Optional[Entry]) -> None:
        """Raises `ConditionFailed` when it does not hold."""
        if not self.compares:
            return
        tags = {ANY, tag_of(before.text)} if before else set()
        if self.match is not None and tags.isdisjoint(self.match):
            raise ConditionFailed("the value is missing, or another one than the request expects")
        if self.none_match is not None and not tags.isdisjoint(self.none_match):
            raise ConditionFailed("the value is there, or is one that the request excludes")


class Written(NamedTuple):
    """What was done: whether the key is new, and the tag of its value now."""

    is_new: bool
    tag: str


def tag_of(text: bytes) -> str:
    """The tag of a value: 128 bits of a hash of its text, without the escapes that a string does
    not need, which an engine does not keep."""
    if text.startswith(b'"') and b"\\" in text:
        text = to_text(to_bytes(text), may_be_json=b"")
    digest = hashlib.blake2b(text, digest_size=16).digest()
    return base64.urlsafe_b64encode(digest)[:22].decode()


@register
class GetEntry(OneKey[Union[Entry, UnsetType]], tag="GET", gc=False):
    """Return the value of a key with the seconds left to it; nothing when it is missing. Raises
    `ConditionFailed` for one that is there."""

    readonly = True

    condition: TagCondition = TagCondition()

    @property
    def is_quick(self) -> bool:
        return not self.condition.compares

    def run(self, store: Store, budget: Budget) -> Union[Entry, UnsetType]:
        if store.get(self.key) is None:  # a read, for the statistics and the order of use
            return UNSET
        entry, _ = store.update(self.key, lambda before: before)
        if entry is None:
            return UNSET
        self.condition.check(entry)
        return entry


@register
class PutEntry(OneKey[Written], tag="SET", gc=False):
    """Store the text of a JSON value, or what other bytes stand for, under a condition; raises
    `ConditionFailed`."""

    value: bytes
    is_json: bool = True
    ttl: Ttl = UNSET
    keep_ttl: bool = False
    condition: TagCondition = TagCondition()

    @property
    def is_quick(self) -> bool:
        return not self.condition.compares

    def value_bytes(self) -> int:
        return len(self.value)

    def prepare(self, budget: Budget) -> Generator[None, None, Run[Written]]:
        if self.is_json:
            text = yield from validated_in_steps(self.value, budget)
        else:
            text = yield from to_text_in_steps(self.value)
        return partial(self._store, text)

    def run(self, store: Store, budget: Budget) -> Written:
        text = validated(self.value, budget) if self.is_json else to_text(self.value)
        return self._store(text, store, budget)

    def _store(self, text: bytes, store: Store, budget: Budget) -> Written:
        ttl = legal(self.ttl, self.keep_ttl)

        def change(before: Optional[Entry]) -> Entry:
            self.condition.check(before)
            return Entry(text, before.ttl if self.keep_ttl and before else ttl)

        before, _ = store.update(self.key, change)
        return Written(before is None, tag_of(text))


@register
class DeleteEntry(OneKey[bool], tag="DELETE", gc=False):
    """Remove a key under a condition; false when it was missing. Raises `ConditionFailed`."""

    condition: TagCondition = TagCondition()

    @property
    def is_quick(self) -> bool:
        return not self.condition.compares

    def run(self, store: Store, budget: Budget) -> bool:
        return changed(store, self.key, self._change)

    def _change(self, before: Optional[Entry]) -> None:
        self.condition.check(before)


class PatchEntry(OneKey[Union[Written, UnsetType]], gc=False):
    """Change the document at a key under a condition, and keep its ttl; nothing when the key is
    missing. Raises `ConditionFailed` and `PatchConflict`."""

    condition: TagCondition = TagCondition()

    def patched(self, text: bytes, open: Open) -> bytes:
        """The text that the patch makes of one, charging `open` for what it decodes."""
        raise NotImplementedError

    def run(self, store: Store, budget: Budget) -> Union[Written, UnsetType]:
        _, after = store.update(self.key, partial(self._change, budget))
        return Written(False, tag_of(after.text)) if after else UNSET

    def _change(self, budget: Budget, before: Optional[Entry]) -> Optional[Entry]:
        self.condition.check(before)
        if before is None:
            return None
        text = validated(self.patched(before.text, budget.parts().open), budget)
        return Entry(text, before.ttl)


@register
class MergePatch(PatchEntry, tag="MERGE_PATCH", kw_only=True, gc=False):
    """Apply a merge patch (RFC 7396), the text of a JSON value."""

    patch: bytes

    def patched(self, text: bytes, open: Open) -> bytes:
        return merge_patched(text, self.patch, open)


@register
class JsonPatch(PatchEntry, tag="JSON_PATCH", kw_only=True, gc=False):
    """Apply the operations of a JSON patch (RFC 6902), all of them or none."""

    patch: List[Operation]

    def patched(self, text: bytes, open: Open) -> bytes:
        return json_patched(text, self.patch, open)
