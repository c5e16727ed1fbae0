"""The commands for Python programs: arguments are Python objects, and so is what comes of them.

Rule: each function says what one method of every kind of client takes and gives, in its signature
and docstring, once; `Client`, `AsyncClient`, `Pipeline` and `Batch` differ only in how it is sent.
"""

from __future__ import annotations

import inspect
from functools import update_wrapper
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

from adapters.client.python_values import from_json, to_json
from application import commands
from application.commands import Command
from domain.errors import BadRequest

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
D = TypeVar("D")


class Request(Struct, Generic[T], frozen=True):
    """A command, and what makes its result the caller's."""

    command: Command[Any]
    decode: Callable[[Any], T]


def method_of(make: Callable[..., Request[Any]]) -> Callable[[F], F]:
    """Gives a method the name, the docstring and the arguments of the function that makes its
    request, for `help` and for editors."""

    def dress(method: F) -> F:
        update_wrapper(method, make)
        signature = inspect.signature(make)
        me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        dressed: Any = method
        dressed.__signature__ = signature.replace(
            parameters=[me, *signature.parameters.values()],
            return_annotation=inspect.Signature.empty,
        )
        return method

    return dress


class Page(NamedTuple):
    """Some of the keys, and the cursor to go on from; None at the end."""

    keys: List[str]
    cursor: Optional[str]


_ANY: Any = UNSET
"""Stands for a condition that is not made, since None is a value like any other."""


@overload
def get(key: str) -> Request[Any]: ...
@overload
def get(key: str, default: Any) -> Request[Any]: ...
@overload
def get(key: str, *, decode_as: Type[T]) -> Request[Optional[T]]: ...
@overload
def get(key: str, default: D, *, decode_as: Type[T]) -> Request[Union[T, D]]: ...
def get(key: str, default: Any = None, *, decode_as: Any = Any) -> Request[Any]:
    """The value at `key`; `default` when there is none.

    As a `decode_as`, such as a dataclass, if one is given; `NotOfType` is raised when the value is
    none. Repeated when the connection is lost.
    """
    return Request(commands.Get(_key(key)), _value_or(default, decode_as))


def set(
    key: str,
    value: object,
    *,
    ttl: Optional[float] = None,
    keep_ttl: bool = False,
    if_: Optional[Literal["absent", "present"]] = None,
    if_equals: object = _ANY,
) -> Request[bool]:
    """Store `value` at `key`; False when a condition did not hold, and nothing changed.

    It lives for `ttl` seconds, or for good; with `keep_ttl` as long as what was there. The
    conditions: the key is there or not, what is there equals a value. Never repeated.
    """
    command = commands.Set(
        _key(key),
        Raw(to_json(value)),
        ttl=_seconds(ttl),
        keep_ttl=keep_ttl,
        if_=UNSET if if_ is None else if_,
        if_equals=_condition(if_equals),
    )
    return Request(command, bool)


def delete(key: str, *, if_equals: object = _ANY) -> Request[bool]:
    """Remove `key`; False when it was not there, or held another value than `if_equals`.

    Never repeated.
    """
    return Request(commands.Delete(_key(key), if_equals=_condition(if_equals)), bool)


def flush() -> Request[int]:
    """Remove every key; how many there were. Never repeated."""
    return Request(commands.Flush(), int)


@overload
def mget(keys: Iterable[str]) -> Request[Dict[str, Any]]: ...
@overload
def mget(keys: Iterable[str], *, decode_as: Type[T]) -> Request[Dict[str, T]]: ...
def mget(keys: Iterable[str], *, decode_as: Any = Any) -> Request[Dict[str, Any]]:
    """The values of those of `keys` that are there, each as `get` gives it.

    Repeated when the connection is lost.
    """

    def decode(texts: Dict[str, bytes]) -> Dict[str, Any]:
        return {key: from_json(text, decode_as) for key, text in texts.items()}

    return Request(commands.MGet(list(map(_key, keys))), decode)


def mset(
    items: Mapping[str, object],
    *,
    ttl: Optional[float] = None,
    if_: Optional[Literal["absent"]] = None,
) -> Request[bool]:
    """Store every value at its key, for `ttl` seconds or for good, all at once.

    With `if_="absent"` False, and none is stored, when any of the keys is there. Never repeated.
    """
    texts = {_key(key): Raw(to_json(value)) for key, value in items.items()}
    command = commands.MSet(texts, ttl=_seconds(ttl), if_=UNSET if if_ is None else if_)
    return Request(command, bool)


def mdelete(keys: Iterable[str]) -> Request[int]:
    """Remove `keys`; how many of them were there. Never repeated."""
    return Request(commands.MDelete(list(map(_key, keys))), int)


def exists(key: str) -> Request[bool]:
    """Whether `key` is there. Repeated when the connection is lost."""
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
def getset(
    key: str,
    value: object,
    default: Any = None,
    *,
    ttl: Optional[float] = None,
    decode_as: Any = Any,
) -> Request[Any]:
    """Store `value` at `key` for `ttl` seconds or for good; what was there, or `default`.

    Never repeated.
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
def getdel(key: str, default: Any = None, *, decode_as: Any = Any) -> Request[Any]:
    """Remove `key`; what was there, or `default`. Never repeated."""
    return Request(commands.GetDel(_key(key)), _value_or(default, decode_as))


def incr(key: str, by: float = 1, *, ttl: Optional[float] = None) -> Request[float]:
    """Add `by` to the number at `key`, or to 0 when there is none; the sum.

    Whole numbers stay whole and within 64 bits. `ttl`, in seconds, counts only when the key is
    made. Raises `NotANumber` and `OutOfRange`. Never repeated.
    """
    return Request(commands.Incr(_key(key), by=by, ttl=_seconds(ttl)), _unchanged)


def ttl(key: str, default: Optional[float] = None) -> Request[Optional[float]]:
    """The seconds left to `key`, None when it does not expire; `default` when it is not there.

    Repeated when the connection is lost.
    """
    return Request(commands.GetTtl(_key(key)), lambda left: default if left is UNSET else left)


def expire(key: str, ttl: float) -> Request[bool]:
    """Give `key` so many seconds to live; False when it is not there. Never repeated."""
    return Request(commands.Expire(_key(key), ttl), bool)


def persist(key: str) -> Request[bool]:
    """Let `key` live for good; False when it did, or is not there. Never repeated."""
    return Request(commands.Persist(_key(key)), bool)


def count() -> Request[int]:
    """How many keys there are. Repeated when the connection is lost."""
    return Request(commands.Count(), int)


def scan(prefix: str = "", cursor: Optional[str] = None, limit: int = 100) -> Request[Page]:
    """Up to `limit` of the keys that begin with `prefix`, from `cursor` on, and the next cursor.

    A page may be short or empty before the end. Repeated when the connection is lost.
    """
    command = commands.Scan(prefix=prefix, cursor=cursor, limit=limit)
    return Request(command, lambda page: Page(page.keys, page.cursor))


def ping() -> Request[str]:
    """`"PONG"`, if the server is there. Repeated when the connection is lost."""
    return Request(commands.Ping(), str)


def info() -> Request[Dict[str, Any]]:
    """ServerStats about the server, by section and name, as docs/protocol.md explains them.

    Repeated when the connection is lost.
    """
    return Request(commands.Info(), msgspec.to_builtins)


def _key(key: str) -> str:
    if isinstance(key, str):
        return key
    raise BadRequest(f"a key is a str, not {type(key).__name__}")


def _value_or(default: Any, kind: Any) -> Callable[[Any], Any]:
    return lambda text: default if text is UNSET else from_json(text, kind)


def _condition(value: object) -> Union[Raw, UnsetType]:
    return UNSET if value is UNSET else Raw(to_json(value))


def _seconds(ttl: Optional[float]) -> Union[float, UnsetType]:
    return UNSET if ttl is None else ttl


def _unchanged(result: Any) -> Any:
    return result
