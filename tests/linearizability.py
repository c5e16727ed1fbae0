"""Whether what clients saw can be explained by one order in which their commands took effect.

Rule: a history is linearizable (Herlihy & Wing, "Linearizability", 1990) when each operation can
have taken effect whole at one moment between its invocation and its return. One that got no answer
may have done so at any moment after its invocation, or never. What a command does is said here
anew, in `step`, so that a bug in the commands cannot excuse itself.

Keys are judged one by one, since linearizability is local. The search is that of Wing & Gong
("Testing and Verifying Concurrent Objects", 1993), which goes back over the orders there may have
been, as Lowe made it fast ("Testing for linearizability", 2017): it remembers the configurations
met, and places an operation just in time, no sooner than it or another returns.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import (
    Deque,
    Dict,
    FrozenSet,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import msgspec
from msgspec import UNSET, Raw, UnsetType

from application.commands import Delete, Get, Incr, Set

State = Optional[bytes]
"""The text of the value at the key; None when it is missing. Equal values have equal texts here:
they are whole numbers, and strings of plain letters."""

OneKeyCommand = Union[Get, Set, Delete, Incr]

SHOWN = 8
"""How many of the operations that returned before the one that cannot be explained are told."""


@dataclass(frozen=True, eq=False)
class Operation:
    """What one client asked and was answered, by a clock that all clients share.

    The result of a command that was refused is the code of its refusal.
    """

    client: int
    command: OneKeyCommand
    invoked: int
    returned: float = math.inf
    result: object = None

    @property
    def answered(self) -> bool:
        """Whether it returned; else its connection was cut, and its result means nothing."""
        return self.returned < math.inf

    def __str__(self) -> str:
        asked = f"client {self.client} {msgspec.json.encode(self.command).decode()}"
        if not self.answered:
            return f"[{self.invoked}, cut] {asked}"
        return f"[{self.invoked}, {self.returned}] {asked} gave {_shown(self.result)}"


class Violation(NamedTuple):
    """The first operation to return with what no order explains, and what is known of its key."""

    unplaced: Operation
    states: Sequence[State]
    """What the key held at the end of each order that explains all that had returned before."""
    under_way: Sequence[Operation]
    """What else had been asked and had not returned; in some of the orders it has taken effect."""
    before: Sequence[Operation]
    """What had returned last."""

    def __str__(self) -> str:
        states = " or ".join(sorted({_shown(state) for state in self.states}))
        return "\n  ".join(
            [
                f"key {self.unplaced.command.key!r} is not linearizable: no order explains",
                f"  {self.unplaced}",
                f"where the key held {states}, and there were under way",
                *_listed(self.under_way),
                "after there had returned",
                *_listed(self.before),
            ]
        )


class _Configuration(NamedTuple):
    """Where an order of operations has come to: what the key holds, and what of that under way has
    taken effect, which is `placed` if it is going to be answered and `spent` if it never is."""

    state: State
    placed: FrozenSet[Operation]
    spent: FrozenSet[Operation]


def find_violation(history: Sequence[Operation]) -> Optional[Violation]:
    """Why the history is not linearizable, at one of its keys; None when it is.

    All keys are missing at its start.
    """
    by_key: Dict[str, List[Operation]] = defaultdict(list)
    for operation in history:
        by_key[operation.command.key].append(operation)
    return next(filter(None, map(_violation_at_key, by_key.values())), None)


def step(state: State, command: OneKeyCommand) -> Tuple[State, object]:
    """The sequential specification: what the key holds after the command, and its result."""
    if isinstance(command, Get):
        return state, UNSET if state is None else state
    if isinstance(command, Incr):
        number = json.loads(state or b"0")
        if not isinstance(number, int):
            return state, "NOT_A_NUMBER"
        return b"%d" % (number + command.by), number + command.by
    if not _holds(command, state):
        return state, False
    return (bytes(command.value) if isinstance(command, Set) else None), True


def _holds(command: Union[Set, Delete], state: State) -> bool:
    """Whether the key is as the command wants it."""
    wanted: Union[Raw, UnsetType] = command.if_equals
    if not isinstance(wanted, UnsetType) and state != bytes(wanted):
        return False
    presence = command.if_ if isinstance(command, Set) else "present"
    return presence is UNSET or (state is not None) == (presence == "present")


def _violation_at_key(operations: Sequence[Operation]) -> Optional[Violation]:
    configurations = [_Configuration(None, frozenset(), frozenset())]
    under_way: List[Operation] = []
    before: Deque[Operation] = deque(maxlen=SHOWN)
    for operation, returns in _events(operations):
        if not returns:
            under_way.append(operation)
            continue
        reached = _place(operation, under_way, configurations)
        under_way.remove(operation)
        if not reached:
            states = [configuration.state for configuration in configurations]
            return Violation(operation, states, under_way, before)
        configurations = reached
        before.append(operation)
    return None


def _events(operations: Sequence[Operation]) -> Iterator[Tuple[Operation, bool]]:
    """Invocations and returns in the order of time; True is a return."""
    invocations = [(operation.invoked, False, operation) for operation in operations]
    returns = [(it.returned, True, it) for it in operations if it.answered]
    for _, is_return, operation in sorted([*invocations, *returns], key=lambda event: event[:2]):
        yield operation, is_return


def _place(
    returning: Operation, under_way: Sequence[Operation], configurations: Sequence[_Configuration]
) -> List[_Configuration]:
    """The configurations in which `returning` has taken effect, whatever else had to before it.

    Of two that differ in nothing but that one spent more of what got no answer, that one is
    dropped: the other can do all that it can.
    """
    reached: List[_Configuration] = []
    met: Dict[Tuple[State, FrozenSet[Operation]], List[FrozenSet[Operation]]] = defaultdict(list)
    waiting = deque(configurations)
    while waiting:
        state, placed, spent = configuration = waiting.popleft()
        if any(less <= spent for less in met[state, placed]):
            continue
        met[state, placed].append(spent)
        if returning in placed:
            reached.append(_Configuration(state, placed - {returning}, spent))
        else:
            waiting.extend(_next(configuration, under_way))
    return reached


def _next(
    configuration: _Configuration, under_way: Sequence[Operation]
) -> Iterator[_Configuration]:
    """Where one more operation leads, if its result is the one that was seen."""
    state, placed, spent = configuration
    for operation in under_way:
        if operation in placed or operation in spent:
            continue
        after, result = step(state, operation.command)
        if not operation.answered:
            if after != state:
                yield _Configuration(after, placed, spent | {operation})
        elif result == operation.result:
            yield _Configuration(after, placed | {operation}, spent)


def _listed(operations: Sequence[Operation]) -> List[str]:
    return [f"  {operation}" for operation in operations] or ["  nothing"]


def _shown(result: object) -> str:
    if result is None or result is UNSET:
        return "nothing"
    return result.decode() if isinstance(result, bytes) else str(result)
