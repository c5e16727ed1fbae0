"""Commands that are collected and sent together.

Rule: a method gives an `Answer`, which has its result once the queue was run. Results stay in the
order of the commands, and an error is the answer to its command alone, unless all were refused.
"""

from __future__ import annotations

import contextlib
from typing import (
    TYPE_CHECKING,
    Any,
    Awaitable,
    Callable,
    Generic,
    Iterator,
    List,
    Optional,
    Sequence,
    Type,
    TypeVar,
    Union,
    cast,
)

from msgspec import UNSET, UnsetType

from application.commands import Batch, Command
from domain.errors import KvError
from entrypoints.library import requests
from entrypoints.library.requests import Request, method_of

if TYPE_CHECKING:
    from typing_extensions import Concatenate, ParamSpec

    P = ParamSpec("P")

T = TypeVar("T")
Q = TypeVar("Q", bound="Queue")


class Answer(Generic[T]):
    """What comes of a command that is sent later."""

    def __init__(self, request: Request[T]) -> None:
        self.request = request
        self.outcome: Union[T, KvError, UnsetType] = UNSET
        """The result, or the error that the command was refused with."""

    @property
    def result(self) -> T:
        """The result; raises the `KvError` that the command was refused with."""
        if isinstance(self.outcome, UnsetType):
            raise RuntimeError("the command was not sent yet")
        if isinstance(self.outcome, KvError):
            raise self.outcome
        return self.outcome

    def settle(self, outcome: object) -> None:
        """Keep what the command gave, or the error it was refused with."""
        try:
            self.outcome = outcome if isinstance(outcome, KvError) else self.request.decode(outcome)
        except KvError as error:
            self.outcome = error


def queued(make: Callable[P, Request[T]]) -> Callable[Concatenate[Queue, P], Answer[T]]:
    """The method that makes this request and puts it in line."""

    @method_of(make)
    def method(self: Queue, /, *args: P.args, **kwargs: P.kwargs) -> Answer[T]:
        answer = Answer(make(*args, **kwargs))
        self.answers.append(answer)
        return answer

    return method


class Queue:
    """The commands, one method each; see `requests` for what they take and give."""

    def __init__(self) -> None:
        self.answers: List[Answer[Any]] = []

    get = queued(requests.get)
    set = queued(requests.set)
    delete = queued(requests.delete)
    flush = queued(requests.flush)
    mget = queued(requests.mget)
    mset = queued(requests.mset)
    mdelete = queued(requests.mdelete)
    exists = queued(requests.exists)
    getset = queued(requests.getset)
    getdel = queued(requests.getdel)
    incr = queued(requests.incr)
    ttl = queued(requests.ttl)
    expire = queued(requests.expire)
    persist = queued(requests.persist)
    count = queued(requests.count)
    scan = queued(requests.scan)
    ping = queued(requests.ping)
    info = queued(requests.info)

    def take(self) -> List[Answer[Any]]:
        """What is in line, which is empty from then on."""
        answers, self.answers = self.answers, []
        return answers


class Pipeline(Queue):
    """Sends what is in line in one go, when run, or at the end of a `with` block without error."""

    def __init__(self, send: Callable[[Sequence[Command[Any]]], List[object]]) -> None:
        super().__init__()
        self._send = send

    def run(self) -> List[Any]:
        """Send, and wait for all results; gives them in order, a refused command's `KvError` in
        its place. Raises `Unavailable` and `TimedOut` when it is not known what took effect; of a
        batch, the error it was refused with, whose `index` says which command it was."""
        answers = self.take()
        with _told(answers):
            settle(answers, self._send(commands_of(answers)))
        return [answer.outcome for answer in answers]

    def __enter__(self: Q) -> Q:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        if kind is None:
            self.run()


class AsyncPipeline(Queue):
    """The same for asyncio."""

    def __init__(self, send: Callable[[Sequence[Command[Any]]], Awaitable[List[object]]]) -> None:
        super().__init__()
        self._send = send

    async def run(self) -> List[Any]:
        """See `Pipeline.run`."""
        answers = self.take()
        with _told(answers):
            settle(answers, await self._send(commands_of(answers)))
        return [answer.outcome for answer in answers]

    async def __aenter__(self: Q) -> Q:
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        if kind is None:
            await self.run()


def commands_of(answers: Sequence[Answer[Any]]) -> List[Command[Any]]:
    """What to send for these answers."""
    return [answer.request.command for answer in answers]


def settle(answers: Sequence[Answer[Any]], outcomes: Sequence[object]) -> None:
    """Give each answer its outcome."""
    for answer, outcome in zip(answers, outcomes):
        answer.settle(outcome)


def as_batch(sent: Sequence[Command[Any]]) -> Batch:
    """The commands as one that runs them all or none."""
    return Batch(list(sent))


def from_batch(outcome: object) -> List[object]:
    """The results of a batch, one for each command; raises the error it was refused with."""
    if isinstance(outcome, KvError):
        raise outcome
    return cast(List[object], outcome)


@contextlib.contextmanager
def _told(answers: Sequence[Answer[Any]]) -> Iterator[None]:
    """Lets every answer know of an error that came of all of them."""
    try:
        yield
    except KvError as error:
        settle(answers, [error] * len(answers))
        raise
