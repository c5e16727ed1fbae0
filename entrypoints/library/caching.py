"""A cache for functions, shared by all clients of a server.

Rule: a call returns what the function would return, of the same type, the first and every later
time; where that cannot be promised, the function is called. No two functions share an entry.

A caller that finds nothing claims the key with a token, computes, stores, and removes its claim.
The others wait for the value, or for the claim to end, and then one of them claims the key. A claim
expires by itself, so one caller at a time takes over from a claimant that was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import inspect
import uuid
import weakref
from types import BuiltinFunctionType, FunctionType
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Coroutine,
    Dict,
    Generic,
    List,
    NamedTuple,
    Optional,
    Tuple,
    TypeVar,
    Union,
    cast,
    overload,
)

import msgspec
from msgspec import Raw

from adapters.client.python_values import NotOfType, as_type, from_json, to_json
from application import commands
from domain.errors import BadRequest, KvError, OutOfMemory, TooLarge, Unauthenticated
from entrypoints.library import requests
from entrypoints.library.requests import Request
from entrypoints.library.runtime import Runtime, finish, pause
from entrypoints.library.senders import AwaitedSender, BlockingSender
from entrypoints.library.unique_keys import NotAKeyPart, unique_key

if TYPE_CHECKING:
    from typing_extensions import Concatenate, ParamSpec

    P = ParamSpec("P")
    Q = ParamSpec("Q")
else:
    P = TypeVar("P")

T = TypeVar("T")
KeyFunction = Callable[..., Any]

_UNCACHEABLE = False
"""Stands in place of a claim for a value that cannot be stored: no caller has to wait for it."""


class _Found(NamedTuple):
    value: Any


class _Claim(NamedTuple):
    """The right to store a value; without a token it is not stored."""

    key: str
    token: str = ""


class _Cache:
    """The entries of one function."""

    def __init__(
        self, runtime: Runtime, ttl: float, name: str, decode_as: Any, lock_timeout: float
    ) -> None:
        for option, seconds in (("ttl", ttl), ("lock_timeout", lock_timeout)):
            if not seconds > 0:
                raise ValueError(f"{option}={seconds!r} is not above 0 seconds")
        self.name = name
        self._runtime = runtime
        self._ttl = ttl
        self._decode_as = decode_as
        self._lock_timeout = lock_timeout

    async def look(self, key: str) -> Union[_Found, _Claim]:
        """The value, or the right to store one; without a server, neither is waited for."""
        try:
            return await self._look(key)
        except Unauthenticated:
            raise
        except KvError:
            return _Claim(key)

    async def _look(self, key: str) -> Union[_Found, _Claim]:
        token = uuid.uuid4().hex
        claimed = False
        while True:
            values = await self._runtime.send(requests.mget([key, _claim(key)]))
            found = self._found(values, key)
            if found is not None:
                if claimed:
                    await self._runtime.send(requests.delete(_claim(key), if_equals=token))
                return found
            if claimed:
                return _Claim(key, token)
            claim = values.get(_claim(key))
            if claim is _UNCACHEABLE:
                return _Claim(key)
            if claim is None:
                claimed = await self._runtime.send(
                    requests.set(_claim(key), token, ttl=self._lock_timeout, if_="absent")
                )
            if not claimed:
                await pause(self._runtime)

    def _found(self, values: Dict[str, Any], key: str) -> Optional[_Found]:
        try:
            return _Found(as_type(values[key], self._decode_as)) if key in values else None
        except NotOfType:  # it is replaced
            return None

    async def keep(self, claim: _Claim, value: Any) -> None:
        """Stores the value, unless it would come back as another; the caller has it in any case."""
        if not claim.token:
            return
        with contextlib.suppress(KvError):
            text = self._text(value)
            if text is not None and await self._store(claim.key, text):
                await self.release_claim(claim)
            else:
                ttl = min(self._ttl, self._lock_timeout)
                request = requests.set(
                    _claim(claim.key), _UNCACHEABLE, ttl=ttl, if_equals=claim.token
                )
                await self._runtime.send(request)

    async def _store(self, key: str, text: bytes) -> bool:
        try:
            command = commands.Set(key, Raw(text), ttl=self._ttl)
            return await self._runtime.send(Request(command, bool))
        except (BadRequest, TooLarge, OutOfMemory):
            return False

    def _text(self, value: Any) -> Optional[bytes]:
        try:
            text = to_json(value)
            return text if identical(as_type(from_json(text), self._decode_as), value) else None
        except (KvError, TypeError, RecursionError):
            return None

    async def release_claim(self, claim: _Claim) -> None:
        """Removes the claim, so that another caller can claim the key."""
        if claim.token:
            with contextlib.suppress(KvError):
                request = requests.delete(_claim(claim.key), if_equals=claim.token)
                await self._runtime.send(request)

    async def invalidate(self, key: str) -> bool:
        """Removes the value; returns whether there was one."""
        return await self._runtime.send(requests.delete(key))


class _Cached(Generic[P, T]):
    """The common part of `CachedFunction` and `AsyncCachedFunction`."""

    __name__: str
    __wrapped__: Callable[..., Any]

    def __init__(
        self,
        function: Callable[..., Any],
        cache: _Cache,
        make_key: Optional[KeyFunction],
        bound: Tuple[Any, ...] = (),
    ) -> None:
        functools.update_wrapper(cast(Any, self), function)
        self._function = function
        self._cache = cache
        self._make_key = make_key
        self._bound = bound
        self._parameters = _parameters(function)

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key that the result for these arguments is stored at.

        Raises `TypeError` for arguments that no key can be made of.
        """
        arguments = (*self._bound, *args)
        if self._make_key is not None:
            return unique_key("cached", self._cache.name, [self._make_key(*arguments, **kwargs)])
        return unique_key("cached", self._cache.name, self._arguments(arguments, kwargs))

    def _arguments(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> List[Any]:
        """The arguments by name, so that it makes no difference how they were passed; those that
        are the default are left out."""
        if self._parameters is None:
            return [list(args), sorted(kwargs.items())]
        try:
            named = self._parameters.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise NotAKeyPart(str(error)) from error
        parameters = self._parameters.parameters
        return [
            part
            for name, value in named.items()
            if value is not parameters[name].default
            for part in (name, sorted(value.items()) if _is_kwargs(parameters[name]) else value)
        ]

    def _key_or_none(self, args: Any, kwargs: Any) -> Optional[str]:
        """None for arguments that no key can be made of."""
        try:
            return self.key(*args, **kwargs)
        except NotAKeyPart:
            return None

    def _bind(self, instance: object) -> Any:
        if self._make_key is None and not _is_data(instance):
            raise TypeError(
                f"{self._cache.name} is a method of a {type(instance).__name__}, which cannot be "
                "part of a key: give cached() a key function, such as key=lambda self, n: n"
            )
        bound = (*self._bound, instance)
        return type(self)(self._function, self._cache, self._make_key, bound)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._cache.name}>"


class CachedFunction(_Cached[P, T]):
    """A function whose results are kept on the server; made by `cached`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        function = self._function
        key = self._key_or_none(args, kwargs)
        if key is None:
            return cast(T, function(*self._bound, *args, **kwargs))
        found = finish(self._cache.look(key))
        if isinstance(found, _Found):
            return cast(T, found.value)
        try:
            value: T = function(*self._bound, *args, **kwargs)
        except BaseException:
            finish(self._cache.release_claim(found))
            raise
        finish(self._cache.keep(found, value))
        return value

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Removes the result for these arguments; returns whether there was one."""
        return finish(self._cache.invalidate(self.key(*args, **kwargs)))

    @overload
    def __get__(self, instance: None, owner: Any) -> CachedFunction[P, T]: ...
    @overload
    def __get__(
        self: CachedFunction[Concatenate[Any, Q], T], instance: object, owner: Any
    ) -> CachedFunction[Q, T]: ...
    def __get__(self, instance: Any, owner: Any) -> Any:
        return self if instance is None else self._bind(instance)


class AsyncCachedFunction(_Cached[P, T]):
    """A coroutine function whose results are kept on the server; made by `cached`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        _mark_as_coroutine_function(self)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        function = self._function
        key = self._key_or_none(args, kwargs)
        if key is None:
            return cast(T, await function(*self._bound, *args, **kwargs))
        found = await self._cache.look(key)
        if isinstance(found, _Found):
            return cast(T, found.value)
        try:
            value: T = await function(*self._bound, *args, **kwargs)
        except BaseException:
            await self._cache.release_claim(found)
            raise
        await self._cache.keep(found, value)
        return value

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Removes the result for these arguments; returns whether there was one."""
        return await self._cache.invalidate(self.key(*args, **kwargs))

    @overload
    def __get__(self, instance: None, owner: Any) -> AsyncCachedFunction[P, T]: ...
    @overload
    def __get__(
        self: AsyncCachedFunction[Concatenate[Any, Q], T], instance: object, owner: Any
    ) -> AsyncCachedFunction[Q, T]: ...
    def __get__(self, instance: Any, owner: Any) -> Any:
        return self if instance is None else self._bind(instance)


@overload
def cached(
    client: BlockingSender,
    ttl: float,
    *,
    name: str = "",
    key: Optional[KeyFunction] = None,
    decode_as: Any = Any,
    lock_timeout: float = 10.0,
) -> Callable[[Callable[P, T]], CachedFunction[P, T]]: ...
@overload
def cached(
    client: AwaitedSender,
    ttl: float,
    *,
    name: str = "",
    key: Optional[KeyFunction] = None,
    decode_as: Any = Any,
    lock_timeout: float = 10.0,
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], AsyncCachedFunction[P, T]]: ...
def cached(
    client: Any,
    ttl: float,
    *,
    name: str = "",
    key: Optional[KeyFunction] = None,
    decode_as: Any = Any,
    lock_timeout: float = 10.0,
) -> Callable[[Any], Any]:
    """Keeps the results of a function, by its arguments, for `ttl` seconds on the server.

    With a `Client` for functions, with an `AsyncClient` for `async def`. `name` identifies the
    function for all programs; by default its module and name, which lambdas, functions inside
    functions, `__main__` and others do not have. `key(*args, **kwargs)` returns what identifies a
    call, in place of all the arguments. `decode_as` is the type of the result, such as a dataclass.

    Of many callers that miss at the same time one calls the function, and the others wait for its
    result; after `lock_timeout` seconds one of these calls it too. Arguments that no key can be
    made of, results that JSON does not return as they were, and a server that is full or not there
    are no errors: the function is called. `f.invalidate(...)` removes a result, `f.key(...)` is
    where it is stored.
    """

    def decorate(function: Any) -> Any:
        is_async = _is_coroutine_function(function)
        _refuse_other_kind(client, function, is_async)
        cache = _Cache(
            client._runtime, ttl, name or _importable_name(function), decode_as, lock_timeout
        )
        kind = AsyncCachedFunction if is_async else CachedFunction
        return kind(function, cache, key)

    return decorate


def _refuse_other_kind(client: Any, function: Any, is_async: bool) -> None:
    name = getattr(function, "__qualname__", repr(function))
    if not callable(function):
        raise TypeError(f"cached() is given {function!r:.64}, which is no function")
    if is_async and not isinstance(client, AwaitedSender):
        kind = type(client).__name__
        raise TypeError(f"{name} is awaited, {kind} is not: use an AsyncClient")
    if not is_async and not isinstance(client, BlockingSender):
        kind = type(client).__name__
        raise TypeError(f"{name} blocks, {kind} does not: use a Client")


_NAMED: Dict[str, weakref.ref[Any]] = {}
"""The functions that were decorated in this process, by name."""


def _importable_name(function: Any) -> str:
    """The name that no other function has; raises `TypeError` where there is none."""
    why = _why_ambiguous(function)
    if why:
        raise TypeError(f"cached() needs name=...: {function!r:.100} {why}")
    name = f"{function.__module__}.{function.__qualname__}"
    if isinstance(function, FunctionType):
        other = _NAMED[name]() if name in _NAMED else None
        if other is not None and other is not function and other.__code__ is function.__code__:
            raise TypeError(f"cached() needs name=...: there are several functions {name}")
        _NAMED[name] = weakref.ref(function)
    return name


def _why_ambiguous(function: Any) -> str:
    """Why another function may have the same module and name; empty when none has."""
    if not isinstance(function, (FunctionType, BuiltinFunctionType)):
        return "is no plain function"
    if isinstance(function, BuiltinFunctionType) and not inspect.ismodule(function.__self__):
        return "is the method of an object"
    if "<" in function.__qualname__:
        return "has no name of its own"
    if function.__module__ in (None, "__main__"):
        return "is of a script, and all scripts are called __main__"
    if hasattr(function, "__wrapped__"):
        return "wraps another function and has its name"
    if isinstance(function, FunctionType) and function.__code__.co_name != function.__name__:
        return "was renamed"
    return ""


def _parameters(function: Any) -> Optional[inspect.Signature]:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some that are written in C have none
        return None


def _is_kwargs(parameter: inspect.Parameter) -> bool:
    return parameter.kind is inspect.Parameter.VAR_KEYWORD


def _is_data(value: object) -> bool:
    return dataclasses.is_dataclass(value) or isinstance(value, msgspec.Struct)


def _is_coroutine_function(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object may be called, too
    )


def _mark_as_coroutine_function(function: Any) -> None:
    """For frameworks that ask `inspect` or `asyncio` whether to await a call."""
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(function)
    else:
        function._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)


def _claim(key: str) -> str:
    return f"claim:{key}"


def identical(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return identical(list(one.items()), list(other.items()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(identical, one, other))
    if isinstance(one, float):
        return repr(one) == repr(other)
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
    elif isinstance(one, msgspec.Struct):
        names = list(one.__struct_fields__)
    else:
        return bool(one == other)
    return all(identical(getattr(one, name), getattr(other, name)) for name in names)
