"""A lock and a rate limiter, with many callers in threads and in greenlets."""

from __future__ import annotations

import time
from typing import Callable, List

import pytest
from kvjson import BadRequest, Client, Lock, RateLimiter

from tests.library.crowd import Programs
from tests.support import TIMEOUT


class TestLock:
    def test_it_lets_one_in_at_a_time(self, programs: Programs) -> None:
        inside: List[int] = []
        most = []

        def caller(number: int) -> Callable[[], None]:
            client = programs.clients[number % 3]

            def work() -> None:
                for _ in range(10):
                    with Lock(client, "lock"):
                        inside.append(number)
                        most.append(len(inside))
                        client.set("n", client.get("n", 0) + 1)
                        inside.remove(number)

            return work

        programs.together([caller(number) for number in range(6)])
        assert programs.clients[0].get("n") == 60
        assert set(most) == {1}
        assert not programs.clients[0].exists("lock")

    def test_one_that_is_shared_lets_one_in_at_a_time_too(self, programs: Programs) -> None:
        client = programs.clients[0]
        lock = Lock(client, "lock")

        def work() -> None:
            for _ in range(10):
                with lock:
                    client.set("n", client.get("n", 0) + 1)

        programs.together([work] * 5)
        assert client.get("n") == 50

    @pytest.mark.timing
    def test_who_cannot_wait_any_longer_is_told(self, direct: Client) -> None:
        assert Lock(direct, "lock").acquire() is True
        started = time.monotonic()
        assert Lock(direct, "lock").acquire(timeout=0) is False
        assert Lock(direct, "lock").acquire(timeout=0.1) is False
        assert 0.1 <= time.monotonic() - started < 10

    def test_what_a_client_leaves_behind_that_vanished_ends_by_itself(self, direct: Client) -> None:
        assert Lock(direct, "lock", ttl=0.1).acquire()
        assert Lock(direct, "lock").acquire(timeout=TIMEOUT)

    def test_a_lock_that_was_lost_touches_nothing_of_the_next_one(self, direct: Client) -> None:
        mine, theirs = Lock(direct, "lock"), Lock(direct, "lock")
        mine.acquire()
        direct.delete("lock")  # as if its time was up
        theirs.acquire()
        assert mine.release() is False
        assert mine.renew() is False
        assert theirs.renew() is True
        assert theirs.release() is True
        assert theirs.release() is False
        assert not direct.exists("lock")

    def test_renewing_it_starts_its_time_again(self, direct: Client) -> None:
        lock = Lock(direct, "lock", ttl=60)
        lock.acquire()
        direct.expire("lock", 1)
        assert lock.renew() is True
        assert (direct.ttl("lock") or 0) > 50

    def test_a_block_that_raises_lets_go(self, direct: Client) -> None:
        with pytest.raises(BadRequest), Lock(direct, "lock"):
            direct.scan(limit=0)
        assert Lock(direct, "lock").acquire(timeout=0)


class TestRateLimiter:
    def test_it_lets_as_many_through_as_was_said(self, programs: Programs) -> None:
        def caller(client: Client) -> Callable[[], int]:
            limiter = RateLimiter(client, "limit", 25, per=60)
            return lambda: sum(limiter.allow() for _ in range(20))

        passed = programs.together([caller(client) for client in programs.clients * 3])
        assert sum(passed) == 25

    def test_each_name_has_a_count_of_its_own(self, direct: Client) -> None:
        limiter = RateLimiter(direct, "limit:", 1, per=60)
        assert [limiter.allow("ada"), limiter.allow("bob"), limiter.allow("ada")] == [1, 1, 0]

    def test_it_counts_anew_after_its_time(self, direct: Client) -> None:
        limiter = RateLimiter(direct, "limit", 1, per=0.05)
        assert limiter.allow()
        end = time.monotonic() + 10
        while not limiter.allow():
            assert time.monotonic() < end
