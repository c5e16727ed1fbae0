"""The memory of all clients' input and output, counted together.

Rule: all bytes kept for a client between turns are counted: unanswered input and unsent output.
When the total is over the bound, the client with the most is cut, so never one with less than a
fair share.
"""

from __future__ import annotations

import operator
from typing import Callable, Optional, Set


class Ledger:
    """`bound` is in bytes."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._accounts: Set[Account] = set()
        self.held = 0

    def open(self, abort: Callable[[str], None]) -> Account:
        """An account for a client. `abort` cuts the client, for the reason it is told, once its
        turn is over: it may be called in the middle of that."""
        account = Account(self, abort)
        self._accounts.add(account)
        return account

    def charge(self, by: int) -> None:
        """Adds `by` bytes, which may be negative, to the total."""
        self.held += by
        while self.held > self._bound and by > 0 and self._accounts:
            self._cut(max(self._accounts, key=operator.attrgetter("held")))

    def forget(self, account: Account) -> None:
        """Removes an account."""
        self._accounts.discard(account)
        self.held -= account.held

    def _cut(self, account: Account) -> None:
        reason = (
            f"it held {account.held} bytes, more than any other client; "
            f"all together may hold {self._bound} (max_input_bytes)"
        )
        abort = account.abort
        account.close()
        abort(reason)


class Account:
    """The bytes held for one client."""

    def __init__(self, ledger: Ledger, abort: Callable[[str], None]) -> None:
        self._ledger: Optional[Ledger] = ledger
        self.abort = abort
        self.held = 0
        self._buffered = 0

    def buffer(self, n_bytes: int) -> None:
        """Says how much unread input is held, which is a part of the total."""
        if n_bytes != self._buffered:
            by, self._buffered = n_bytes - self._buffered, n_bytes
            self.change(by)

    def change(self, by: int) -> None:
        """Adds `by` bytes, which may be negative."""
        if self._ledger:
            self.held += by
            self._ledger.charge(by)

    def close(self) -> None:
        """Frees the account of a client that is gone."""
        if self._ledger:
            self._ledger.forget(self)
            self._ledger = None
            self.abort = _ignore


def _ignore(reason: str) -> None:
    """Does nothing: the client is cut already."""
