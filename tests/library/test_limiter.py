"""Rate limiters, with many callers in threads, greenlets and tasks."""

from __future__ import annotations

import asyncio
from typing import Any, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvjson import AsyncClient, AsyncRateLimiter, Client, RateLimiter

from tests.library.crowd import Programs
from tests.support import Server


def test_a_limiter_allows_as_many_calls_as_was_said(programs: Programs) -> None:
    def caller(client: Client) -> Callable[[], int]:
        limiter = RateLimiter(client, "limit", 25, per=60)
        return lambda: sum(limiter.allow() for _ in range(20))

    passed = programs.together([caller(client) for client in programs.clients * 3])
    assert sum(passed) == 25


def test_a_limiter_allows_as_many_calls_of_tasks(server: Server) -> None:
    async def run() -> int:
        async with AsyncClient(port=server.port) as client:
            limiter = client.limiter("limit", 7, per=60)
            return sum(await asyncio.gather(*(limiter.allow("ada") for _ in range(20))))

    assert asyncio.run(run()) == 7


def test_each_name_has_a_count_of_its_own(client: Client) -> None:
    limiter = client.limiter("limit", 1, per=60)
    assert [limiter.allow("ada"), limiter.allow("bob"), limiter.allow("ada")] == [1, 1, 0]


TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=4) | st.sampled_from(
    ["api", "api1", "1x", "x", '"', '",["', "\\", "x" * 1000]
)


@given(one=st.tuples(TEXTS, TEXTS), other=st.tuples(TEXTS, TEXTS))
def test_two_names_never_share_a_count(one: Any, other: Any) -> None:
    client = Client.local()
    keys = {RateLimiter(client, key, 1, per=60).key(name) for key, name in (one, other)}
    assert len(keys) == len({one, other})
    for key in keys:
        assert len(key.encode()) < 1000


def test_a_limiter_counts_anew_after_its_time(client: Client) -> None:
    limiter = client.limiter("limit", 1, per=60)
    assert limiter.allow("ada")
    assert not limiter.allow("ada")
    assert 50 < (client.ttl(limiter.key("ada")) or 0) <= 60
    client.delete(limiter.key("ada"))  # as if its time was up
    assert limiter.allow("ada")


def test_a_limiter_refuses_the_other_kind_of_client() -> None:
    client: Any = Client.local()
    awaited: Any = AsyncClient.local()
    with pytest.raises(TypeError, match="AsyncRateLimiter"):
        RateLimiter(awaited, "limit", 1, per=1)
    with pytest.raises(TypeError, match="use RateLimiter"):
        AsyncRateLimiter(client, "limit", 1, per=1)


@pytest.mark.parametrize(
    ("limit", "per"), [(0, 1), (0.5, 1), ("5", 1), (1, 0), (1, float("nan")), (1, 1e17)]
)
def test_a_limiter_refuses_bad_arguments(limit: Any, per: float) -> None:
    with pytest.raises(ValueError, match=r"above 0|allows no call"):
        Client.local().limiter("limit", limit, per)
