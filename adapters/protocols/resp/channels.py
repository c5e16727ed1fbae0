"""Publish and subscribe over RESP.

Rule: what is published comes in the order of publishing, behind the replies to the requests before;
the confirmation that ends a subscription comes behind its last message.
"""

from __future__ import annotations

from typing import Callable, Dict, Generator, List, NamedTuple, Set, Union

from adapters.protocols.resp import replies
from adapters.protocols.resp.entries import (
    NONE,
    Action,
    Does,
    Entry,
    Made,
    check_count,
    family,
    text_of,
)
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.session import Session
from application.budget import Budget
from application.channels import Channels, Delivery, Subscriber
from application.commands import Command
from application.glob import glob
from domain.errors import KvError
from domain.store import Store


def pushed(session: Session, max_bytes: int) -> bytes:
    """The messages that wait for a client, encoded, of about so many bytes."""
    parts: List[bytes] = []
    for delivery in session.subscriber.take(max_bytes):
        parts += _head(session, delivery), delivery.message.data, b"\r\n"
    return b"".join(parts)


def pushed_in_pieces(
    session: Session, delivery: Delivery, size: int
) -> Generator[bytes, None, None]:
    """The next message, encoded, in pieces of about `size` bytes; it is taken behind the last."""
    data = delivery.message.data
    yield _head(session, delivery) + data[:size]
    for at in range(size, len(data), size):
        yield data[at : at + size]
    yield b"\r\n"
    session.subscriber.take(1)


def _head(session: Session, delivery: Delivery) -> bytes:
    """What is sent before the bytes of a message."""
    message, pattern = delivery.message, delivery.pattern
    mark, name, size = _mark(session), bytes_of(message.channel), len(message.data)
    if pattern is None:
        return b"%b3\r\n$7\r\nmessage\r\n%b$%d\r\n" % (mark, replies.bulk(name), size)
    names = replies.bulk(bytes_of(pattern)) + replies.bulk(name)
    return b"%b4\r\n$8\r\npmessage\r\n%b$%d\r\n" % (mark, names, size)


def _mark(session: Session) -> bytes:
    """What a message begins with, and all that is told of subscriptions."""
    return b">" if session.is_version_3 else b"*"


def bytes_of(name: str) -> bytes:
    """The bytes of a name that `text_of` has read."""
    return name.encode("utf-8", "surrogateescape")


def _frame(session: Session, *parts: Union[bytes, int, None]) -> bytes:
    reply = replies.reply_3 if session.is_version_3 else replies.reply_2
    return _mark(session) + b"%d\r\n" % len(parts) + b"".join(map(reply, parts))


class _Kind(NamedTuple):
    """Commands on the subscriptions of one kind; `cost` is that of adding one."""

    cost: Callable[[str], int]
    add: Callable[[Channels, Subscriber, str], None]
    remove: Callable[[Channels, Subscriber, str], None]
    own: Callable[[Subscriber], Set[str]]


_KINDS: Dict[str, _Kind] = {
    "": _Kind(lambda name: 0, Channels.subscribe, Channels.unsubscribe, lambda each: each.channels),
    "p": _Kind(
        lambda pattern: glob(pattern).cost,
        Channels.subscribe_pattern,
        Channels.unsubscribe_pattern,
        lambda each: each.patterns,
    ),
}


def _entry(prefix: str, word: str, arity: int) -> Entry:
    """SUBSCRIBE or UNSUBSCRIBE, or that of patterns."""
    name, kind = f"{prefix}{word}", _KINDS[prefix]
    own, cost = kind.own, kind.cost
    adds = word == "subscribe"
    apply = kind.add if adds else kind.remove

    def make(session: Session, arguments: Arguments) -> Action:
        def action(store: Store, budget: Budget) -> replies.Encoded:
            session.refuse_in_transaction(name.upper())
            channels, subscriber = session.shared.channels, session.subscriber
            output, parts = [pushed(session, subscriber.held)], budget.parts()
            names = list(map(text_of, arguments[1:])) or sorted(own(subscriber))
            try:
                for each in names:
                    parts.open(cost(each) if adds else 0)
                    apply(channels, subscriber, each)
                    count = subscriber.count
                    output.append(_frame(session, name.encode(), bytes_of(each), count))
            except KvError as error:
                output.append(replies.error_line(error))
            if not names:
                output.append(_frame(session, name.encode(), None, subscriber.count))
            session.update()
            return replies.Encoded(b"".join(output))

        return action

    flags, read = "pubsub noscript", Does(make)
    return Entry(name, arity, flags, NONE, read, changes_state=True, while_subscribed=True)


class Publish(Command[int], tag="PUBLISH", kw_only=False, gc=False):
    """Publishes to a channel; returns how many received it."""

    readonly = True

    channels: Channels
    channel: str
    data: bytes

    @property
    def is_quick(self) -> bool:
        return self._searching + self._delivering < _QUICK

    def run(self, store: Store, budget: Budget) -> int:
        budget.open(self._searching)
        budget.convert(self._delivering)
        return self.channels.publish(self.channel, self.data)

    @property
    def _searching(self) -> int:
        return self.channels.searching_cost(self.channel)

    @property
    def _delivering(self) -> int:
        return self.channels.delivering_cost(self.channel)


_QUICK = 16 * 1024
"""What it may cost to publish at once, as `Glob` tells costs: some tenths of a millisecond."""


def _publish(session: Session, arguments: Arguments) -> Made:
    channels = session.shared.channels
    return Publish(channels, text_of(arguments[1]), arguments[2]), replies.INTEGER


def _channels(session: Session, arguments: Arguments) -> Action:
    check_count(arguments, 3)
    pattern = text_of(arguments[2]) if len(arguments) > 2 else "*"
    channels = session.shared.channels

    def action(store: Store, budget: Budget) -> List[bytes]:
        budget.open(channels.naming_cost(pattern))
        return list(map(bytes_of, channels.names(pattern)))

    return action


def _count_subscribers(session: Session, arguments: Arguments) -> Action:
    names = list(map(text_of, arguments[2:]))
    count = session.shared.channels.count
    return lambda store, budget: [each for n in names for each in (bytes_of(n), count(n))]


TABLE = (
    _entry("", "subscribe", -2),
    _entry("", "unsubscribe", -1),
    _entry("p", "subscribe", -2),
    _entry("p", "unsubscribe", -1),
    Entry("publish", 3, "pubsub fast", NONE, _publish),
    family(
        "pubsub",
        "pubsub",
        Entry("channels", -2, "", NONE, Does(_channels)),
        Entry("numsub", -2, "", NONE, Does(_count_subscribers)),
        Entry("numpat", 2, "", NONE, Does(lambda s, a: lambda *_: s.shared.channels.n_patterns)),
    ),
)
