"""The ledger of clients' bytes: which client is cut when the total is over the bound."""

from __future__ import annotations

import contextlib
import random
from typing import Any, Callable, Dict, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.gevent_tcp.connection import Connection
from adapters.gevent_tcp.greenlet_connection import GreenletConnection
from application.ledger import Account, Ledger
from tests.test_timeouts import PING, PONG, World, rest_of


class Clients:
    """Some clients of one ledger, and which of them it cut."""

    def __init__(self, bound: int, count: int) -> None:
        self.ledger = Ledger(bound)
        self.cut: List[int] = []
        self.reasons: List[str] = []
        self.accounts = [self.ledger.open(self._cutter(number)) for number in range(count)]

    def _cutter(self, number: int) -> Callable[[str], None]:
        def abort(reason: str) -> None:
            self.cut.append(number)
            self.reasons.append(reason)

        return abort

    def hold(self, *sizes: int) -> None:
        """Each holds so many bytes more."""
        for account, size in zip(self.accounts, sizes):
            account.change(size)


def test_within_the_bound_no_client_is_cut() -> None:
    clients = Clients(100, 3)
    clients.hold(60, 39, 1)
    assert clients.cut == []
    assert clients.ledger.held == 100


def test_over_the_bound_the_largest_client_is_cut_and_not_the_last() -> None:
    clients = Clients(100, 3)
    clients.hold(60, 39, 2)
    assert clients.cut == [0]
    assert clients.ledger.held == 41


def test_a_client_that_exceeds_the_bound_alone_is_cut() -> None:
    clients = Clients(100, 2)
    clients.hold(101, 5)
    assert clients.cut == [0]
    assert clients.ledger.held == 5


def test_clients_are_cut_largest_first_until_the_bound_holds() -> None:
    clients = Clients(100, 4)
    clients.hold(30, 40, 29, 1)
    clients.accounts[3].change(60)
    assert clients.cut == [3]
    clients = Clients(100, 4)
    clients.hold(30, 40, 30)
    clients.ledger.charge(45)  # of something that is no client's
    assert clients.cut == [1, 0] or clients.cut == [1, 2]


def test_the_reason_names_both_figures_and_the_setting() -> None:
    clients = Clients(100, 2)
    clients.hold(70, 31)
    (reason,) = clients.reasons
    assert "70 bytes" in reason
    assert "100 (max_input_bytes)" in reason


def test_freeing_cuts_no_client_even_over_the_bound() -> None:
    clients = Clients(100, 2)
    clients.hold(50, 50)
    clients.ledger.held += 50  # as if the bound had been crossed by what no account holds
    clients.accounts[0].change(-10)
    assert clients.cut == []


def test_the_bytes_of_a_closed_account_are_freed_once() -> None:
    clients = Clients(100, 2)
    clients.hold(50, 20)
    clients.accounts[0].close()
    clients.accounts[0].close()
    assert clients.ledger.held == 20


@pytest.mark.parametrize("late", [-50, -1, 0, 1, 1000])
def test_a_change_of_a_closed_account_counts_no_more(late: int) -> None:
    """The turn in which a client was cut goes on to its end, and frees the client's bytes."""
    clients = Clients(100, 2)
    clients.hold(101, 20)
    assert clients.cut == [0]
    clients.accounts[0].change(late)
    clients.accounts[0].close()
    assert clients.ledger.held == 20
    assert clients.cut == [0]


def test_an_account_cut_within_its_own_change_is_cut_once() -> None:
    ledger = Ledger(10)
    cut: List[str] = []
    account: Account

    def abort(reason: str) -> None:
        cut.append(reason)
        account.change(-account.held)
        account.close()

    account = ledger.open(abort)
    account.change(11)
    assert len(cut) == 1
    assert ledger.held == 0


def test_an_account_that_is_closed_is_not_kept() -> None:
    ledger = Ledger(10)
    for _ in range(1000):
        account = ledger.open(pytest.fail)
        account.change(5)
        account.close()
    assert not ledger._accounts


class CountedAccounts(Dict[int, Account]):
    """Accounts that count how often all of them are looked at."""

    n_looks = 0

    def values(self) -> Any:
        self.n_looks += 1
        return super().values()


@pytest.mark.parametrize("is_at_once", [True, False])
def test_many_clients_are_cut_with_few_looks_at_all_of_them(is_at_once: bool) -> None:
    clients = Clients(10_000, 2000)
    clients.ledger._accounts = accounts = CountedAccounts(clients.ledger._accounts)
    for account in clients.accounts:
        account.change(5)
    if is_at_once:
        clients.ledger.charge(5000)  # of something that is no client's
    else:
        for account in clients.accounts[:1000]:
            account.change(6)
    assert len(clients.cut) > 500
    assert accounts.n_looks < 5


def test_over_the_bound_clients_without_any_bytes_are_cut_too() -> None:
    clients = Clients(10, 3)
    clients.hold(11)
    later = [clients.ledger.open(clients._cutter(number)) for number in (3, 4)]
    clients.ledger.charge(11)  # of something that is no client's
    assert sorted(clients.cut) == [0, 1, 2, 3, 4]
    assert not any(account.held for account in later)


COUNT, BOUND = 8, 1000
operations = st.tuples(
    st.integers(0, COUNT - 1), st.sampled_from(["more", "less", "close"]), st.integers(0, BOUND)
)


@given(st.lists(operations, max_size=60))
def test_the_total_is_that_of_open_accounts_and_only_those_over_their_share_are_cut(
    done: List[Tuple[int, str, int]],
) -> None:
    clients = Clients(BOUND, COUNT)
    held = [0] * COUNT
    gone: List[int] = []
    for number, what, size in done:
        if number in gone:
            what = "close"
        before = len(clients.cut)
        if what == "more":
            held[number] += size
            clients.accounts[number].change(size)
        elif what == "less":
            freed = min(size, held[number])
            held[number] -= freed
            clients.accounts[number].change(-freed)
        else:
            held[number] = 0
            clients.accounts[number].close()
            gone.append(number)
        for cut in clients.cut[before:]:
            assert what == "more"
            assert cut not in gone
            assert held[cut] == max(held)
            assert held[cut] * sum(map(bool, held)) > BOUND
            held[cut] = 0
            gone.append(cut)
        assert clients.ledger.held == sum(held)
        assert 0 <= clients.ledger.held <= BOUND


def test_only_large_accounts_are_cut_among_many_small_ones() -> None:
    chance = random.Random(1)
    clients = Clients(10_000, 220)
    hogs = range(200, 220)
    for _ in range(2000):
        clients.accounts[chance.randrange(200)].change(1)
        clients.accounts[chance.choice(hogs)].change(100)
    assert clients.cut
    assert set(clients.cut) <= set(hogs)


SMALL: Dict[str, Any] = {
    "max_key_bytes": 100,
    "max_request_bytes": 50_000,
    "max_reply_bytes": 200_000,
    "max_input_bytes": 300_000,
}
HALF = b'{"type":"SET","key":"k","value":"' + b"x" * 40_000
SET = b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 49_000)
HOGS: Dict[str, bytes] = {
    "half a request": HALF,
    "replies that are not taken": SET + b'{"type":"GET","key":"k"}\n' * 200,
}


@pytest.mark.parametrize("hog", HOGS)
@pytest.mark.parametrize("connection", [Connection, GreenletConnection])
def test_large_clients_on_sockets_are_cut_and_all_others_are_served(
    connection: Any, hog: str, caplog: pytest.LogCaptureFixture
) -> None:
    here = World(connection, SMALL)
    with contextlib.closing(here), contextlib.ExitStack() as clients:
        hogs = [clients.enter_context(here.connect()) for _ in range(12)]
        others = [clients.enter_context(here.connect()) for _ in range(20)]
        for sock in others:
            sock.sendall(PING[:7])
        for sock in hogs:
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.send(HOGS[hog])
            here.settle()
        for sock in others:
            sock.sendall(PING[7:])
            assert sock.recv(100) == PONG
        here.settle()
        info = here.info()
        assert info["connected_clients"] == 1 + 20 + 12 - info["cut_clients"]
        assert info["cut_clients"] > 0
        assert here.server._ledger.held <= SMALL["max_input_bytes"]
    assert "more than any other client" in repr([vars(record) for record in caplog.records])


def test_a_client_that_is_cut_gets_no_reply() -> None:
    here = World(Connection, {**SMALL, "max_input_bytes": 50_000})
    with contextlib.closing(here), here.connect() as first, here.connect() as second:
        first.sendall(HALF)
        here.settle()
        second.sendall(HALF[:20_000])
        here.settle()
        assert rest_of(first) == b""
        second.sendall(b'"}\n')
        assert second.recv(100) == b'{"ok":true,"result":true}\n'
