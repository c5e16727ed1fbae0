"""Publish and subscribe: who listens to which channels, and what waits to be sent to each.

Rule: a message is kept for a subscriber until its connection takes it, in the order of publishing.
What is kept for one, its subscriptions included, is charged to its connection and has a bound; a
subscriber over it is cut. A message is kept once for all of them, which the ledger is told.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any, Deque, Dict, Iterable, List, Optional, Set

from msgspec import Struct

from application.glob import Glob, glob, searching_cost
from application.ports import Link
from domain.errors import TooLarge

OVERHEAD = 128
"""Bytes that a message, or a subscription, counts for beside its characters."""

PLACE = 64
"""Bytes that a message counts for in the queue of each subscriber."""

MAX_CHANNELS, MAX_PATTERNS = 10_000, 1000
"""Of one client: all end at once when it leaves."""

MAX_ALL_PATTERNS = 10_000
"""Of all clients together: each is compared with the channel of everything that is published."""

_DELIVERY = 256
"""What it costs to try a pattern, or to give a message to a subscriber, as `Glob` tells costs."""

_SPARSE = 400
"""Bytes that a dict has for each of its keys when most of its room is empty; it has up to 100."""


class Message(Struct, gc=False):
    """What was published to a channel, the bytes that it counts for, and how many times it is in
    the queues of subscribers."""

    channel: str
    data: bytes
    size: int
    n_places: int = 0


class Delivery(Struct, gc=False):
    """A message for those who subscribed to its channel, or by a pattern."""

    message: Message
    pattern: Optional[str] = None


class Subscriber:
    """One connection's subscriptions, and the messages that it has not taken."""

    def __init__(self, link: Link, max_bytes: int) -> None:
        self._link = link
        self._max_bytes = max_bytes
        self._queue: Deque[Delivery] = deque()
        self.has_messages = False
        """Whether `take` has something."""
        self.held = 0
        """Bytes that are charged for it."""
        self.channels: Set[str] = set()
        self.patterns: Set[str] = set()

    @property
    def count(self) -> int:
        """How many subscriptions it has."""
        return len(self.channels) + len(self.patterns)

    @property
    def next(self) -> Delivery:
        """What `take` returns first."""
        return self._queue[0]

    def add(self, delivery: Delivery) -> None:
        """Keeps a message, and wakes the connection."""
        if not self._link.account.is_open:
            return
        message = delivery.message
        self._queue.append(delivery)
        self.has_messages = True
        message.n_places += 1
        self.charge(message.size + PLACE, message.size if message.n_places > 1 else 0)
        self._link.wake()

    def take(self, max_bytes: int) -> List[Delivery]:
        """The next messages: as many as have so many bytes, but one at least."""
        taken: List[Delivery] = []
        size = 0
        while self._queue and (not taken or size + self._queue[0].message.size <= max_bytes):
            taken.append(self._queue.popleft())
            size += taken[-1].message.size
        self.has_messages = bool(self._queue)
        self._release(taken)
        return taken

    def charge(self, by: int, shared: int = 0) -> None:
        """Adds `by` bytes, which may be negative, to those kept, as `Account.change` does; has the
        client cut when they are too many."""
        self.held += by
        self._link.account.change(by, shared)
        if self.held > self._max_bytes:
            self._link.account.cut(
                f"it did not take what was pushed to it: {self.held} bytes, "
                f"at most {self._max_bytes} (max_push_bytes)"
            )

    def close(self) -> None:
        """The connection is gone."""
        self._release(self._queue)
        self._queue.clear()
        self.has_messages = False

    def _release(self, deliveries: Iterable[Delivery]) -> None:
        """They are in the queue no more."""
        size = shared = 0
        for message in [each.message for each in deliveries]:
            message.n_places -= 1
            size += message.size + PLACE
            if message.n_places:
                shared += message.size
        self.charge(-size, -shared)


class Channels:
    """All subscriptions of a server."""

    def __init__(self) -> None:
        self._by_channel: Dict[str, Set[Subscriber]] = {}
        self._by_pattern: Dict[str, Set[Subscriber]] = {}
        self._globs: Dict[str, Glob] = {}
        self._weight = 0
        """Of all patterns together."""
        self._n_by_pattern = 0
        """How many subscriptions to patterns there are."""

    @property
    def n_channels(self) -> int:
        """How many channels are subscribed to."""
        return len(self._by_channel)

    @property
    def n_patterns(self) -> int:
        """How many patterns are subscribed to."""
        return len(self._by_pattern)

    def subscribe(self, subscriber: Subscriber, name: str) -> None:
        """Has a subscriber receive what is published to a channel; raises `TooLarge` when it has
        too many."""
        if len(subscriber.channels) >= MAX_CHANNELS and name not in subscriber.channels:
            raise TooLarge(f"a client has at most {MAX_CHANNELS} channels")
        _add(self._by_channel, subscriber, subscriber.channels, name)

    def unsubscribe(self, subscriber: Subscriber, name: str) -> None:
        """Undoes `subscribe`."""
        _remove(self._by_channel, subscriber, subscriber.channels, name)

    def subscribe_pattern(self, subscriber: Subscriber, pattern: str) -> None:
        """Has a subscriber receive what is published to any channel that matches; raises
        `BadRequest`, and `TooLarge` when it has too many patterns."""
        if pattern in subscriber.patterns:
            return
        if len(subscriber.patterns) >= MAX_PATTERNS:
            raise TooLarge(f"a client has at most {MAX_PATTERNS} patterns")
        if self._n_by_pattern >= MAX_ALL_PATTERNS:
            raise TooLarge(f"all clients together have at most {MAX_ALL_PATTERNS} patterns")
        if pattern not in self._globs:
            self._globs[pattern] = found = glob(pattern)
            self._weight += found.weight
        self._n_by_pattern += 1
        _add(self._by_pattern, subscriber, subscriber.patterns, pattern)

    def unsubscribe_pattern(self, subscriber: Subscriber, pattern: str) -> None:
        """Undoes `subscribe_pattern`."""
        self._n_by_pattern -= pattern in subscriber.patterns
        _remove(self._by_pattern, subscriber, subscriber.patterns, pattern)
        if pattern not in self._by_pattern and pattern in self._globs:
            self._weight -= self._globs.pop(pattern).weight
            _shrink(self._globs)

    def leave(self, subscriber: Subscriber) -> None:
        """Ends all subscriptions of a subscriber."""
        for name in list(subscriber.channels):
            self.unsubscribe(subscriber, name)
        for pattern in list(subscriber.patterns):
            self.unsubscribe_pattern(subscriber, pattern)

    def searching_cost(self, channel: str) -> int:
        """What it may cost to look through a channel for patterns, as `Glob` tells costs."""
        return searching_cost(self._weight, len(channel))

    def delivering_cost(self, channel: str) -> int:
        """What all else costs that is done to publish to a channel, in the same unit."""
        return _DELIVERY * (self.count(channel) + self._n_by_pattern)

    def naming_cost(self, pattern: str) -> int:
        """What it costs to make a pattern and to find the channels that match, in the same unit."""
        made = glob(pattern)
        return made.cost + made.matching_cost(self._by_channel)

    def publish(self, channel: str, data: bytes) -> int:
        """Adds a message for each subscription that it is for; returns how many these are."""
        message = Message(channel, data, len(data) + len(channel) + OVERHEAD)
        delivery = Delivery(message)
        receivers = list(self._by_channel.get(channel, ()))
        for subscriber in receivers:
            subscriber.add(delivery)
        n_receivers = len(receivers)
        for pattern, its_glob in list(self._globs.items()):
            if its_glob.matches(channel):
                matched = Delivery(message, pattern)
                subscribers = self._by_pattern[pattern]
                n_receivers += len(subscribers)
                for subscriber in list(subscribers):
                    subscriber.add(matched)
        return n_receivers

    def names(self, pattern: str = "*") -> List[str]:
        """The channels that have subscribers, of those that match a pattern."""
        matches = glob(pattern).matches
        return [name for name in self._by_channel if matches(name)]

    def count(self, name: str) -> int:
        """How many subscribers a channel has, those by patterns left out."""
        return len(self._by_channel.get(name, ()))


def _add(
    subscribers: Dict[str, Set[Subscriber]], subscriber: Subscriber, own: Set[str], name: str
) -> None:
    if name not in own:
        own.add(name)
        subscribers.setdefault(name, set()).add(subscriber)
        subscriber.charge(len(name) + OVERHEAD)


def _shrink(table: Dict[str, Any]) -> None:
    """Frees the room of what was removed, once it is most of all: a dict keeps it, and it takes
    time to look through."""
    if sys.getsizeof(table) > _SPARSE * (len(table) + 1):
        kept = dict(table)
        table.clear()
        table.update(kept)


def _remove(
    subscribers: Dict[str, Set[Subscriber]], subscriber: Subscriber, own: Set[str], name: str
) -> None:
    if name in own:
        own.remove(name)
        subscribers[name].remove(subscriber)
        if not subscribers[name]:
            del subscribers[name]
            _shrink(subscribers)
        subscriber.charge(-len(name) - OVERHEAD)
