"""The memory of all clients' input and output, counted together.

Rule: all bytes kept for a client between turns are counted: unanswered input and unsent output.
What is kept once for several clients counts for each of them, and once in the total. When the total
is over the bound, the client with the most is cut, so never one with less than a fair share.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from typing import Callable, Dict, List, Tuple


class Ledger:
    """`bound` is in bytes."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._accounts: Dict[int, Account] = {}
        self._ranking: List[Tuple[int, int]] = []
        """A heap, once a client was cut: no account holds more than its first entry says."""
        self.held = 0

    def open(self, abort: Callable[[str], None]) -> Account:
        """An account for a client. `abort` cuts the client, for the reason it is told, once its
        turn is over: it may be called in the middle of that."""
        account = Account(self, abort)
        self._accounts[id(account)] = account
        return account

    def charge(self, by: int) -> None:
        """Adds `by` bytes, which may be negative, to the total."""
        self.held += by
        while self.held > self._bound and by > 0 and self._accounts:
            largest = self._largest()
            largest.cut(
                f"it held {largest.held} bytes, more than any other client; "
                f"all together may hold {self._bound} (max_input_bytes)"
            )

    def rank(self, account: Account) -> None:
        """To be told of an account that holds more than before."""
        if len(self._ranking) > 2 * len(self._accounts):
            self._ranking = []
        if self._ranking:
            heappush(self._ranking, _ranked(account))

    def forget(self, account: Account) -> None:
        """Removes an account."""
        self._accounts.pop(id(account), None)
        self.held -= account.held

    def _largest(self) -> Account:
        """The account with the most, without a look at all of them each time."""
        while True:
            if not self._ranking:
                self._ranking = list(map(_ranked, self._accounts.values()))
                heapify(self._ranking)
            size, number = self._ranking[0]
            account = self._accounts.get(number)
            if account is None:
                heappop(self._ranking)
            elif -size > account.held:
                heapreplace(self._ranking, _ranked(account))
            else:
                return account


class Account:
    """The bytes held for one client."""

    __slots__ = ("_buffered", "_ledger", "abort", "held", "is_open")

    def __init__(self, ledger: Ledger, abort: Callable[[str], None]) -> None:
        self._ledger = ledger
        self.abort = abort
        self.is_open = True
        self.held = 0
        self._buffered = 0

    def buffer(self, n_bytes: int) -> None:
        """Says how much unread input is held, which is a part of the total."""
        if n_bytes != self._buffered:
            by, self._buffered = n_bytes - self._buffered, n_bytes
            self.change(by)

    def change(self, by: int, shared: int = 0) -> None:
        """Adds `by` bytes, which may be negative; `shared` of them are in other accounts, too. All
        that a closed account held has left the total, though others may still share it."""
        if not self.is_open:
            by = 0
        self.held += by
        if by > 0:
            self._ledger.rank(self)
        self._ledger.charge(by - shared)

    def cut(self, reason: str) -> None:
        """Has the client cut; its bytes count no more."""
        abort = self.abort
        self.close()
        abort(reason)

    def close(self) -> None:
        """Frees the account of a client that is gone."""
        if self.is_open:
            self._ledger.forget(self)
            self.is_open = False
            self.abort = _ignore


def _ranked(account: Account) -> Tuple[int, int]:
    """An entry of the ranking, which keeps no account alive that is closed; the least is the first
    of a heap."""
    return -account.held, id(account)


def _ignore(reason: str) -> None:
    """Does nothing: the client is cut already."""
