"""Publish and subscribe: what subscribers receive, in which order, and what they may cost."""

from __future__ import annotations

import sys
from typing import List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.channels import (
    MAX_ALL_PATTERNS,
    MAX_CHANNELS,
    MAX_PATTERNS,
    OVERHEAD,
    PLACE,
    Channels,
    Subscriber,
)
from application.ledger import Ledger
from application.ports import Conversation, Wants
from domain.errors import BadRequest, TooLarge
from entrypoints.server.container import ServerContainer
from tests.support import answer, finish, server_container


class Link:
    """A link that notes what is asked of it."""

    def __init__(self, ledger: Ledger) -> None:
        self.name = "127.0.0.1:50000"
        self.aborted: List[str] = []
        self.account = ledger.open(self.aborted.append)
        self.n_woken = 0

    def wake(self) -> None:
        self.n_woken += 1

    def deliver(self, reply: bytes) -> None:
        raise AssertionError("nothing here keeps a reply back")

    def has_time(self) -> bool:
        return True

    def wake_after(self, seconds: float) -> None:
        raise AssertionError("nothing here waits for a time")


def subscriber(ledger: Ledger, max_bytes: int = 10_000) -> Subscriber:
    return Subscriber(Link(ledger), max_bytes)


def test_a_message_reaches_subscribers_of_its_channel_and_of_patterns_in_order() -> None:
    ledger, channels = Ledger(10**6), Channels()
    one, other = subscriber(ledger), subscriber(ledger)
    channels.subscribe(one, "news")
    channels.subscribe_pattern(one, "n*")
    channels.subscribe(other, "else")
    assert channels.publish("news", b"1") == 2
    assert channels.publish("none", b"2") == 1
    taken = one.take(10_000)
    assert [(each.message.channel, each.message.data, each.pattern) for each in taken] == [
        ("news", b"1", None),
        ("news", b"1", "n*"),
        ("none", b"2", "n*"),
    ]
    assert not other.has_messages
    assert sorted(channels.names()) == ["else", "news"]
    assert channels.names("n*") == ["news"]
    assert (channels.count("news"), channels.n_patterns) == (1, 1)


def test_what_is_kept_is_charged_and_all_of_it_freed() -> None:
    ledger, channels = Ledger(10**6), Channels()
    one = subscriber(ledger)
    channels.subscribe(one, "news")
    channels.subscribe(one, "news")
    channels.subscribe_pattern(one, "n*")
    channels.publish("news", b"x" * 1000)
    assert one.held > 2 * 1000
    assert 1000 < ledger.held < 2000
    first = one.take(10)
    assert len(first) == 1
    assert ledger.held == one.held > 1000
    assert len(one.take(10_000)) == 1
    assert ledger.held == one.held < 1000
    channels.leave(one)
    assert ledger.held == one.held == 0
    assert not channels.names()
    assert not channels.n_patterns


def test_a_subscriber_that_takes_nothing_is_cut_at_the_bound_and_keeps_nothing_more() -> None:
    ledger, channels = Ledger(10**6), Channels()
    link = Link(ledger)
    one = Subscriber(link, 3 * (OVERHEAD + 104))
    channels.subscribe(one, "news")
    for _ in range(5):
        channels.publish("news", b"x" * 100)
    (reason,) = link.aborted
    assert "max_push_bytes" in reason
    assert len(one.take(10_000)) <= 3


def test_a_message_counts_once_however_many_it_is_kept_for() -> None:
    ledger, channels = Ledger(1_000_000), Channels()
    links = [Link(ledger) for _ in range(500)]
    some = [Subscriber(link, 200_000) for link in links]
    for number, each in enumerate(some):
        channels.subscribe(each, "news")
        channels.subscribe_pattern(each, f"n*{number % 7}" if number % 2 else "new*")
    before = ledger.held
    channels.publish("news", b"x" * 90_000)
    assert 90_000 < ledger.held - before < 200_000
    assert not any(link.aborted for link in links)
    for each in some:
        assert len(each.take(1_000_000)) >= 1
    assert ledger.held == before


ACTIONS = st.tuples(
    st.integers(0, 5), st.sampled_from(["all", "some", "take", "close"]), st.integers(0, 3000)
)


@given(st.lists(ACTIONS, max_size=60))
def test_what_counts_is_what_is_kept_for_those_who_are_there(
    actions: List[Tuple[int, str, int]],
) -> None:
    ledger, channels = Ledger(10_000), Channels()
    links = [Link(ledger) for _ in range(6)]
    there = {link: Subscriber(link, 6000) for link in links}
    for number, each in enumerate(there.values()):
        channels.subscribe(each, "all")
        channels.subscribe_pattern(each, f"*{'ab'[number % 2]}")
    for number, what, size in actions:
        link = links[number]
        if what == "all":
            channels.publish("all", b"x" * size)
        elif what == "some":
            channels.publish("ab"[number % 2], b"x" * size)
        elif link in there and what == "take":
            there[link].take(size)
        elif what == "close":
            link.aborted.append("it hung up")
        while any(each.aborted for each in there):
            gone = next(each for each in there if each.aborted)
            subscriber = there.pop(gone)
            channels.leave(subscriber)
            subscriber.close()
            gone.account.close()
        queues = [each._queue for each in there.values()]
        kept = {id(each.message): each.message.size for queue in queues for each in queue}
        places = sum(map(len, queues)) * PLACE
        subscriptions = len(there) * (2 * OVERHEAD + len("all" + "*a"))
        assert ledger.held == sum(kept.values()) + places + subscriptions <= 10_000
        assert all(link.account.held == each.held for link, each in there.items())


def test_patterns_are_few_and_short() -> None:
    channels, one = Channels(), subscriber(Ledger(10**9), 10**9)
    with pytest.raises(BadRequest, match="1024"):
        channels.subscribe_pattern(one, "x" * 5000)
    for number in range(MAX_PATTERNS):
        channels.subscribe_pattern(one, f"{number}*")
    with pytest.raises(TooLarge, match="1000 patterns"):
        channels.subscribe_pattern(one, "one more")


def test_the_patterns_of_all_clients_together_are_bounded() -> None:
    channels, clients = Channels(), [subscriber(Ledger(10**9), 10**9) for _ in range(11)]
    for client in clients[:10]:
        for number in range(MAX_PATTERNS):
            channels.subscribe_pattern(client, f"{number}*")
    with pytest.raises(TooLarge, match=f"together have at most {MAX_ALL_PATTERNS} patterns"):
        channels.subscribe_pattern(clients[10], "1*")
    channels.subscribe_pattern(clients[0], "1*")
    channels.unsubscribe_pattern(clients[0], "1*")
    channels.unsubscribe_pattern(clients[0], "1*")
    channels.subscribe_pattern(clients[10], "1*")
    with pytest.raises(TooLarge):
        channels.subscribe_pattern(clients[0], "1*")


def test_channels_of_a_client_are_bounded() -> None:
    channels, one = Channels(), subscriber(Ledger(10**9), 10**9)
    for number in range(MAX_CHANNELS):
        channels.subscribe(one, f"{number}")
    channels.subscribe(one, "1")
    with pytest.raises(TooLarge, match="10000"):
        channels.subscribe(one, "one more")
    assert channels.n_channels == MAX_CHANNELS


# Over RESP.


def request(*arguments: bytes) -> bytes:
    parts = [b"$%d\r\n%b\r\n" % (len(each), each) for each in arguments]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


class Client:
    """One client's conversation, and its link."""

    def __init__(self, container: ServerContainer) -> None:
        self.link = Link(container.ledger())
        self.talk: Conversation = container.plain_conversation(self.link)

    def ask(self, *arguments: bytes) -> bytes:
        return answer(self.talk, [request(*arguments)])

    def pushed(self) -> bytes:
        return self.talk.advance() + finish(self.talk)


def test_messages_are_pushed_in_both_versions() -> None:
    container = server_container()
    old, new, publisher = Client(container), Client(container), Client(container)
    assert old.ask(b"SUBSCRIBE", b"c") == b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
    new.ask(b"HELLO", b"3")
    assert new.ask(b"PSUBSCRIBE", b"*") == b">3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n"
    assert publisher.ask(b"PUBLISH", b"c", b"\xff") == b":2\r\n"
    assert old.link.n_woken == 1
    assert old.pushed() == b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n\xff\r\n"
    assert new.pushed() == b">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$1\r\n\xff\r\n"
    assert new.ask(b"GET", b"k") == b"_\r\n"
    assert publisher.ask(b"PUBSUB", b"NUMSUB", b"c") == b"*2\r\n$1\r\nc\r\n:1\r\n"


def test_no_message_comes_behind_the_end_of_its_subscription() -> None:
    container = server_container()
    client = Client(container)
    both = request(b"SUBSCRIBE", b"c") + request(b"UNSUBSCRIBE", b"c")
    publish = request(b"PUBLISH", b"c", b"m")
    client.ask(b"HELLO", b"3")
    sent = answer(
        client.talk, [both[: both.index(b"*2", 1)] + publish + both[both.index(b"*2", 1) :]]
    )
    assert sent == (
        b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n:1\r\n"
        b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"
        b">3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n"
    )


def test_a_subscriber_that_is_gone_is_no_receiver() -> None:
    container = server_container()
    client, publisher = Client(container), Client(container)
    client.ask(b"SUBSCRIBE", b"c")
    client.talk.close()
    assert publisher.ask(b"PUBLISH", b"c", b"m") == b":0\r\n"


@pytest.mark.parametrize("kept", [0, 1])
def test_what_was_subscribed_to_takes_no_room_that_would_be_looked_through(kept: int) -> None:
    channels, ledger = Channels(), Ledger(1 << 30)
    some = subscriber(ledger, 1 << 30)
    for number in range(1000):
        channels.subscribe(some, f"c{number}")
        channels.subscribe_pattern(some, f"p{number}")
    for number in range(kept, 1000):
        channels.unsubscribe(some, f"c{number}")
        channels.unsubscribe_pattern(some, f"p{number}")
    tables = channels._by_channel, channels._by_pattern, channels._globs
    assert [len(each) for each in tables] == [kept] * 3
    assert max(map(sys.getsizeof, tables)) < 1000
    assert channels.names() == ["c0"][:kept]


def test_a_subscriber_that_does_not_read_is_cut_at_max_push_bytes() -> None:
    container = server_container(max_push_bytes=10_000)
    client, publisher = Client(container), Client(container)
    client.ask(b"SUBSCRIBE", b"c")
    for _ in range(20):
        publisher.ask(b"PUBLISH", b"c", b"x" * 1000)
    assert len(client.link.aborted) == 1
    assert container.ledger().held < 20_000


def test_many_messages_are_pushed_in_several_turns() -> None:
    container = server_container()
    client, publisher = Client(container), Client(container)
    client.ask(b"SUBSCRIBE", b"c")
    for _ in range(200):
        publisher.ask(b"PUBLISH", b"c", b"x" * 1000)
    first = client.talk.advance()
    assert len(first) < 100_000
    assert (first + finish(client.talk)).count(b"message") == 200
    assert container.ledger().held < 1000


def test_one_message_to_many_is_no_reason_to_cut_them() -> None:
    container = server_container(max_input_bytes=1_000_000, max_request_bytes=500_000)
    clients, publisher = [Client(container) for _ in range(50)], Client(container)
    for client in clients:
        client.ask(b"SUBSCRIBE", b"c")
    assert publisher.ask(b"PUBLISH", b"c", b"x" * 200_000) == b":50\r\n"
    assert {len(client.pushed()) for client in clients} == {200_035}
    assert not any(client.link.aborted for client in [*clients, publisher])
    assert container.ledger().held < 10_000


def test_a_transaction_that_publishes_to_many_is_no_reason_to_cut_anyone() -> None:
    container = server_container(max_input_bytes=1_000_000, max_request_bytes=500_000)
    clients, publisher = [Client(container) for _ in range(50)], Client(container)
    for client in clients:
        client.ask(b"SUBSCRIBE", b"c")
    publish = request(b"PUBLISH", b"c", b"x" * 100_000)
    replies = answer(publisher.talk, [request(b"MULTI") + publish * 4 + request(b"EXEC")])
    assert replies.endswith(b"*4\r\n" + b":50\r\n" * 4)
    assert {len(client.pushed()) for client in clients} == {400_140}
    assert not any(client.link.aborted for client in [*clients, publisher])


MESSAGE = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%b\r\n"
LONG = MESSAGE % (300_000, b"x" * 300_000)


def listener() -> Client:
    """One that is subscribed, and may send any command."""
    client = Client(server_container())
    client.ask(b"HELLO", b"3")
    client.ask(b"SUBSCRIBE", b"c")
    return client


def test_a_long_message_is_sent_in_pieces_with_no_reply_between_them() -> None:
    client = listener()
    client.ask(b"SET", b"k", b"v" * 60_000)
    publish, get = request(b"PUBLISH", b"c", b"x" * 300_000), request(b"GET", b"k")
    sent = [client.talk.receive(publish + get * 5)]
    while client.talk.wants is Wants.TURN:
        sent.append(client.talk.advance())
    before, _, behind = b"".join(sent).partition(LONG)
    assert before + behind == b":1\r\n" + b"$60000\r\n%b\r\n" % (b"v" * 60_000) * 5
    assert behind
    assert max(map(len, sent)) < 140_000


def test_a_long_message_is_sent_as_a_whole_before_the_end() -> None:
    client = listener()
    last = request(b"PUBLISH", b"c", b"x" * 300_000) + request(b"QUIT")
    assert answer(client.talk, [last]) == b":1\r\n" + LONG + b"+OK\r\n"


def test_what_is_left_of_a_long_message_is_freed_with_the_connection() -> None:
    container = server_container()
    client, publisher = Client(container), Client(container)
    client.ask(b"SUBSCRIBE", b"c")
    publisher.ask(b"PUBLISH", b"c", b"x" * 300_000)
    assert len(client.talk.advance() + client.talk.advance()) < 140_000
    assert container.ledger().held > 300_000
    client.talk.close()
    assert container.ledger().held < 1000


def test_a_pattern_that_is_refused_leaves_those_before_it_and_no_message_is_lost() -> None:
    client = Client(server_container())
    client.ask(b"HELLO", b"3")
    client.ask(b"SUBSCRIBE", b"c")
    some = request(b"PUBLISH", b"c", b"m") + request(b"PSUBSCRIBE", b"a*", b"x" * 5000, b"b*")
    sent = answer(client.talk, [some])
    assert sent.startswith(b":1\r\n>3\r\n$7\r\nmessage\r\n")
    assert b">3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:2\r\n-ERR a pattern has at most" in sent
    assert b"b*" not in sent
