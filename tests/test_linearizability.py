"""Clients at once, whose connections are cut now and then, see one store and no half commands.

Rule: what they saw is judged by `tests.linearizability` alone. A request that was sent in part is
in no history, so that if it had an effect, nothing explains it.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Type

import gevent
import pytest
from msgspec import UNSET, Raw

from adapters.client.address import Address
from adapters.client.json_lines.session import ClientSession
from adapters.client.tcp import Socket, TcpClient
from application.commands import Delete, Get, Incr, Set
from domain.errors import KvError, Unavailable
from domain.memory import InMemoryStore
from domain.store import Change, Entry, Store
from tests.engines import programs, shared
from tests.library.proxy import Proxy, passed_on, reply_cut, reply_lost, request_cut, request_lost
from tests.linearizability import OneKeyCommand, Operation, find_violation
from tests.support import ROOT, TIMEOUT, BlockingStore, Server, environment, running_server

CLIENTS = 5
COMMANDS = 4
"""How many a client runs in a round, at whose end it waits for the others."""

ROUNDS = 10
"""How many rounds share their keys. Requests without an answer may take effect at any time after,
and a search tries them all, so there should not be many at a key."""

CUT = 0.1
"""Of how many requests the connection is cut."""


class Cut(ConnectionError):
    """The client hung up, after the whole request or a part of it."""

    def __init__(self, whole: bool) -> None:
        super().__init__("cut by the test")
        self.whole = whole


class UnreliableSocket:
    """A socket that is cut now and then: within a request, before its line feed, or behind it."""

    def __init__(self, sock: socket.socket, chance: random.Random) -> None:
        self._sock = sock
        self._chance = chance
        self.recv = sock.recv
        self.settimeout = sock.settimeout
        self.shutdown = sock.shutdown
        self.close = sock.close
        self.fileno = sock.fileno

    def send(self, data: bytes) -> int:
        if self._chance.random() >= CUT:
            return self._sock.send(data)
        size = len(data)
        sent = self._chance.choice([self._chance.randrange(size), size - 1, size, size])
        self._sock.sendall(data[:sent])
        if self._chance.random() < 0.5:  # closing sends a reset
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Cut(whole=sent == size)


class Client:
    """Runs random commands and notes what it saw; no value is written twice."""

    def __init__(self, number: int, port: int, clock: Iterator[int]) -> None:
        self._number = number
        self._clock = clock
        self._chance = random.Random(number)
        self._seen: Dict[str, Raw] = {}
        new_session = partial(ClientSession, 1 << 20)
        self._tcp = TcpClient(
            Address("127.0.0.1", port), TIMEOUT, TIMEOUT, new_session, self._connect
        )
        self.close = self._tcp.close

    def run(self, keys: Sequence[str]) -> List[Operation]:
        """What came of a round of commands, without those that were sent in part."""
        asked = (self._ask(self._command(self._chance.choice(keys))) for _ in range(COMMANDS))
        return [operation for operation in asked if operation]

    def _connect(self, address: Address, timeout: Optional[float]) -> Socket:
        sock = socket.create_connection((address.host, address.port), timeout)
        return UnreliableSocket(sock, self._chance)

    def _ask(self, command: OneKeyCommand) -> Optional[Operation]:
        invoked = next(self._clock)
        try:
            result = self._tcp.execute_all([command])[0]
        except Unavailable as error:
            if not isinstance(error.__cause__, Cut):
                raise
            return Operation(self._number, command, invoked) if error.__cause__.whole else None
        if isinstance(result, Unavailable):  # the engine's reply was lost
            return Operation(self._number, command, invoked)
        if isinstance(result, KvError):
            result = result.code
        elif isinstance(result, bytes):
            self._seen[command.key] = Raw(result)
        return Operation(self._number, command, invoked, next(self._clock), result)

    def _command(self, key: str) -> OneKeyCommand:
        tick = next(self._clock)  # no two values are alike, for no two ticks are
        value = Raw(self._chance.choice([b"%d000" % tick, b'"at %d"' % tick]))
        expected = self._seen.get(key, Raw(b'"never"'))
        makers: List[Callable[[], OneKeyCommand]] = [
            lambda: Get(key),
            lambda: Incr(key),
            lambda: Set(key, value),
            lambda: Set(key, value, if_=self._chance.choice(["absent", "present"])),
            lambda: Set(key, value, if_equals=expected),
            lambda: Delete(key),
            lambda: Delete(key, if_equals=expected),
        ]
        return self._chance.choices(makers, [6, 4, 3, 2, 2, 1, 1])[0]()


@contextlib.contextmanager
def recording(port: int) -> Iterator[Iterator[List[Operation]]]:
    """Histories without end of several clients at a server, each of keys of its own."""
    clock = itertools.count()
    clients = [Client(number, port, clock) for number in range(CLIENTS)]
    with contextlib.ExitStack() as stack:
        for client in clients:
            stack.callback(client.close)
        yield _histories(clients, stack.enter_context(ThreadPoolExecutor(CLIENTS)))


def _histories(clients: Sequence[Client], threads: ThreadPoolExecutor) -> Iterator[List[Operation]]:
    for number in itertools.count():
        keys = [f"{number}{name}" for name in "abc"]
        history: List[Operation] = []
        for _ in range(ROUNDS):
            for operations in threads.map(Client.run, clients, itertools.repeat(keys)):
                history += operations
        yield history


def test_what_clients_with_cut_connections_see_of_a_server_is_linearizable(seconds: float) -> None:
    with running_server() as server, recording(server.port) as histories:
        end = time.monotonic() + seconds
        for history in histories:
            violation = find_violation(history)
            assert violation is None, str(violation)
            if time.monotonic() > end:
                break


@pytest.mark.parametrize("name", list(programs())[-1:])
def test_what_clients_see_of_an_engine_with_cut_connections_is_linearizable(
    name: str, seconds: float
) -> None:
    chance = random.Random(name)
    faults = [request_lost, request_cut, reply_lost, reply_cut]
    with Proxy(shared(name).port) as proxy:
        proxy.faults.extend(
            chance.choice(faults) if chance.random() < 0.03 else passed_on for _ in range(200_000)
        )
        url = f"redis://127.0.0.1:{proxy.port}"
        with running_server("--store", url) as server, recording(server.port) as histories:
            end = time.monotonic() + seconds
            for history in histories:
                violation = find_violation(history)
                assert violation is None, str(violation)
                if time.monotonic() > end and len(proxy.faults) < 199_000:
                    break


def test_the_histories_hold_whatever_can_go_wrong(server: Server) -> None:
    with recording(server.port) as histories:
        history = [operation for part in itertools.islice(histories, 20) for operation in part]
    answered = [operation for operation in history if operation.answered]
    given = {(type(operation.command), str(operation.result)) for operation in answered}
    assert given >= {(Set, "False"), (Delete, "True"), (Incr, "NOT_A_NUMBER"), (Incr, "1")}
    assert any(_overlap(*pair) for pair in itertools.combinations(answered, 2))
    seen = {operation.result for operation in answered if isinstance(operation.command, Get)}
    cut = [operation.command for operation in history if not operation.answered]
    assert any(bytes(command.value) in seen for command in cut if isinstance(command, Set))


def _overlap(one: Operation, other: Operation) -> bool:
    return (
        one.command.key == other.command.key
        and one.invoked < other.returned
        and other.invoked < one.returned
    )


class StaleReads(InMemoryStore):
    """Every third read of a key returns the value before the last one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._former: Dict[str, Optional[bytes]] = {}
        self._reads = itertools.count()

    def get(self, key: str) -> Optional[bytes]:
        held = super().get(key)
        return self._former.get(key, held) if next(self._reads) % 3 == 0 else held

    def set(self, key: str, text: bytes) -> None:
        self._former[key] = super().get(key)
        super().set(key, text)


class LostWrites(InMemoryStore):
    """Every third value is acknowledged and not kept."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._writes = itertools.count()

    def set(self, key: str, text: bytes) -> None:
        if next(self._writes) % 3:
            super().set(key, text)


class TornUpdates(InMemoryStore):
    """Others are served between an update's look at a key and its write."""

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        text = self.get(key)
        gevent.sleep(0)
        before = None if text is None else Entry(text)
        after = change(before)
        return (before, after) if after is before else super().update(key, lambda _: after)


SERVER_WITH = """
from dependency_injector.providers import Object, Singleton
from adapters.gevent_tcp.greenlet_connection import GreenletConnection
from entrypoints.server.__main__ import main
from entrypoints.server.container import ServerContainer
from {store.__module__} import {store.__name__}

ServerContainer.store.override(Singleton({store.__name__}, ServerContainer.clock))
ServerContainer.connection.override(Object(GreenletConnection))
main()
"""


@contextlib.contextmanager
def recording_with(store: Type[Store]) -> Iterator[Iterator[List[Operation]]]:
    """Histories of a server process whose store is this one."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER_WITH.format(store=store), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    with process:
        try:
            assert process.stdout
            port = int(process.stdout.readline().rpartition(":")[2])
            with recording(port) as histories:
                yield histories
        finally:
            process.kill()


@pytest.mark.parametrize("store", [StaleReads, LostWrites, TornUpdates])
def test_a_store_with_a_bug_is_found_out(store: Type[InMemoryStore]) -> None:
    with recording_with(store) as histories:
        some = itertools.islice(histories, 100)
        violation = next(filter(None, map(find_violation, some)), None)
    assert violation, f"nothing was found of {store.__doc__}"


def test_a_store_that_only_waits_is_not_blamed() -> None:
    with recording_with(BlockingStore) as histories:
        for history in itertools.islice(histories, 3):
            violation = find_violation(history)
            assert violation is None, str(violation)


ONE, TWO = Raw(b"1"), Raw(b"2")


class TestTheCheckAccepts:
    def test_an_empty_history(self) -> None:
        assert accepted()

    def test_a_read_of_what_was_written(self) -> None:
        assert accepted(
            Operation(0, Get("k"), 1, 2, UNSET),
            Operation(0, Set("k", ONE), 3, 4, True),
            Operation(1, Get("k"), 5, 6, b"1"),
        )

    @pytest.mark.parametrize("result", [UNSET, b"1"])
    def test_either_value_while_a_write_is_under_way(self, result: object) -> None:
        assert accepted(
            Operation(0, Set("k", ONE), 1, 4, True), Operation(1, Get("k"), 2, 3, result)
        )

    def test_an_order_that_is_not_that_of_the_invocations(self) -> None:
        assert accepted(
            Operation(0, Set("k", ONE), 1, 6, True),
            Operation(1, Incr("k"), 2, 7, 1),
            Operation(2, Set("k", TWO, if_equals=Raw(b"1")), 3, 8, False),
            Operation(3, Delete("k"), 4, 9, True),
            Operation(4, Get("k"), 10, 11, b"1"),
        )

    def test_an_unanswered_write_that_is_seen_later(self) -> None:
        assert accepted(
            Operation(0, Set("k", ONE), 1),
            Operation(0, Get("k"), 2, 3, UNSET),
            Operation(0, Set("k", TWO), 4, 5, True),
            Operation(1, Get("k"), 6, 7, b"2"),
            Operation(1, Get("k"), 8, 9, b"1"),
        )

    def test_an_unanswered_write_that_is_never_seen(self) -> None:
        assert accepted(
            Operation(0, Set("k", ONE), 1),
            Operation(0, Get("k"), 2, 3, UNSET),
            Operation(0, Incr("k"), 4, 5, 1),
        )

    def test_unanswered_commands_that_build_on_one_another(self) -> None:
        assert accepted(
            Operation(0, Incr("k"), 1),
            Operation(1, Set("k", ONE), 2),
            Operation(2, Incr("k"), 3),
            Operation(3, Get("k"), 4, 5, b"3"),
        )

    def test_a_refusal_that_changes_nothing(self) -> None:
        assert accepted(
            Operation(0, Set("k", Raw(b'"x"')), 1, 2, True),
            Operation(0, Incr("k"), 3, 4, "NOT_A_NUMBER"),
            Operation(0, Get("k"), 5, 6, b'"x"'),
        )

    def test_conditions_that_hold_and_those_that_do_not(self) -> None:
        results: List[Tuple[OneKeyCommand, object]] = [
            (Set("k", ONE, if_="present"), False),
            (Set("k", ONE, if_equals=ONE), False),
            (Delete("k"), False),
            (Set("k", ONE, if_="absent"), True),
            (Set("k", TWO, if_="absent"), False),
            (Set("k", TWO, if_equals=ONE), True),
            (Delete("k", if_equals=ONE), False),
            (Set("k", ONE, if_="present"), True),
            (Delete("k", if_equals=ONE), True),
            (Get("k"), UNSET),
        ]
        assert accepted(
            *(
                Operation(0, command, 2 * at, 2 * at + 1, result)
                for at, (command, result) in enumerate(results)
            )
        )


class TestTheCheckRejects:
    def test_a_stale_read(self) -> None:
        assert rejected(
            Operation(0, Set("k", ONE), 1, 2, True),
            Operation(0, Set("k", TWO), 3, 4, True),
            Operation(1, Get("k"), 5, 6, b"1"),
        )

    def test_a_write_that_is_seen_by_one_and_then_not_by_another(self) -> None:
        assert rejected(
            Operation(1, Get("k"), 2, 3, b"1"),
            Operation(2, Get("k"), 4, 5, UNSET),
            Operation(0, Set("k", ONE), 1, 6, True),
            last=1,
        )

    @pytest.mark.parametrize("invoked", [1, 3])
    def test_a_lost_update(self, invoked: int) -> None:
        assert rejected(Operation(0, Incr("k"), 0, 2, 1), Operation(1, Incr("k"), invoked, 4, 1))

    def test_a_lock_that_two_have_taken(self) -> None:
        assert rejected(
            Operation(0, Set("k", ONE, if_="absent"), 1, 3, True),
            Operation(1, Set("k", TWO, if_="absent"), 2, 4, True),
        )

    def test_a_value_that_was_never_written(self) -> None:
        assert rejected(Operation(0, Get("k"), 1, 2, b"1"))

    def test_an_unanswered_write_that_is_seen_before_it_was_asked(self) -> None:
        assert rejected(Operation(1, Get("k"), 1, 2, b"1"), Operation(0, Set("k", ONE), 3), last=0)

    def test_an_unanswered_write_that_is_seen_and_then_unseen(self) -> None:
        assert rejected(
            Operation(0, Set("k", ONE), 1),
            Operation(1, Get("k"), 2, 3, b"1"),
            Operation(1, Get("k"), 4, 5, UNSET),
        )

    def test_an_unanswered_write_that_takes_effect_twice(self) -> None:
        assert rejected(
            Operation(0, Set("k", ONE), 1),
            Operation(1, Get("k"), 2, 3, b"1"),
            Operation(1, Set("k", TWO), 4, 5, True),
            Operation(1, Get("k"), 6, 7, b"1"),
        )

    def test_a_refusal_that_changes_something(self) -> None:
        assert rejected(
            Operation(0, Set("k", Raw(b'"x"')), 1, 2, True),
            Operation(0, Incr("k"), 3, 4, "NOT_A_NUMBER"),
            Operation(0, Get("k"), 5, 6, UNSET),
        )

    def test_a_read_that_a_hundred_unanswered_writes_do_not_explain(self) -> None:
        writes = [Operation(n, Set("k", Raw(b"%d" % n)), n) for n in range(100)]
        assert rejected(*writes, Operation(0, Get("k"), 200, 201, b"100"))

    def test_one_bad_key_among_good_ones(self) -> None:
        assert rejected(
            Operation(0, Set("a", ONE), 1, 2, True),
            Operation(0, Get("a"), 3, 4, b"1"),
            Operation(0, Get("b"), 5, 6, b"1"),
        )

    def test_a_rejected_history_is_explained(self) -> None:
        history = [
            Operation(0, Set("k", ONE), 1, 2, True),
            Operation(1, Incr("k"), 3),
            Operation(2, Get("k"), 4, 5, UNSET),
        ]
        assert str(find_violation(history)).splitlines() == [
            "key 'k' is not linearizable: no order explains",
            '    [4, 5] client 2 {"type":"GET","key":"k"} gave nothing',
            "  where the key held 1, and there were under way",
            '    [3, cut] client 1 {"type":"INCR","key":"k","by":1}',
            "  after there had returned",
            '    [1, 2] client 0 {"type":"SET","key":"k","value":1,"keep_ttl":false} gave True',
        ]


def accepted(*history: Operation) -> bool:
    return find_violation(history) is None


def rejected(*history: Operation, last: int = -1) -> bool:
    """Whether the history is rejected at its last operation, or at the one told."""
    violation = find_violation(history)
    return violation is not None and violation.unplaced is history[last]
