"""What all commands have in common, and how a record becomes one of them.

Rule: a command is plain data that reads and writes the store through `Store` alone, within the
budget that it is given. Codecs, clients, the shell and the documentation are made from the record.

A member of type `Raw`, and a result of type `bytes`, is the text of one JSON value. `UNSET` is the
absence of a member, and as a result means that nothing is there, which is not `null`.
"""

from __future__ import annotations

from types import ModuleType
from typing import (
    Any,
    Callable,
    ClassVar,
    Collection,
    Dict,
    Generator,
    Generic,
    List,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from msgspec import UNSET, Struct, UnsetType

from application.budget import Budget
from application.snapshot_read import SteppedStore
from application.steps import at_once
from domain.errors import BadRequest
from domain.store import Change, Store, legal_ttl

R = TypeVar("R")
C = TypeVar("C", bound="Type[Command[Any]]")
Id = Union[str, int, UnsetType]
Ttl = Union[float, UnsetType]
"""Seconds to live."""

MaybeText = Union[bytes, UnsetType]

Run = Callable[[Store, Budget], R]


class Results(Struct, gc=False):
    """Those of some commands in their order, the bytes of the texts among them, and whether errors
    are among them, each in the place of its command's result."""

    results: Sequence[object]
    size: int
    has_errors: bool = False


_REGISTERED: Dict[str, List[Type[Command[Any]]]] = {}


class Command(
    Struct, Generic[R], tag_field="type", forbid_unknown_fields=True, kw_only=True, gc=False
):
    """One request for a result of type `R`; `id` is the client's own mark and changes nothing."""

    cost: ClassVar[int] = 0
    """The work beside that for the keys it names, in a batch: 1 is about that of one SET."""
    readonly: ClassVar[bool] = False
    """Whether it changes nothing, so that it can be repeated."""
    in_batch: ClassVar[bool] = True
    """Whether it may stand in a BATCH."""
    has_one_text: ClassVar[bool] = False
    """Whether its result has the text of one value at the most: it is executed without a closer
    look."""

    id: Id = UNSET

    def run(self, store: Store, budget: Budget) -> R:
        """Execute the command on `store` within `budget`; raises `KvError`."""
        raise NotImplementedError

    def prepare(self, budget: Budget) -> Generator[None, None, Run[R]]:
        """Do in short steps the work of `run` that needs no store, such as checking a long value,
        and return what does the rest of it; by default that is all."""
        return at_once(self.run)

    def run_in_steps(self, store: SteppedStore, budget: Budget) -> Generator[None, None, R]:
        """Execute the command in short steps, between which others use the store; by default, once
        it is prepared, it is one."""
        run = yield from self.prepare(budget)
        return run(store, budget)

    @classmethod
    def run_many(
        cls, commands: Sequence[Command[Any]], store: Store, budget: Budget
    ) -> Optional[Results]:
        """Execute commands of this kind at once, with the effect that they have one after another.
        None where they are to be executed one by one; so when it raises, without any effect."""
        return None

    @classmethod
    def run_each(cls, commands: Sequence[Command[Any]], store: Store, budget: Budget) -> Results:
        """`run_many` for a kind whose commands are quick, so that no turn ends between two of them,
        and gain nothing by being done together."""
        results: List[object] = []
        has_errors = False
        for command in commands:
            try:
                results.append(command.run(store, budget))
            except Exception as error:  # noqa: BLE001 - it takes the result's place
                results.append(error)
                has_errors = True
        return Results(results, 0, has_errors)

    @property
    def is_quick(self) -> bool:
        """Whether it takes no longer than the request is long, whatever is stored."""
        return False

    def named_keys(self) -> Collection[str]:
        """The keys that the request names, for the bounds on their length and number."""
        return ()

    def value_bytes(self) -> int:
        """How many bytes of values the command checks."""
        return 0

    def touches_keyspace(self) -> bool:
        """Whether the command is about every key of the store, so that keys whose time is up have
        to be removed first."""
        return False

    def may_write(self) -> bool:
        """Whether the request may change the store."""
        return not self.readonly

    def shown_keys(self) -> Optional[Collection[str]]:
        """The keys that the reply tells something of; None for those of the whole store."""
        return None if self.touches_keyspace() else self.named_keys()

    def carried_out(self) -> Sequence[Command[Any]]:
        """The commands that were carried out when it was, for the statistics."""
        return (self,)


class OneKey(Command[R], kw_only=False, gc=False):
    """A command on a single key."""

    has_one_text = True

    key: str

    def named_keys(self) -> Collection[str]:
        return (self.key,)

    def shown_keys(self) -> Optional[Collection[str]]:
        return (self.key,)  # as above, without two calls for each reply


QUICK_KEYS = 100
"""The keys of a quick request, at the most."""


class ManyKeys(Command[R], kw_only=False, gc=False):
    """A command on a list of keys."""

    keys: List[str]

    @property
    def is_quick(self) -> bool:
        return len(self.keys) <= QUICK_KEYS

    def named_keys(self) -> Collection[str]:
        return self.keys


def register(kind: C) -> C:
    """Registers a record as a command of its module's family."""
    _REGISTERED.setdefault(kind.__module__, []).append(kind)
    return kind


def renamed(kind: Any, name: str, module: str, **others: object) -> Any:
    """A kind of a module that differs from another in its name, and in some class variables."""
    namespace = {"__module__": module, "__doc__": kind.__doc__, **others}
    return type(kind)(kind.__name__, (kind,), namespace, tag=name, gc=False)


def registered(*families: ModuleType) -> Tuple[Type[Command[Any]], ...]:
    """The commands of the families, in the order of their definition."""
    return tuple(kind for family in families for kind in _REGISTERED[family.__name__])


def name_of(kind: Type[Command[Any]]) -> str:
    """The command's name on the wire, such as `GET`."""
    return str(kind.__struct_config__.tag)


def legal(ttl: Ttl, keep_ttl: bool = False) -> Optional[float]:
    """The ttl to store, None for a key that does not expire, or keeps the one it has; raises
    `BadRequest`."""
    if isinstance(ttl, UnsetType):
        return None
    if keep_ttl:
        raise BadRequest("`ttl` and `keep_ttl` exclude each other")
    return legal_ttl(ttl)


def changed(store: Store, key: str, change: Change) -> bool:
    """Update a key; whether that changed anything."""
    before, after = store.update(key, change)
    return after is not before
