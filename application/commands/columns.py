"""Commands of one kind as columns: the values of one field after another.

Rule: they are the commands that they stand for. What looks at many of them reads a column; what
looks at one has it made.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Dict, Iterator, List, Optional, Sequence, Type, TypeVar, Union, overload

from application.commands.base import Command, Id, OneKey

T = TypeVar("T")


class Columns(Sequence[Command[Any]]):
    """Commands of a kind on a key each; `columns` are the keys, and then the values of the fields
    behind. All have the same values of the other fields, `shared`, the id among them."""

    __slots__ = ("columns", "id", "kind", "shared")

    def __init__(
        self, kind: Type[Command[Any]], shared: Dict[str, Any], *columns: Sequence[Any]
    ) -> None:
        self.kind = kind
        self.shared = shared
        self.columns = columns
        self.id: Id = shared["id"]

    def __len__(self) -> int:
        return len(self.columns[0])

    def __iter__(self) -> Iterator[Command[Any]]:
        kind, shared = self.kind, self.shared
        return (kind(*row, **shared) for row in zip(*self.columns))

    @overload
    def __getitem__(self, index: int) -> Command[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> Columns: ...

    def __getitem__(self, index: Union[int, slice]) -> Any:
        columns = [column[index] for column in self.columns]
        if isinstance(index, slice):
            return Columns(self.kind, self.shared, *columns)
        return self.kind(*columns, **self.shared)


def kind_of(commands: Sequence[object]) -> Optional[Type[Any]]:
    """The type that all have; None when they differ."""
    if type(commands) is Columns:
        return commands.kind
    kinds = set(map(type, commands))
    return kinds.pop() if len(kinds) == 1 else None


def keys_of(commands: Sequence[Any]) -> Sequence[str]:
    """The keys of commands on one each."""
    if type(commands) is Columns:
        return commands.columns[0]
    return [command.key for command in commands]


def keys_named_by(commands: Sequence[Command[Any]]) -> Sequence[str]:
    """All keys of commands of one kind, on any number of them."""
    if type(commands) is Columns or isinstance(commands[0], OneKey):
        return keys_of(commands)
    return [key for command in commands for key in command.named_keys()]


def in_parts(column: Sequence[T], counts: Sequence[int]) -> List[Sequence[T]]:
    """A sequence cut into parts of so many."""
    ends = [*accumulate(counts)]
    return [column[start:end] for start, end in zip([0, *ends], ends)]
