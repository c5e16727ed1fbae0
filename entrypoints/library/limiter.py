"""Rate limiters over all clients of a server.

Rule: each call is one atomic INCR of a key that expires by itself, and no two names share a key.
"""

from __future__ import annotations

from domain.store import MAX_TTL
from entrypoints.library import requests
from entrypoints.library.requests import Request
from entrypoints.library.senders import AwaitedSender, BlockingSender, check_client
from entrypoints.library.unique_keys import unique_key
from entrypoints.settings.checks import check_above_0


class _LimiterState:
    """The common part of `RateLimiter` and `AsyncRateLimiter`."""

    def __init__(self, key: str, limit: int, per: float) -> None:
        check_above_0(MAX_TTL, per=per)
        check_above_0(limit=limit)
        if limit < 1:
            raise ValueError(f"limit={limit!r} allows no call")
        self._key = key
        self._limit = limit
        self._per = per

    def key(self, name: str = "") -> str:
        """The key that the calls of `name` are counted at."""
        return unique_key("limiter", self._key, [name])

    def _count(self, name: str) -> Request[int]:
        return requests.incr(self.key(name), ttl=self._per)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._key!r}: {self._limit} in {self._per:g} s>"


class RateLimiter(_LimiterState):
    """Allows `limit` calls in every `per` seconds, counted from the first one.

    Around the end of one such window and the start of the next, twice as many may come close
    together.
    """

    def __init__(self, client: BlockingSender, key: str, limit: int, per: float) -> None:
        check_client(client, BlockingSender, "RateLimiter", "AsyncRateLimiter")
        super().__init__(key, limit, per)
        self._client = client

    def allow(self, name: str = "") -> bool:
        """Counts one more call of `name`, such as a user's; returns whether it is allowed."""
        return self._client._send(self._count(name)) <= self._limit


class AsyncRateLimiter(_LimiterState):
    """`RateLimiter` for tasks of an event loop."""

    def __init__(self, client: AwaitedSender, key: str, limit: int, per: float) -> None:
        check_client(client, AwaitedSender, "AsyncRateLimiter", "RateLimiter")
        super().__init__(key, limit, per)
        self._client = client

    async def allow(self, name: str = "") -> bool:
        """Counts one more call of `name`, such as a user's; returns whether it is allowed."""
        return await self._client._send(self._count(name)) <= self._limit
