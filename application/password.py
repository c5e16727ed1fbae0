"""The password of a server: comparison in constant time, and limits on guessing.

Rule: failed attempts are rate-limited twice, per host and over all hosts together; a correct
password waits too, so that neither the time of a reply nor the number of connections helps to
guess. A host is an IPv4 address or an IPv6 /64, which is one subscriber's; an IPv4-mapped address
is the IPv4 address. The limit over all hosts leaves out those that gave the password within
`TRUSTED_FOR`: guessing from elsewhere cannot lock them out.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from typing import Callable, Optional, Tuple, TypeVar

T = TypeVar("T")

FREE_ATTEMPTS = 3
"""Failures from one host that are not delayed."""

FIRST_DELAY, MAX_DELAY = 0.1, 2.0
"""Seconds between attempts from one host after these; doubled with each failure, to the maximum."""

FREE_ATTEMPTS_OVERALL = 100
"""Failures that are not delayed, of all hosts together that are not trusted."""

OVERALL_DELAY = 0.2
"""Seconds between their attempts after these."""

MAX_BACKLOG = 10.0
"""The most seconds that an attempt waits; one that would wait longer is refused."""

RESET_AFTER = 600.0
"""Seconds without an attempt until the failures of a host are forgotten."""

TRUSTED_FOR = 24 * 3600.0
"""Seconds after the last correct password in which a host is left out of the overall limit."""

MAX_TRACKED = 10_000
"""Hosts tracked, those that failed and those that gave the password apart; the oldest go first."""

_MAX_DOUBLINGS = 10


class Password:
    """A secret, and when the next attempt may be made. `clock` returns seconds."""

    def __init__(self, secret: str, clock: Callable[[], float]) -> None:
        self._digest = _digest(secret)
        self._clock = clock
        self._failures: OrderedDict[str, Tuple[int, float]] = OrderedDict()
        self._trusted: OrderedDict[str, float] = OrderedDict()
        self._tokens, self._refilled = float(FREE_ATTEMPTS_OVERALL), clock()
        """Attempts that hosts that are not trusted may make at once; negative while some wait."""

    def wait(self, address: str) -> Optional[float]:
        """Reserve the turn of one attempt from `address` and return the seconds until then; None,
        with nothing reserved, when that would be more than `MAX_BACKLOG`.

        An attempt counts as a failure from then on until it `matches`, so that attempts at once
        wait as long as one after the other.
        """
        host, now = _host(address), self._clock()
        count, last = self._failures.get(host, (0, now))
        if now - last > RESET_AFTER:
            count = 0
        turn = max(now, last)
        if count >= FREE_ATTEMPTS:
            doublings = min(count - FREE_ATTEMPTS, _MAX_DOUBLINGS)
            turn += min(MAX_DELAY, FIRST_DELAY * 2.0**doublings)
        trusted = self._is_trusted(host, now)
        if not trusted:
            turn = max(turn, now + self._overall_wait(now))
        if turn - now > MAX_BACKLOG:
            return None
        if not trusted:
            self._tokens -= 1
        _remember(self._failures, host, (count + 1, turn))
        return turn - now

    def matches(self, attempt: str, address: str) -> bool:
        """Whether `attempt`, made from `address` in its turn, is correct. If so, the failures of
        its host are forgotten, and the host is trusted."""
        if not hmac.compare_digest(_digest(attempt), self._digest):
            return False
        host, now = _host(address), self._clock()
        if not self._is_trusted(host, now):
            self._tokens += 1
        self._failures.pop(host, None)
        _remember(self._trusted, host, now)
        return True

    def _is_trusted(self, host: str, now: float) -> bool:
        return host in self._trusted and now - self._trusted[host] <= TRUSTED_FOR

    def _overall_wait(self, now: float) -> float:
        """Seconds until one more attempt is within the overall limit: a token bucket that holds
        `FREE_ATTEMPTS_OVERALL` and gains one token each `OVERALL_DELAY`."""
        gained = (now - self._refilled) / OVERALL_DELAY
        self._tokens = min(FREE_ATTEMPTS_OVERALL, self._tokens + gained)
        self._refilled = now
        return max(0.0, 1 - self._tokens) * OVERALL_DELAY


def _remember(hosts: OrderedDict[str, T], host: str, seen: T) -> None:
    hosts[host] = seen
    hosts.move_to_end(host)
    if len(hosts) > MAX_TRACKED:
        hosts.popitem(last=False)


def _host(address: str) -> str:
    """The host that attempts from `address` are counted by; an address that is no IP address, such
    as a Unix socket's, is a host of its own."""
    plain = address.strip("[]").partition("%")[0]
    try:
        ip = ipaddress.ip_address(plain)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
