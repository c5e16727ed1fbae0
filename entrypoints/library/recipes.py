"""What is built from commands over and over: a lock, a rate limiter, a cache for a function.

Rule: each rests on one atomic command, and on nothing that a client which vanished would have to
clean up: whatever is left behind has a ttl.
"""

from __future__ import annotations

import contextlib
import functools
import random
import time
import uuid
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

from adapters.client.python_values import to_json
from domain.errors import Blame, KvError, OutOfMemory, TimedOut, Unavailable
from entrypoints.library.client import Client

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    P = ParamSpec("P")

T = TypeVar("T")

PAUSE = 0.05
"""Seconds between two looks at what others hold, half of them by chance."""

_MISSING: Any = object()


class Lock:
    """Lets one at a time in, over all clients of a server, for up to `ttl` seconds.

    Who holds it longer than that without `renew` has lost it, and somebody else may be in: for
    what must never happen twice, that has to be safe. After "Distributed locks with Redis", for one
    server.
    """

    def __init__(self, client: Client, key: str, ttl: float = 30.0) -> None:
        self._client = client
        self._key = key
        self._ttl = ttl
        self._token = uuid.uuid4().hex

    def acquire(self, timeout: Optional[float] = None) -> bool:
        """Wait for it, for `timeout` seconds or as long as it takes; False when that was up."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self._client.set(self._key, self._token, ttl=self._ttl, if_="absent"):
            if end is not None and time.monotonic() >= end:
                return False
            _pause(self._client)
        return True

    def renew(self) -> bool:
        """Hold it for another `ttl` seconds; False when it was lost."""
        return self._client.set(self._key, self._token, ttl=self._ttl, if_equals=self._token)

    def release(self) -> bool:
        """Let go; False when it was lost before, and then nothing of anybody else's is touched."""
        return self._client.delete(self._key, if_equals=self._token)

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class RateLimiter:
    """Lets `limit` calls through in every `per` seconds, counted from the first one.

    At the turn from one such span to the next, twice as many may come close together.
    """

    def __init__(self, client: Client, key: str, limit: int, per: float) -> None:
        self._client = client
        self._key = key
        self._limit = limit
        self._per = per

    def allow(self, name: str = "") -> bool:
        """Whether one more call may go through; each `name`, such as a user's, has a count."""
        return self._client.incr(self._key + name, ttl=self._per) <= self._limit


def cached(
    client: Client, ttl: float, prefix: str = "", patience: float = 10.0
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Keeps what a function gives, by its arguments, for `ttl` seconds on the server.

    Arguments and result must be JSON values. Of many that miss at the same time one calls the
    function, and the others wait for its result, for up to `patience` seconds, then call it too.
    Without a server, or where that is full, the function is called as if it were not cached.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        name = prefix or f"{function.__module__}.{function.__qualname__}"

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            key = f"{name}:{to_json([args, sorted(kwargs.items())]).decode()}"
            try:
                found = _found_or_ours(client, key, patience)
            except KvError as error:
                if error.blame is Blame.CLIENT:
                    raise
                return function(*args, **kwargs)
            if found is not _MISSING:
                return found  # type: ignore[no-any-return]  # it is what the function gave
            return _computed(client, key, ttl, lambda: function(*args, **kwargs))

        return wrapper

    return decorate


def _found_or_ours(client: Client, key: str, patience: float) -> Any:
    """The value at `key`, once it is there; `_MISSING` when it is on us to make it."""
    end = time.monotonic() + patience
    ours = False
    while True:
        found = client.get(key, _MISSING)
        if found is not _MISSING or ours or time.monotonic() >= end:
            break
        ours = client.set(_claim(key), True, ttl=patience, if_="absent")
        if not ours:
            _pause(client)
    if ours and found is not _MISSING:
        client.delete(_claim(key))
    return found


def _claim(key: str) -> str:
    return key + ":making"


def _computed(client: Client, key: str, ttl: float, compute: Callable[[], T]) -> T:
    try:
        value = compute()
        with contextlib.suppress(OutOfMemory, Unavailable, TimedOut):
            client.set(key, value, ttl=ttl)
        return value
    finally:
        with contextlib.suppress(Unavailable, TimedOut):
            client.delete(_claim(key))


def _pause(client: Client) -> None:
    client.sleep(random.uniform(PAUSE / 2, PAUSE))
