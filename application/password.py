"""The password that a server asks for.

Rule: an attempt is compared in constant time, and after failures from an address the next attempts
from there wait their turn, the right one too, so that neither the time of an answer nor many
connections at once help to guess.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from typing import Callable, NamedTuple, Tuple

FREE = 3
"""How many failures from one address cost nothing."""

DELAY, LONGEST = 0.1, 2.0
"""Seconds between attempts after these; doubled with every failure, up to the longest."""

FORGIVEN = 600.0
"""Seconds without an attempt until an address is forgotten."""

ADDRESSES = 10_000
"""How many addresses are remembered; the oldest are forgotten for new ones."""


class Turn(NamedTuple):
    """When an attempt may be made, and how much later than the one before it, in seconds."""

    at: float
    after: float


class Password:
    """A secret, and the patience with those who guess. `clock` gives seconds."""

    def __init__(self, secret: str, clock: Callable[[], float]) -> None:
        self._digest = _digest(secret)
        self._clock = clock
        self._attempts: OrderedDict[str, Tuple[int, float]] = OrderedDict()

    def turn(self, address: str) -> Turn:
        """The turn of one more attempt from `address`. It counts as a failure until it `matches`,
        so that many at once wait as long as one after the other."""
        now = self._clock()
        count, last = self._attempts.get(address, (0, now))
        if now - last > FORGIVEN:
            count = 0
        after = 0.0 if count < FREE else min(LONGEST, DELAY * 2.0 ** min(count - FREE, 10))
        turn = Turn(max(now, last) + after if after else now, after)
        self._remember(address, count + 1, max(turn.at, last))
        return turn

    def forgo(self, address: str, turn: Turn) -> None:
        """Give a turn back that was not waited for; it goes on counting as a failure."""
        count, last = self._attempts.get(address, (0, 0.0))
        self._remember(address, count, last - turn.after)

    def matches(self, attempt: str, address: str) -> bool:
        """Whether `attempt`, made from `address` in its turn, is right."""
        if not hmac.compare_digest(_digest(attempt), self._digest):
            return False
        count, last = self._attempts.get(address, (1, self._clock()))
        self._remember(address, count - 1, last)
        return True

    def _remember(self, address: str, count: int, last: float) -> None:
        self._attempts[address] = count, last
        self._attempts.move_to_end(address)
        if len(self._attempts) > ADDRESSES:
            self._attempts.popitem(last=False)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
