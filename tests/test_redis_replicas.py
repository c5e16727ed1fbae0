"""The store over an engine with replicas: what waits for them, and one that takes over."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence

import kvjson
import pytest
from redis.crc import key_slot

from application.commands import Incr
from application.executor import LocalExecutor
from domain.errors import Misconfigured, OutOfMemory, Unavailable, Unreachable
from domain.store import Entry
from tests.engines import SLOTS, kill, opened, programs, running, running_cluster, until
from tests.fake_engine import Words, fake_engine
from tests.support import running_server

PROGRAM = next(iter(programs().values()), "")

pytestmark = pytest.mark.skipif(not PROGRAM, reason="no Redis or Valkey is here")


replicated = partial(opened, wait_replicas=1)
"""A store that waits for a replica."""


class TestWaitingForReplicas:
    def test_a_write_is_done_once_a_replica_has_it(self) -> None:
        copies = ["--repl-diskless-sync-delay", "0"]
        with running(PROGRAM, *copies) as primary, running(
            PROGRAM, "--replicaof", f"127.0.0.1 {primary.port}", *copies
        ) as replica, replicated(primary.url) as store:
            until(lambda: replica.client.execute_command("ROLE")[3] == b"connected")
            store.set_many({"a": b"1", "b": b"2"})
            assert replica.client.mget("kv:a", "kv:b") == [b"1", b"2"]
            assert LocalExecutor(store).execute(Incr("a")) == 2
            assert replica.client.get("kv:a") == b"2"

    def test_without_the_replica_a_write_that_was_done_is_answered_with_an_error(self) -> None:
        few = pytest.raises(Unavailable, match=r"to 0 of 1 replicas \(store_wait_replicas\)")
        with running(PROGRAM) as engine, replicated(engine.url, timeout=0.5) as store:
            with few:
                store.update("n", lambda _: Entry(b"1"))
            assert store.get("n") == b"1"

    def test_a_write_that_is_refused_is_not_said_to_be_written(self) -> None:
        def reply(words: Words) -> bytes:
            return b":0\r\n" if words[0] == b"WAIT" else b"-OOM\r\n"

        refused = pytest.raises(OutOfMemory)
        with fake_engine(reply) as fake, replicated(fake.url) as store, refused:
            store.set("k", b"1")

    def test_a_user_who_may_not_wait_is_refused(self) -> None:
        def reply(words: Words) -> bytes:
            return b"-NOPERM wait\r\n" if words[0] == b"WAIT" else b"+OK\r\n"

        refused = pytest.raises(Misconfigured, match="refuses the user")
        with fake_engine(reply) as fake, replicated(fake.url) as store, refused:
            store.set("k", b"1")


Increment = Callable[[str], float]


class Counter:
    """Raises a key again and again, in one way until it is said that a server is lost and in
    another way after, and notes what came of it."""

    def __init__(self, name: str, before: Increment, after: Increment) -> None:
        self.name = name
        self._before, self._after = before, after
        self.replies: List[Optional[float]] = []
        """The numbers; None where it is not known whether one was counted."""
        self.refused = 0

    def run(self, is_lost: threading.Event, stopped: threading.Event) -> None:
        while not stopped.is_set():
            increment = self._after if is_lost.is_set() else self._before
            try:
                self.replies.append(increment(self.name))
            except Unavailable as error:
                self.refused += 1
                if not isinstance(error, Unreachable):
                    self.replies.append(None)
                stopped.wait(0.005)

    def numbers(self) -> int:
        """How many replies were numbers."""
        return sum(each is not None for each in self.replies)

    def check(self, final: int) -> None:
        """Each number follows the one before, or the unknown replies between were counted."""
        last, unknown = 0.0, 0
        for number in [*self.replies, final + 1]:
            if number is None:
                unknown += 1
            else:
                assert last < number <= last + unknown + 1
                last, unknown = number, 0


@contextlib.contextmanager
def counting(counters: Sequence[Counter], is_lost: threading.Event) -> Iterator[None]:
    """Each counter counts, in a thread, until the end of the block."""
    stopped = threading.Event()
    with ThreadPoolExecutor(len(counters)) as threads:
        done = [threads.submit(counter.run, is_lost, stopped) for counter in counters]
        try:
            yield
        finally:
            stopped.set()
    for each in done:
        each.result()


def until_counted(counters: Sequence[Counter], more: int = 10) -> None:
    """Waits until each of the counters has counted on."""
    wanted = [counter.numbers() + more for counter in counters]
    until(lambda: all(c.numbers() >= number for c, number in zip(counters, wanted)))


LOST, KEPT = "{b}", "{a}"
"""Tags of keys, of the first primary and of another."""


def test_a_replica_takes_over_for_a_primary_that_is_killed(tmp_path: Path) -> None:
    """What was acknowledged once the replica had it is there, once; keys of the other primaries are
    served all the time; through a server and without."""
    assert [key_slot(tag.encode()) * 3 // SLOTS for tag in (LOST, KEPT)] == [0, 2]
    # A busy machine may stop a process for a second, which is no reason to take over.
    options = ("--cluster-require-full-coverage", "no", "--cluster-node-timeout", "2000")
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(PROGRAM, tmp_path, *options, replicas=1))
        store = LocalExecutor(stack.enter_context(replicated(cluster.url)))
        server, replicating = (
            stack.enter_context(running_server("--store", cluster.url, *more))
            for more in ((), ("--store-wait-replicas", "1"))
        )
        served, served_replicated, direct = (
            stack.enter_context(kvjson.Client(url))
            for url in (server.url, replicating.url, cluster.url)
        )
        killed = threading.Event()
        lost = [
            Counter(f"{LOST}direct", lambda name: store.execute(Incr(name)), direct.incr),
            Counter(f"{LOST}served", served_replicated.incr, served.incr),
        ]
        kept = [
            Counter(f"{KEPT}direct", direct.incr, direct.incr),
            Counter(f"{KEPT}served", served.incr, served.incr),
        ]
        with counting([*lost, *kept], killed):
            until_counted([*lost, *kept])
            kill(cluster.servers[0])
            killed.set()
            until(lambda: all(counter.refused for counter in lost))
            until_counted(kept)
            until(lambda: cluster.replicas[0].client.execute_command("ROLE")[0] == b"master")
            until_counted([*lost, *kept])
        for counter in [*lost, *kept]:
            counter.check(direct[counter.name])
        assert not any(counter.refused for counter in kept)
        assert len(direct) == direct.flush() == 4
        assert len(served) == 0
        assert server.process.poll() is replicating.process.poll() is None
