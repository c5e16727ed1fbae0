"""Commands that count."""

from __future__ import annotations

from typing import Optional, Union

import msgspec
from msgspec import UNSET

from application.budget import Budget
from application.commands.base import OneKey, Ttl, legal, register
from application.json_values import added, number
from domain.errors import NotANumber
from domain.store import Entry, Store


@register
class Incr(OneKey[Union[int, float]], tag="INCR", gc=False):
    """Add to the number at a key, or to 0 when it is missing, and return the sum.

    A ttl counts only when the key is made; one that it has stays.
    """

    is_quick = True

    by: Union[int, float] = 1
    ttl: Ttl = UNSET

    def run(self, store: Store, budget: Budget) -> Union[int, float]:
        ttl = legal(self.ttl)

        def change(before: Optional[Entry]) -> Entry:
            text, left = before or Entry(b"0", ttl)
            try:
                total = added(text, self.by, budget.open)
            except NotANumber as error:
                raise NotANumber(f"the value at `{self.key:.100}` is {error}") from None
            return Entry(msgspec.json.encode(total), left)

        _, after = store.update(self.key, change)
        assert after
        return number(after.text)
