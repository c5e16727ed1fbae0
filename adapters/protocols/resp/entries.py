"""What a Redis command is here: an entry of the table, and how its arguments are read.

Rule: an entry makes one of our commands, and tells the spelling of its result; it does nothing
itself. An arity below 0 is a minimum.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Tuple, Type, Union

from adapters.protocols.resp import replies
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.replies import Map, ReplyError, Status
from adapters.protocols.resp.session import Session
from application.budget import Budget
from application.commands import Command, strings
from application.commands.strings import Lifetime
from application.databases import DATABASES
from application.ports import Settled
from domain.store import MAX_TTL, Store

Made = Union[Tuple[Any, int], Settled]
"""A command of ours, and the number of the spelling of its result; or what is answered at once,
also within a transaction."""

Make = Callable[[Session, Arguments], Made]
Action = Callable[[Store, Budget], Any]

ONE, ALL, NONE, PAIRS, TWO = (1, 1, 1), (1, -1, 1), (0, 0, 0), (1, -1, 2), (1, 2, 1)
"""Where the keys of a command are: the first, the last and the step between them."""

OK = Status("OK")
SYNTAX = "ERR syntax error"
NO_INTEGER = "ERR value is not an integer or out of range"


class Do(Command[Any], tag="CONNECTION", kw_only=False, gc=False):
    """Does something about the connection or the server, and returns a reply."""

    readonly = True

    action: Action

    def run(self, store: Store, budget: Budget) -> Any:
        result = self.action(store, budget)
        return Map(result) if type(result) is dict else result


class Plain(NamedTuple):
    """Makes the commands of a kind whose arguments are a key, and bytes or nothing, and which all
    have the same values of other fields."""

    kind: Type[Command[Any]]
    spelling: int
    shared: Mapping[str, Any] = MappingProxyType({})

    def __call__(self, session: Session, arguments: Arguments) -> Made:
        kind: Callable[..., Command[Any]] = self.kind
        return kind(key_of(session, arguments[1]), *arguments[2:], **self.shared), self.spelling


class Does(NamedTuple):
    """Makes a `Do` of an action that is made of the arguments; one of the command's own name once
    it is in the table."""

    action: Callable[[Session, Arguments], Action]
    record: Callable[[Action], Do] = Do

    def __call__(self, session: Session, arguments: Arguments) -> Made:
        return self.record(self.action(session, arguments)), replies.REPLY


class Entry(NamedTuple):
    """A Redis command. One with `subcommands` is each of these; it stands for those not there."""

    name: str
    arity: int
    flags: str
    keys: Tuple[int, int, int]
    make: Union[Make, Plain, Does]
    changes_state: bool = False
    """Whether what follows is read as it has left things."""
    while_subscribed: bool = False
    """Whether a client of version 2 may send it while it has subscriptions."""
    is_always_answered: bool = False
    """Whether it says itself if there is an answer, whatever the mode was before."""
    group: str = ""
    """What Redis calls the family of commands."""
    subcommands: Dict[bytes, Entry] = {}  # noqa: RUF012 - never changed

    def takes(self, count: int) -> bool:
        """Whether it has so many arguments, its name included."""
        return count == self.arity or (self.arity < 0 and count >= -self.arity)


def family(name: str, flags: str, *entries: Entry) -> Entry:
    """A command of subcommands, which have its flags beside their own; HELP lists them."""
    names = sorted(each.name.upper() for each in entries)
    usage = f"{name.upper()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    told = [Status(line) for line in (usage, *names, "HELP")]
    named = {
        each.name.upper().encode(): each._replace(
            name=f"{name}|{each.name}", flags=f"{flags} {each.flags}".strip()
        )
        for each in (*entries, Entry("help", 2, "", NONE, returns(told)))
    }
    return Entry(name, -2, flags, NONE, _refuse_subcommand, subcommands=named)


def _refuse_subcommand(session: Session, arguments: Arguments) -> Made:
    name, subcommand = shown(arguments[0]).upper(), shown(arguments[1])
    raise ReplyError(f"ERR unknown subcommand '{subcommand}'. Try {name} HELP.")


def check_count(arguments: Arguments, most: int) -> None:
    """Refuses more arguments of a subcommand, both names included."""
    if len(arguments) > most:
        name, subcommand = shown(arguments[0]).upper(), shown(arguments[1])
        what = "unknown subcommand or wrong number of arguments"
        raise ReplyError(f"ERR {what} for '{subcommand}'. Try {name} HELP.")


def returns(value: Any) -> Does:
    """What makes a command that does nothing and returns a value."""
    return Does(lambda session, arguments: constant(value))


def constant(value: Any) -> Action:
    """An action that returns a value."""
    return lambda store, budget: value


def key_of(session: Session, argument: bytes) -> str:
    """The key as it is stored."""
    return session.prefix + argument.decode()


def keys_of(session: Session, arguments: Iterable[bytes]) -> List[str]:
    """The keys as they are stored."""
    keys = map(bytes.decode, arguments)
    return [session.prefix + key for key in keys] if session.prefix else list(keys)


def integer_of(argument: bytes, otherwise: str = NO_INTEGER) -> int:
    """A whole number of 64 bits; `otherwise` refuses what is none."""
    number = int(argument) if strings.is_integer(argument) else strings.MAX_INTEGER + 1
    if not strings.MIN_INTEGER <= number <= strings.MAX_INTEGER:
        raise ReplyError(otherwise)
    return number


UNITS = {b"EX": 1, b"PX": 1000, b"EXAT": 1, b"PXAT": 1000}
"""How many there are in a second."""


def seconds_of(argument: bytes, unit: int, command: str, least: float = -MAX_TTL) -> float:
    """The seconds of a ttl or an instant, in units of which a second has so many."""
    seconds = integer_of(argument) / unit
    if not least <= seconds <= MAX_TTL:
        raise ReplyError(f"ERR invalid expire time in '{command}' command")
    return seconds


def lifetime_of(session: Session, unit: bytes, argument: bytes, command: str) -> Lifetime:
    """The ttl of a SET or GETEX, or an instant; above 0 both."""
    if unit not in UNITS:
        raise ReplyError(SYNTAX)
    seconds = seconds_of(argument, UNITS[unit], command, least=0.001)
    return Lifetime(seconds, session.shared.wall if unit.endswith(b"AT") else None)


def text_of(argument: bytes) -> str:
    """What is shown or compared of an argument; bytes that are not UTF-8 stay apart."""
    return argument.decode("utf-8", "surrogateescape")


def shown(argument: bytes) -> str:
    """An argument in an error message."""
    return argument[:128].decode("utf-8", "replace")


def many(kind: Callable[[List[str]], Command[Any]], spelling: int) -> Make:
    """What makes a command of a kind that takes keys alone."""
    return lambda session, arguments: (kind(keys_of(session, arguments[1:])), spelling)


def database_of(argument: bytes) -> int:
    """The number of a database."""
    number = integer_of(argument)
    if not -(2**31) <= number < 2**31:
        raise ReplyError("ERR value is out of range, value must between -2147483648 and 2147483647")
    if not 0 <= number < DATABASES:
        raise ReplyError("ERR DB index is out of range")
    return number
