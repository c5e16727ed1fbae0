"""The password that a server asks for.

Rule: an attempt is compared in constant time, and after failures from an address the next attempts
from there wait their turn, the right one too, so that neither the time of an answer nor many
connections at once help to guess.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from typing import Callable, Tuple

FREE = 3
"""How many failures from one address cost nothing."""

DELAY, LONGEST = 0.1, 2.0
"""Seconds between attempts after these; doubled with every failure, up to the longest."""

FORGIVEN = 600.0
"""Seconds without an attempt until an address is forgotten."""

ADDRESSES = 10_000
"""How many addresses are remembered; the oldest are forgotten for new ones."""


class Password:
    """A secret, and the patience with those who guess. `clock` gives seconds."""

    def __init__(self, secret: str, clock: Callable[[], float]) -> None:
        self._digest = _digest(secret)
        self._clock = clock
        self._failures: OrderedDict[str, Tuple[int, float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until the turn of one more attempt from `address`, which is taken by asking."""
        now = self._clock()
        count, turn = self._failures.get(address, (0, now))
        if count < FREE or now - turn > FORGIVEN:
            return 0.0
        turn = max(now, turn) + min(LONGEST, DELAY * 2.0 ** min(count - FREE, 10))
        self._remember(address, count, turn)
        return turn - now

    def matches(self, attempt: str, address: str) -> bool:
        """Whether `attempt`, made from `address`, is right."""
        if hmac.compare_digest(_digest(attempt), self._digest):
            return True
        count, turn = self._failures.get(address, (0, self._clock()))
        if self._clock() - turn > FORGIVEN:
            count = 0
        self._remember(address, count + 1, max(turn, self._clock()))
        return False

    def _remember(self, address: str, count: int, turn: float) -> None:
        self._failures[address] = count, turn
        self._failures.move_to_end(address)
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
