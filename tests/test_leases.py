"""Leases: lending, counting and handing on."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from typing import Any, List, Optional

from adapters.client.leases import Lease, Leases
from adapters.client.lender import Lender
from adapters.client.network import Network, SocketApi
from domain.errors import TimedOut


class Connection:
    """Records how it was closed."""

    def __init__(self) -> None:
        self.closed = self.abandoned = False

    def close(self) -> None:
        self.closed = True

    def abandon(self) -> None:
        self.abandoned = True


def new_queue() -> Any:
    """What a thread waits at."""
    return queue.SimpleQueue()


def taken(leases: Leases[Connection]) -> Lease[Connection]:
    lease = leases.take()
    assert lease is not None
    return lease


def test_leases_lend_up_to_their_maximum() -> None:
    leases = Leases(2, Connection)
    held = [leases.take() for _ in range(3)]
    assert [lease is None for lease in held] == [False, False, True]
    assert leases.lent == 2


def test_the_lease_returned_last_is_lent_first() -> None:
    leases = Leases(2, Connection)
    first, second = taken(leases), taken(leases)
    leases.give_back(second)
    leases.give_back(first)
    assert taken(leases) is first


def test_a_dropped_lease_makes_room_for_one_with_a_new_connection() -> None:
    leases = Leases(1, Connection)
    lease: Optional[Lease[Connection]] = taken(leases)
    assert lease
    connection = lease.connection
    assert leases.take() is None
    lease = None
    assert leases.lent == 0
    assert taken(leases).connection is not connection


def test_a_waiter_gets_a_returned_or_dropped_lease() -> None:
    leases = Leases(1, Connection)
    first, second = new_queue(), new_queue()
    lease: Optional[Lease[Connection]] = taken(leases)
    assert lease
    leases.join(first)
    leases.join(second)
    leases.give_back(lease)
    assert first.get_nowait() is lease
    lease = None
    assert type(second.get_nowait()) is Lease


def test_a_waiter_that_joins_when_a_lease_is_free_gets_it_at_once() -> None:
    waiter = new_queue()
    Leases(1, Connection).join(waiter)
    assert type(waiter.get_nowait()) is Lease


def test_a_waiter_that_left_takes_no_lease_from_the_next() -> None:
    leases = Leases(1, Connection)
    lease = taken(leases)
    gone, left, waits = (new_queue() for _ in range(3))
    for waiter in (gone, left, waits):
        leases.join(waiter)
    del gone, waiter
    leases.leave(left)
    leases.leave(left)
    leases.give_back(lease)
    assert left.empty()
    assert waits.get_nowait() is lease


def test_closing_idle_connections_keeps_lent_ones() -> None:
    leases = Leases(2, Connection)
    lent, idle = taken(leases), taken(leases)
    leases.give_back(idle)
    leases.close_idle()
    assert (lent.connection.closed, idle.connection.closed) == (False, True)


def test_a_forked_process_abandons_its_parents_connections() -> None:
    for lent_too in (False, True):
        leases = Leases(2, Connection)
        lent, idle = taken(leases), taken(leases)
        leases.give_back(idle)
        leases.abandon(lent_too)
        assert (lent.connection.abandoned, idle.connection.abandoned) == (lent_too, True)


def test_concurrent_threads_never_hold_more_than_the_maximum() -> None:
    leases = Leases(3, Connection)
    in_use: List[None] = []
    most: List[int] = []

    def work() -> None:
        for turn in range(2000):
            lease = leases.take()
            if lease is None:
                continue
            in_use.append(None)
            most.append(len(in_use))
            in_use.pop()
            if turn % 3:
                leases.give_back(lease)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 3
    assert leases.lent == 0


def test_a_waiter_that_fell_out_of_the_line_is_put_back_by_a_recount() -> None:
    """What would have handed it a lease was broken off before it did."""
    leases = Leases(1, Connection)
    lease, waiter = taken(leases), new_queue()
    leases.join(waiter)
    leases.leave(waiter)
    leases.recount(waiter)
    leases.recount(waiter)
    leases.give_back(lease)
    assert waiter.get_nowait() is lease
    assert waiter.empty()


def test_a_waiter_that_is_handed_two_leases_gives_one_back() -> None:
    class Twice(queue.SimpleQueue):  # type: ignore[type-arg]  # of leases
        """Is in the line once more when all leases come free."""

        def get(self, block: bool = True, timeout: Optional[float] = None) -> Any:
            leases.join(self)
            for lease in held:
                leases.give_back(lease)
            return super().get(block, timeout)

    api = SocketApi(socket, ssl, Twice, time.sleep)
    lender = Lender(Connection, Network(api), 2, 0, lambda: TimedOut("all in use"))
    leases = lender.leases()
    held = [taken(leases), taken(leases)]
    assert lender.lend(lambda connection: leases.lent) == 1
    assert leases.lent == 0
