"""Commands about the time that a key has left."""

from __future__ import annotations

from typing import Optional, Union

from msgspec import UNSET, UnsetType

from application.budget import Budget
from application.commands.base import OneKey, changed, register
from domain.store import Entry, Store, legal_ttl


@register
class GetTtl(OneKey[Union[float, None, UnsetType]], tag="TTL", gc=False):
    """Return the seconds left to a key; null when it never expires, nothing when it is missing."""

    readonly = True
    is_quick = True

    def run(self, store: Store, budget: Budget) -> Union[float, UnsetType, None]:
        entry, _ = store.update(self.key, lambda before: before)
        return entry.ttl if entry else UNSET


@register
class Expire(OneKey[bool], tag="EXPIRE", gc=False):
    """Set the seconds that a key has left; false when it is missing."""

    is_quick = True

    ttl: float

    def run(self, store: Store, budget: Budget) -> bool:
        ttl = legal_ttl(self.ttl)
        return changed(store, self.key, lambda before: before and Entry(before.text, ttl))


@register
class Persist(OneKey[bool], tag="PERSIST", gc=False):
    """Remove the ttl of a key; false when it had none, or is missing."""

    is_quick = True

    def run(self, store: Store, budget: Budget) -> bool:
        def change(before: Optional[Entry]) -> Optional[Entry]:
            return before if before is None or before.ttl is None else Entry(before.text)

        return changed(store, self.key, change)
