"""The password that a server asks for.

Rule: an attempt is compared in constant time, and after failures from an address the next attempts
from there wait their turn, the right one too, so that neither the time of an answer nor many
connections at once help to guess.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from typing import Callable, Optional, Tuple

FREE = 3
"""How many failures from one address cost nothing."""

DELAY, LONGEST = 0.1, 2.0
"""Seconds between attempts after these; doubled with every failure, up to the longest."""

QUEUE = 10.0
"""Seconds that the attempts which wait at an address take together; more are turned away."""

FORGIVEN = 600.0
"""Seconds without an attempt until an address is forgotten."""

ADDRESSES = 10_000
"""How many addresses are remembered; the oldest are forgotten for new ones."""


class Password:
    """A secret, and the patience with those who guess. `clock` gives seconds."""

    def __init__(self, secret: str, clock: Callable[[], float]) -> None:
        self._digest = _digest(secret)
        self._clock = clock
        self._attempts: OrderedDict[str, Tuple[int, float]] = OrderedDict()

    def wait(self, address: str) -> Optional[float]:
        """Seconds until the turn of one more attempt from `address`, which is taken by asking; None
        when too many wait there already.

        An attempt counts as a failure from then on until it `matches`, so that many at once wait as
        long as one after the other.
        """
        now = self._clock()
        count, last = self._attempts.get(address, (0, now))
        if now - last > FORGIVEN:
            count = 0
        if count < FREE:
            self._remember(address, count + 1, max(now, last))
            return 0.0
        turn = max(now, last) + min(LONGEST, DELAY * 2.0 ** min(count - FREE, 10))
        if turn - now > QUEUE:
            return None
        self._remember(address, count + 1, turn)
        return turn - now

    def matches(self, attempt: str, address: str) -> bool:
        """Whether `attempt`, made from `address` in its turn, is right; then failures there are
        forgiven."""
        if not hmac.compare_digest(_digest(attempt), self._digest):
            return False
        self._attempts.pop(address, None)
        return True

    def _remember(self, address: str, count: int, last: float) -> None:
        self._attempts[address] = count, last
        self._attempts.move_to_end(address)
        if len(self._attempts) > ADDRESSES:
            self._attempts.popitem(last=False)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
