"""A cache for functions, shared by all clients of a server.

Rule: a call returns what the function would return, of the same type, the first and every later
time; where that cannot be promised, the function is called. No two functions share an entry.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Coroutine,
    Dict,
    Generic,
    List,
    Optional,
    Tuple,
    TypeVar,
    cast,
    overload,
)

import msgspec

from entrypoints.library.cache import Cache, Found
from entrypoints.library.function_names import importable_name
from entrypoints.library.runtime import finish
from entrypoints.library.senders import AwaitedSender, BlockingSender, check_client
from entrypoints.library.unique_keys import NotAKeyPart, unique_key

if TYPE_CHECKING:
    from typing_extensions import Concatenate, ParamSpec

    P = ParamSpec("P")
    Q = ParamSpec("Q")
else:
    P = TypeVar("P")

T = TypeVar("T")
KeyFunction = Callable[..., Any]


class _Cached(Generic[P, T]):
    """The common part of `CachedFunction` and `AsyncCachedFunction`."""

    __name__: str
    __wrapped__: Callable[..., Any]

    def __init__(
        self,
        function: Callable[..., Any],
        cache: Cache,
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
        function, cache = self._function, self._cache
        found = cache.new_claim(self._key_or_none(args, kwargs))
        try:
            found = finish(cache.look(found))
            if isinstance(found, Found):
                return cast(T, found.value)
            value: T = function(*self._bound, *args, **kwargs)
            finish(cache.keep(found, value))
        except BaseException:
            finish(cache.abandon(found))
            raise
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
        function, cache = self._function, self._cache
        found = cache.new_claim(self._key_or_none(args, kwargs))
        try:
            found = await cache.look(found)
            if isinstance(found, Found):
                return cast(T, found.value)
            value: T = await function(*self._bound, *args, **kwargs)
            await cache.keep(found, value)
        except GeneratorExit:
            raise
        except BaseException:
            await cache.abandon(found)
            raise
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
        cache = Cache(
            client._runtime, ttl, name or importable_name(function), decode_as, lock_timeout
        )
        kind = AsyncCachedFunction if is_async else CachedFunction
        return kind(function, cache, key)

    return decorate


def _refuse_other_kind(client: Any, function: Any, is_async: bool) -> None:
    name = getattr(function, "__qualname__", repr(function))
    if not callable(function):
        raise TypeError(f"cached() is given {function!r:.64}, which is no function")
    if is_async:
        check_client(client, AwaitedSender, name, "an AsyncClient")
    else:
        check_client(client, BlockingSender, name, "a Client")


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
