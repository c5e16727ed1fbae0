"""How each kind of client sends a request: at once, awaited, or later with others.

Rule: a method differs from the function that makes its request in what it returns, and in nothing
else: name, docstring and arguments are the function's.
"""

from __future__ import annotations

import inspect
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Callable, Coroutine, Generic, List, NoReturn, TypeVar, Union

from msgspec import UNSET, Struct, UnsetType

from domain.errors import KvError
from entrypoints.library.requests import Request

if TYPE_CHECKING:
    from typing_extensions import Concatenate, ParamSpec

    P = ParamSpec("P")

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class PendingResult(Struct, Generic[T], eq=False, weakref=True):
    """The result of a command that is sent later."""

    _request: Request[T]
    _outcome: Union[T, KvError, UnsetType] = UNSET

    @property
    def outcome(self) -> Union[T, KvError]:
        """The result, or the error that the command was refused with."""
        if isinstance(self._outcome, UnsetType):
            raise RuntimeError("the command was not sent yet")
        return self._outcome

    @property
    def result(self) -> T:
        """The result; raises the `KvError` that the command was refused with."""
        outcome = self.outcome
        if isinstance(outcome, KvError):
            raise shortened(outcome)
        return outcome

    def __repr__(self) -> str:
        name = type(self._request.command).__name__.lower()
        if isinstance(self._outcome, UnsetType):
            return f"<PendingResult of {name}: not sent>"
        return f"<PendingResult of {name}: {self._outcome!r:.100}>"


def shortened(error: KvError) -> KvError:
    """The error without frames inside the library. Its cause is the system's own error, if there is
    one, and no other attempt."""
    cause = error.__cause__
    while isinstance(cause, KvError):
        cause = cause.__cause__
    if cause is not None:
        cause.__traceback__ = cause.__context__ = None
    error.__cause__ = cause
    return error.with_traceback(None)


class _OfThisProcess:
    """What has connections, or a store, in this process."""

    def __getstate__(self) -> NoReturn:
        """Refuse to be pickled or copied; Python would name a part that cannot be."""
        name = type(self).__name__
        raise TypeError(f"cannot pickle or copy {name!r}: each process makes its own")


class BlockingSender(_OfThisProcess):
    """Sends a request and waits for its result."""

    _runtime: Any
    """What recipes run in; a `Runtime`."""

    def _send(self, request: Request[T]) -> T:
        raise NotImplementedError

    def _settle(self) -> None:
        """See `Pipelined.settle`."""
        raise NotImplementedError


class AwaitedSender(_OfThisProcess):
    """Sends a request; its result is awaited."""

    _runtime: Any
    """What recipes run in; a `Runtime`."""

    async def _send(self, request: Request[T]) -> T:
        raise NotImplementedError


class BufferedSender:
    """Keeps requests until they are sent together."""

    pending: List[PendingResult[Any]]
    """The results of the requests, which say what to send."""


def check_client(client: object, kind: type, what: str, instead: str) -> None:
    """Raise `TypeError` for a client that is not of the kind that `what` sends with."""
    if not isinstance(client, kind):
        contrast = "blocks, {} does not" if kind is BlockingSender else "is awaited, {} is not"
        raise TypeError(f"{what} {contrast.format(type(client).__name__)}: use {instead}")


def blocking(make: Callable[P, Request[T]]) -> Callable[Concatenate[BlockingSender, P], T]:
    """The method that makes this request, sends it and waits for the result."""

    @_method_of(make, "{}")
    def method(self: BlockingSender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._send(make(*args, **kwargs))

    return method


def awaited(
    make: Callable[P, Request[T]],
) -> Callable[Concatenate[AwaitedSender, P], Coroutine[Any, Any, T]]:
    """The method that makes this request and sends it, to be awaited."""

    @_method_of(make, "{}")
    async def method(self: AwaitedSender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._send(make(*args, **kwargs))

    return method


def buffered(
    make: Callable[P, Request[T]],
) -> Callable[Concatenate[BufferedSender, P], PendingResult[T]]:
    """The method that makes this request and keeps it until it is sent."""

    @_method_of(make, "PendingResult[{}]")
    def method(self: BufferedSender, /, *args: P.args, **kwargs: P.kwargs) -> PendingResult[T]:
        result = PendingResult(make(*args, **kwargs))
        self.pending.append(result)
        return result

    return method


def _method_of(make: Callable[..., Request[Any]], returned: str) -> Callable[[F], F]:
    """Names a method as the function that makes its request, for `help` and for editors."""

    def dress(method: F) -> F:
        update_wrapper(method, make)
        signature = inspect.signature(make)
        me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        result = str(signature.return_annotation)[len("Request[") : -len("]")]
        dressed: Any = method
        dressed.__signature__ = signature.replace(
            parameters=[me, *signature.parameters.values()],
            return_annotation=returned.format(result),
        )
        return method

    return dress
