"""Several commands in one request, all or nothing.

Rule: a batch returns the result of each of its commands as that command returns it by itself, and
knows nothing of replies; what all of them spend together is within the bounds of one request.
"""

from __future__ import annotations

from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Collection,
    Iterable,
    List,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
)

from application.budget import Budget
from application.commands import connection, counters, expiry, keyspace, values
from application.commands.base import QUICK_KEYS, Command, Id, register, registered
from application.json_text import json_size
from application.limits import Limits
from domain.errors import KvError, TooLarge
from domain.store import Store

IN_BATCH: Tuple[Type[Command[Any]], ...] = tuple(
    kind for kind in registered(values, counters, expiry, keyspace, connection) if kind.in_batch
)

VALUE_BYTES_PER_COST = 512
"""How many bytes of a value are checked in the time of about one SET."""

if TYPE_CHECKING:
    InBatch = Command[Any]
else:
    InBatch = Union[IN_BATCH]


@register
class Batch(Command[List[object]], tag="BATCH", kw_only=False):
    """Run commands all or nothing: if one is refused, none has had an effect.

    Returns the result of each. Nothing of other clients runs in between.
    """

    in_batch = False

    commands: List[InBatch]

    @property
    def is_quick(self) -> bool:
        return len(self.commands) <= QUICK_KEYS and all(each.is_quick for each in self.commands)

    def run(self, store: Store, budget: Budget) -> List[object]:
        """The results; raises `TooLarge` when the commands cost more than one request may, or
        their results are more than one reply can hold, and nothing has been done then."""
        check_cost(self.commands, budget.limits)
        return store.atomically(partial(self._run_all, budget))

    def named_keys(self) -> Collection[str]:
        return [key for command in self.commands for key in command.named_keys()]

    def touches_keyspace(self) -> bool:
        return any(command.touches_keyspace() for command in self.commands)

    def shown_keys(self) -> Optional[Collection[str]]:
        shows_all = any(command.shown_keys() is None for command in self.commands)
        return None if shows_all else self.named_keys()

    def may_write(self) -> bool:
        return any(command.may_write() for command in self.commands)

    def carried_out(self) -> Sequence[Command[Any]]:
        return (self, *self.commands)

    def _run_all(self, whole: Budget, store: Store) -> List[object]:
        """Has a budget of its own, since a store may run it again."""
        results: List[object] = []
        budget = whole.parts()
        budget.reply(_around(self.id))
        for command in self.commands:
            try:
                result = command.run(store, budget)
                budget.reply(_around(command.id) + json_size(result))
            except KvError as error:
                error.index = len(results)
                raise
            results.append(result)
        return results


def check_cost(commands: Iterable[Command[Any]], limits: Limits) -> None:
    """Raises `TooLarge` when commands cost more than one request may."""
    cost, most = sum(map(_cost, commands)), limits.max_batch_cost
    if cost > most:
        raise TooLarge(f"the batch costs {cost:,}; at most {most:,} (max_batch_cost)")


def _cost(command: Command[Any]) -> int:
    return (
        command.cost
        + max(1, len(command.named_keys()))
        + command.value_bytes() // VALUE_BYTES_PER_COST
    )


def _around(id: Id) -> int:
    """The bytes round a result in a reply, at the most."""
    return 64 + json_size(id)
