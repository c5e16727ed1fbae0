"""The commands for Python programs: arguments are Python objects, and so are results.

Rule: each function defines one method of every kind of client, in its signature and docstring,
once; kinds of clients differ only in how they send the request. `REQUESTS` is the one list.
"""

from __future__ import annotations

import math
from typing import (
    Any,
    Callable,
    Dict,
    Generic,
    Iterable,
    List,
    Literal,
    Mapping,
    NamedTuple,
    Optional,
    Type,
    TypeVar,
    Union,
    overload,
)

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from adapters.client.python_values import as_type, check_type, to_json
from application import commands
from application.commands import Command
from domain.errors import BadRequest

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
D = TypeVar("D")
N = TypeVar("N")


class Request(Struct, Generic[T], frozen=True):
    """A command, and the function that converts its result, in which values are Python objects, to
    what the caller is given."""

    command: Command[Any]
    decode: Callable[[Any], T]


REQUESTS: Dict[str, Callable[..., Request[Any]]] = {}
"""The function that makes the request, by the name of the method."""


def request(make: F) -> F:
    """Adds a function to `REQUESTS`; the tests tell when `methods.py` lacks it."""
    REQUESTS[make.__name__] = make
    return make


class Page(NamedTuple):
    """Some of the keys, and the cursor of the next page; None at the end."""

    keys: List[str]
    cursor: Optional[str]


@overload
def get(key: str) -> Request[Any]: ...
@overload
def get(key: str, default: Any) -> Request[Any]: ...
@overload
def get(key: str, *, decode_as: Type[T]) -> Request[Optional[T]]: ...
@overload
def get(key: str, default: D, *, decode_as: Type[T]) -> Request[Union[T, D]]: ...
@overload
def get(key: str, default: Any = None, *, decode_as: Any) -> Request[Any]: ...
@request
def get(key: str, default: Any = None, *, decode_as: Any = Any) -> Request[Any]:
    """Returns the value at `key`, or `default` when the key is missing.

    `decode_as` is the type to return, such as a dataclass or `List[int]`; raises `NotOfType`, whose
    `value` is the value, when it is of another. Repeated when the connection is lost.
    """
    return Request(commands.Get(_key(key)), _value_or(default, decode_as))


@request
def set(
    key: str,
    value: object,
    *,
    ttl: Optional[float] = None,
    keep_ttl: bool = False,
    if_: Optional[Literal["absent", "present"]] = None,
    if_equals: object = ...,
) -> Request[bool]:
    """Stores `value` at `key`; returns False when a condition does not hold and nothing changes.

    The key expires after `ttl` seconds, or never; with `keep_ttl` when the old value would have.
    Conditions: `if_` asks for a key that is "absent" or "present", `if_equals` for a stored value
    that equals this one. Never repeated.
    """
    command = commands.Set(
        _key(key),
        Raw(to_json(value)),
        ttl=_seconds(ttl),
        keep_ttl=keep_ttl,
        if_=_presence(if_, "absent", "present"),
        if_equals=_condition(if_equals),
    )
    return Request(command, bool)


@request
def delete(key: str, *, if_equals: object = ...) -> Request[bool]:
    """Removes `key`; returns False when it is missing, or its value differs from `if_equals`.

    Never repeated.
    """
    return Request(commands.Delete(_key(key), if_equals=_condition(if_equals)), bool)


@request
def flush() -> Request[int]:
    """Removes every key; returns how many there were. Never repeated."""
    return Request(commands.Flush(), int)


@overload
def mget(keys: Iterable[str]) -> Request[Dict[str, Any]]: ...
@overload
def mget(keys: Iterable[str], *, decode_as: Type[T]) -> Request[Dict[str, T]]: ...
@overload
def mget(keys: Iterable[str], *, decode_as: Any) -> Request[Dict[str, Any]]: ...
@request
def mget(keys: Iterable[str], *, decode_as: Any = Any) -> Request[Dict[str, Any]]:
    """Returns the values of those of `keys` that exist, each as `get` returns it.

    Repeated when the connection is lost.
    """

    return Request(commands.MGet(_keys(keys)), _values_as(decode_as))


@request
def mset(
    items: Mapping[str, object],
    *,
    ttl: Optional[float] = None,
    if_: Optional[Literal["absent"]] = None,
) -> Request[bool]:
    """Stores every value at its key, all at once; they expire after `ttl` seconds, or never.

    With `if_="absent"`, returns False and stores none when any of the keys exists. Never repeated.
    """
    if not isinstance(items, Mapping):
        raise TypeError(f"items is a {type(items).__name__}, not a mapping of keys to values")
    texts = {_key(key): Raw(to_json(value)) for key, value in items.items()}
    command = commands.MSet(texts, ttl=_seconds(ttl), if_=_presence(if_, "absent"))
    return Request(command, bool)


@request
def mdelete(keys: Iterable[str]) -> Request[int]:
    """Removes `keys`; returns how many of them existed. Never repeated."""
    return Request(commands.MDelete(_keys(keys)), int)


@request
def exists(key: str) -> Request[bool]:
    """Returns whether `key` exists. Repeated when the connection is lost."""
    return Request(commands.Exists(_key(key)), bool)


@overload
def getset(key: str, value: object, *, ttl: Optional[float] = None) -> Request[Any]: ...
@overload
def getset(
    key: str, value: object, default: Any, *, ttl: Optional[float] = None
) -> Request[Any]: ...
@overload
def getset(
    key: str, value: object, *, ttl: Optional[float] = None, decode_as: Type[T]
) -> Request[Optional[T]]: ...
@overload
def getset(
    key: str, value: object, default: D, *, ttl: Optional[float] = None, decode_as: Type[T]
) -> Request[Union[T, D]]: ...
@overload
def getset(
    key: str, value: object, default: Any = None, *, ttl: Optional[float] = None, decode_as: Any
) -> Request[Any]: ...
@request
def getset(
    key: str,
    value: object,
    default: Any = None,
    *,
    ttl: Optional[float] = None,
    decode_as: Any = Any,
) -> Request[Any]:
    """Stores `value` at `key`; returns the value before, or `default` when the key was missing.

    The key expires after `ttl` seconds, or never. When the value before is not of the type
    `decode_as`, the new one is stored all the same, and the one before is the `value` of the
    `NotOfType` that is raised. Never repeated.
    """
    command = commands.GetSet(_key(key), Raw(to_json(value)), ttl=_seconds(ttl))
    return Request(command, _value_or(default, decode_as))


@overload
def getdel(key: str) -> Request[Any]: ...
@overload
def getdel(key: str, default: Any) -> Request[Any]: ...
@overload
def getdel(key: str, *, decode_as: Type[T]) -> Request[Optional[T]]: ...
@overload
def getdel(key: str, default: D, *, decode_as: Type[T]) -> Request[Union[T, D]]: ...
@overload
def getdel(key: str, default: Any = None, *, decode_as: Any) -> Request[Any]: ...
@request
def getdel(key: str, default: Any = None, *, decode_as: Any = Any) -> Request[Any]:
    """Removes `key`; returns its value, or `default` when it was missing.

    When the value is not of the type `decode_as`, the key is removed all the same, and the value is
    the `value` of the `NotOfType` that is raised. Never repeated.
    """
    return Request(commands.GetDel(_key(key)), _value_or(default, decode_as))


@overload
def incr(key: str, by: int = 1, *, ttl: Optional[float] = None) -> Request[int]: ...
@overload
def incr(key: str, by: float, *, ttl: Optional[float] = None) -> Request[float]: ...
@request
def incr(key: str, by: float = 1, *, ttl: Optional[float] = None) -> Request[Any]:
    """Adds `by` to the number at `key`, 0 when it is missing; returns the sum.

    Whole numbers stay whole and within 64 bits; a stored fraction makes the sum a float. `ttl`, in
    seconds, counts only when the key is created. Raises `NotANumber` and `OutOfRange`. Never
    repeated.
    """
    return Request(commands.Incr(_key(key), by=_number("by", by), ttl=_seconds(ttl)), _unchanged)


@request
def ttl(key: str, default: Optional[float] = None) -> Request[Optional[float]]:
    """Returns the seconds until `key` expires, None when it never does, `default` when missing.

    Repeated when the connection is lost.
    """
    return Request(commands.GetTtl(_key(key)), lambda left: default if left is UNSET else left)


@request
def expire(key: str, ttl: float) -> Request[bool]:
    """Lets `key` expire after `ttl` seconds; returns False when it is missing. Never repeated."""
    return Request(commands.Expire(_key(key), _number("ttl", ttl)), bool)


@request
def persist(key: str) -> Request[bool]:
    """Lets `key` never expire; returns False when it had no ttl or is missing. Never repeated."""
    return Request(commands.Persist(_key(key)), bool)


@request
def count() -> Request[int]:
    """Returns the number of keys. Repeated when the connection is lost."""
    return Request(commands.Count(), int)


@request
def scan(prefix: str = "", cursor: Optional[str] = None, limit: int = 100) -> Request[Page]:
    """Returns up to `limit` of the keys that begin with `prefix`, and the next page's cursor.

    A page may be short or empty before the end. Repeated when the connection is lost.
    """
    command = commands.Scan(prefix=prefix, cursor=cursor, limit=_number("limit", limit))
    return Request(command, lambda page: Page(page.keys, page.cursor))


@request
def ping() -> Request[str]:
    """Returns "PONG". Repeated when the connection is lost."""
    return Request(commands.Ping(), str)


@request
def info() -> Request[Dict[str, Any]]:
    """Returns figures about the server, by section and name, as docs/protocol.md explains them.

    Repeated when the connection is lost.
    """
    return Request(commands.Info(), msgspec.to_builtins)


def _key(key: str) -> str:
    if isinstance(key, str):
        return key
    raise BadRequest(f"a key is a str, not {type(key).__name__}")


def _keys(keys: Iterable[str]) -> List[str]:
    if isinstance(keys, (str, bytes)):
        raise TypeError(f"keys are an iterable of str, such as a list, not {keys!r:.64}")
    return list(map(_key, keys))


def _presence(wanted: Any, *legal: str) -> Any:
    if wanted is None:
        return UNSET
    if wanted in legal:
        return wanted
    raise BadRequest(f"`if_` is {' or '.join(map(repr, legal))}, not {wanted!r:.64}")


def _value_or(default: Any, kind: Any) -> Callable[[Any], Any]:
    if default is None and kind is Any:
        return _value_or_none
    check_type(kind)
    return lambda value: default if value is UNSET else as_type(value, kind)


def _value_or_none(value: Any) -> Any:
    return None if value is UNSET else value


def _values_as(kind: Any) -> Callable[[Dict[str, Any]], Dict[str, Any]]:
    if kind is Any:
        return _unchanged
    check_type(kind)
    return lambda values: {key: as_type(value, kind) for key, value in values.items()}


def _condition(value: object) -> Union[Raw, UnsetType]:
    return UNSET if value is ... else Raw(to_json(value))


def _seconds(ttl: Optional[float]) -> Union[float, UnsetType]:
    return UNSET if ttl is None else _number("ttl", ttl)


def _number(name: str, number: N) -> N:
    """What is sent as it is, so that the server refuses what is no number. JSON has no infinity,
    and would have a string for a timedelta or Decimal."""
    if not isinstance(number, (int, float, str, list, dict)):
        raise BadRequest(f"`{name}` must be a number, not a {type(number).__name__}")
    if isinstance(number, float) and not math.isfinite(number):
        raise BadRequest(f"`{name}` must be finite, not {number}")
    return number


def _unchanged(result: Any) -> Any:
    return result
