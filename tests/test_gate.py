"""The conversation that begins with a password, without a socket and with a clock of its own."""

from __future__ import annotations

import json
import random
import sys
import tracemalloc
from typing import Any, Dict, Iterable, List, Optional, TypeVar

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from application.commands import NAMES, Auth, Command, Ping
from application.conversation import REFUSED_AFTER, Conversation
from application.executor import LocalExecutor
from application.gate import MAX_UNAUTHENTICATED_INPUT, MAX_UNAUTHENTICATED_OUTPUT
from application.ledger import Ledger
from application.limits import Limits
from application.password import FIRST_DELAY, FREE_ATTEMPTS, Password
from application.ports import Executor, Wants
from application.service import LONG_KEYS
from application.turn import TURN_BYTES
from domain.memory import InMemoryStore
from tests.support import Clock, service_of, wanted
from tests.test_json_lines import CONVERSATION, REPLIES, anything, bytewise, replies

R = TypeVar("R")

SECRET = "correct horse battery staple"
RIGHT = b'{"type":"AUTH","password":"%b"}\n' % SECRET.encode()
WRONG = b'{"type":"AUTH","password":"wrong"}\n'
PING = b'{"type":"PING"}\n'
OK, PONG = {"ok": True, "result": True}, {"ok": True, "result": "PONG"}
NO = "UNAUTHENTICATED"
LIMITS = Limits(max_request_bytes=200_000, max_key_bytes=100, max_keys_per_request=50)


class Client(Executor):
    """A client before the gate, and the executor behind it, which remembers what it ran."""

    name = "192.0.2.1:5000"

    def __init__(self, limits: Limits = LIMITS, beside: Optional[Client] = None) -> None:
        self.ran: List[Command[Any]] = []
        self.delays: List[float] = []
        self.clock: Clock = beside.clock if beside else Clock()
        self.password: Password = beside.password if beside else Password(SECRET, self.clock)
        self.account = Ledger(sys.maxsize).open(pytest.fail)
        self._local = LocalExecutor(InMemoryStore(self.clock), limits)
        self.service = service_of(self, limits, self.clock, self.password)
        self.stats = self.service.stats
        self.conversation = Conversation(self.service, self)

    def execute(self, command: Command[R]) -> R:
        self.ran.append(command)
        return self._local.execute(command)

    def wake(self) -> None:
        pytest.fail("nothing is to be woken at once")

    def deliver(self, reply: bytes) -> None:
        pytest.fail("no reply is kept back")

    def has_time(self) -> bool:
        return True

    def wake_after(self, seconds: float) -> None:
        self.delays.append(round(seconds, 6))

    def send(self, *pieces: bytes) -> bytes:
        """All that is said to a client that sends these pieces, as a transport would have it: time
        passes while it is parked, and nothing is read from a conversation that is over."""
        sent = self.finish()
        for piece in pieces:
            if self.conversation.wants is Wants.INPUT:
                sent += self.conversation.receive(piece) + self.finish()
        return sent

    def finish(self) -> bytes:
        sent = b""
        while self.conversation.wants in (Wants.TURN, Wants.WAKE):
            if self.conversation.wants is Wants.WAKE:
                self.clock.now += self.delays[-1]
            sent += self.conversation.advance()
        return sent

    def ask(self, *pieces: bytes) -> List[Any]:
        """The replies, a refusal by its code."""
        return replies(self.send(*pieces))


@pytest.fixture
def client() -> Client:
    return Client()


def cut(data: bytes, seed: int) -> Iterable[bytes]:
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(len(data)), chance.randint(1, 30)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, None])]


class TestUnauthenticated:
    @pytest.mark.parametrize("name", [name for name in NAMES if name != "AUTH"])
    def test_no_command_runs_before_the_password(self, client: Client, name: str) -> None:
        line = json.dumps(_legal(name)).encode() + b"\n"
        assert client.ask(line, line) == [NO, NO]
        assert client.ran == []
        assert client.ask(RIGHT, line)[1]["ok"] is True

    def test_the_password_in_a_batch_is_no_password(self, client: Client) -> None:
        batch = b'{"type":"BATCH","commands":[%b,{"type":"PING"}]}\n' % RIGHT.strip()
        assert client.ask(batch, PING) == ["BAD_REQUEST", NO]
        assert client.ran == []

    def test_a_right_password_after_a_wrong_one_is_accepted(self, client: Client) -> None:
        assert client.ask(WRONG + PING + RIGHT + PING) == [NO, NO, OK, PONG]
        assert client.ran == [Auth(SECRET), Ping()]

    @pytest.mark.parametrize(
        "almost",
        [
            b'{"type":"AUTH"}',
            b'{"type":"AUTH","password":null}',
            b'{"type":"AUTH","password":["%b"]}' % SECRET.encode(),
            b'{"type":"AUTH","password":"%b","user":"me"}' % SECRET.encode(),
            b'{"type":"auth","password":"%b"}' % SECRET.encode(),
            b'{"type":"AUTH","password":"%b","password":""}' % SECRET.encode(),
            b'{"type":"AUTH","password":""}',
            b'{"type":"AUTH","password":"%b "}' % SECRET.encode(),
            b'"%b"' % SECRET.encode(),
            RIGHT.strip() + RIGHT.strip(),
        ],
    )
    def test_an_almost_right_password_is_refused(self, client: Client, almost: bytes) -> None:
        client.send(PING, almost + b"\n", PING)
        assert client.ran == []

    def test_a_wrong_password_is_told_to_the_log_without_the_attempt(
        self, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        sent = client.send(b'{"type":"AUTH","password":"my other password"}\n')
        (record,) = caplog.records
        assert record.getMessage() == "a wrong password"
        assert "192.0.2.1:5000" in vars(record).values()
        assert "my other password" not in repr(vars(record)) + sent.decode()

    def test_a_bug_in_auth_is_logged_without_the_password(
        self, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(command: Command[R]) -> R:
            raise RuntimeError(repr(command))

        client._local.execute = fail  # type: ignore[method-assign]
        assert client.ask(RIGHT) == ["INTERNAL"]
        assert SECRET not in caplog.text

    def test_a_long_command_does_not_run_before_the_password(self) -> None:
        limits = Limits(max_key_bytes=100)
        client, many = Client(limits), b'{"type":"MGET","keys":[%b"a"]}\n' % (b'"a",' * LONG_KEYS)
        assert len(many) < MAX_UNAUTHENTICATED_INPUT
        assert client.ask(PING, many, PING) == [NO, NO, NO]
        assert client.ran == []
        assert client.ask(RIGHT, many) == [OK, {"ok": True, "result": {}}]

    def test_the_login_is_one_request_from_connecting_on(self, client: Client) -> None:
        assert client.conversation.partial_request_id
        before = client.conversation.partial_request_id
        client.send(PING, WRONG, RIGHT[:10])
        assert client.conversation.partial_request_id == before
        client.send(RIGHT[10:])
        assert client.conversation.partial_request_id == 0
        client.send(b'{"type":')
        first = client.conversation.partial_request_id
        assert first not in (0, before)
        client.send(b'"PING"}\n{"type":')
        assert client.conversation.partial_request_id not in (0, before, first)

    @pytest.mark.parametrize("already", [b"", PING, RIGHT[:10], WRONG * FREE_ATTEMPTS])
    def test_a_login_that_takes_too_long_gets_timeout_and_is_closed(
        self, client: Client, already: bytes
    ) -> None:
        client.send(already)
        client.conversation.time_out()
        assert client.ask() == ["TIMEOUT"]
        assert client.conversation.wants is Wants.END
        assert client.stats.clients.connected == 0

    def test_a_client_over_max_clients_is_refused_before_the_password(self) -> None:
        client = Client(Limits(max_clients=1))
        client.conversation = Conversation(client.service, client)
        assert client.delays == [REFUSED_AFTER]
        assert client.ask(PING) == ["TOO_MANY_CLIENTS"]
        assert client.conversation.wants is Wants.END
        assert (client.stats.clients.connected, client.stats.clients.refused) == (1, 1)


class TestLogin:
    def test_commands_behind_the_password_in_one_read_run(self, client: Client) -> None:
        assert client.ask(RIGHT + CONVERSATION) == [OK, *REPLIES]

    def test_a_login_byte_by_byte(self, client: Client) -> None:
        assert client.ask(*bytewise(RIGHT + CONVERSATION)) == [OK, *REPLIES]

    @pytest.mark.parametrize("seed", range(20))
    def test_a_login_cut_at_random(self, client: Client, seed: int) -> None:
        data = PING + WRONG + b"\r\n\n" + RIGHT + CONVERSATION
        assert client.ask(*cut(data, seed)) == [NO, NO, OK, *REPLIES]

    def test_the_id_of_the_request_comes_back(self, client: Client) -> None:
        wrong, right = WRONG[:-2] + b',"id":1}\n', RIGHT[:-2] + b',"id":"mark"}\n'
        first, second = map(json.loads, client.send(wrong + right).splitlines())
        assert (first["id"], first["ok"]) == (1, False)
        assert second == {"id": "mark", "ok": True, "result": True}

    def test_auth_after_the_login_is_checked_and_a_wrong_one_ends_nothing(
        self, client: Client
    ) -> None:
        assert client.ask(RIGHT, WRONG, PING, RIGHT) == [OK, NO, PONG, OK]

    def test_large_requests_behind_the_password_in_one_read_run(self, client: Client) -> None:
        large = b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 150_000)
        asked = large + b'{"type":"GET","key":"k"}\n' * 3
        assert client.ask(RIGHT + asked) == [OK, OK] + [{"ok": True, "result": "x" * 150_000}] * 3

    def test_a_request_that_began_in_the_read_of_the_password_may_be_large(
        self, client: Client
    ) -> None:
        value = b"x" * 150_000
        asked = RIGHT + b'{"type":"SET","key":"k","value":"%b"}\n' % value
        pieces = [asked[at : at + 1000] for at in range(0, len(asked), 1000)]
        assert client.ask(*pieces) == [OK, OK]

    def test_after_the_login_the_bounds_are_those_of_any_client(self, client: Client) -> None:
        assert client.ask(RIGHT, b"x" * (LIMITS.max_request_bytes + 1)) == [OK, "TOO_LARGE"]
        assert client.conversation.wants is Wants.END

    def test_after_the_login_replies_come_in_turns(self, client: Client) -> None:
        client.send(RIGHT, b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 1000))
        first = client.conversation.receive(b'{"type":"GET","key":"k"}\n' * 1000)
        assert client.conversation.wants is Wants.TURN
        assert len(first) < TURN_BYTES + 64 * 1100
        assert (first + client.send()).count(b"\n") == 1000


class TestBounds:
    """The bounds on input and output of an unauthenticated client."""

    def assert_rejected(self, client: Client, sent: bytes) -> None:
        assert len(sent) <= MAX_UNAUTHENTICATED_OUTPUT
        assert replies(sent)[-1] == NO
        assert b"unauthenticated" in sent.splitlines()[-1]
        assert client.conversation.wants is Wants.END
        assert client.ran == []
        assert client.send(RIGHT + PING) == b""

    def test_an_endless_line_is_rejected(self, client: Client) -> None:
        endless = b'{"type":"AUTH","password":"' + b"x" * MAX_UNAUTHENTICATED_INPUT
        self.assert_rejected(client, client.send(endless))

    @pytest.mark.parametrize("size", [1, 100, 1000, 5000])
    def test_an_endless_line_in_pieces_is_rejected_at_the_bound(
        self, client: Client, size: int
    ) -> None:
        endless = b'{"type":"AUTH","password":"' + b"x" * (2 * MAX_UNAUTHENTICATED_INPUT)
        read, sent = 0, b""
        while client.conversation.wants is Wants.INPUT:
            sent += client.send(endless[read : read + size])
            read += size
        assert MAX_UNAUTHENTICATED_INPUT < read <= MAX_UNAUTHENTICATED_INPUT + size
        self.assert_rejected(client, sent)

    def test_input_up_to_the_bound_is_read(self, client: Client) -> None:
        blanks = b"\n" * (MAX_UNAUTHENTICATED_INPUT - len(RIGHT))
        assert client.ask(blanks, RIGHT) == [OK]

    def test_beyond_the_bound_the_right_password_is_rejected(self, client: Client) -> None:
        assert client.ask(b"\n" * (MAX_UNAUTHENTICATED_INPUT + 1), RIGHT + PING) == [NO]
        assert client.ran == []

    @pytest.mark.parametrize(
        "line",
        [
            PING,
            b'{"type":"PING","id":"%b"}\n' % (b"i" * 100),
            b'{"type":"PING","id":"%b"}\n' % (b"i" * 5000),
            b'{"type":"PING","id":"%b"}\n' % (b"\\u0001" * 2000),
            b'{"type":"%b"}\n' % (b"X" * 5000),
            b'{"type":"%b"}\n' % ("\u6f22".encode() * 2000),
            b'{"type":"%b","id":"%b"}\n' % (b"\\u0001" * 300, b"i" * 300),
            b'{"type":"PING","%b":1}\n' % (b"x" * 5000),
            b"{}\n",
            b"{\n",
            b'{"type":"AUTH","password":"wrong","id":"%b"}\n' % (b"i" * 5000),
        ],
    )
    @pytest.mark.parametrize("together", [True, False])
    def test_output_is_bounded(self, client: Client, line: bytes, together: bool) -> None:
        lines = [b"{}\n"] + [line] * (MAX_UNAUTHENTICATED_INPUT // len(line) + 1)
        sent = client.send(*[b"".join(lines)] if together else lines)
        self.assert_rejected(client, sent)

    def test_the_password_beyond_the_bound_of_one_large_read_is_rejected(
        self, client: Client
    ) -> None:
        assert client.ask(b"\n" * (3 * MAX_UNAUTHENTICATED_INPUT) + RIGHT) == [NO]
        assert client.ran == []

    def test_the_output_bound_ends_with_the_right_password(self, client: Client) -> None:
        size = len(client.send(b'{"type":"PING","id":""}\n'))
        client = Client()
        filler = b'{"type":"PING","id":"%b"}\n' % (b"i" * (MAX_UNAUTHENTICATED_OUTPUT - 128 - size))
        assert client.ask(filler, RIGHT, PING) == [NO, OK, PONG]


class TestDelays:
    """After failures an attempt waits for its turn."""

    def test_an_attempt_is_parked_and_answered_when_its_turn_comes(self, client: Client) -> None:
        assert client.ask(WRONG * FREE_ATTEMPTS) == [NO] * FREE_ATTEMPTS
        assert client.delays == []
        assert client.conversation.receive(RIGHT) == b""
        assert wanted(client.conversation) is Wants.WAKE
        assert client.delays == [pytest.approx(FIRST_DELAY)]
        assert client.ran == []
        assert replies(client.conversation.advance()) == [OK]
        assert client.conversation.wants is Wants.INPUT

    def test_each_attempt_of_one_read_waits_longer(self, client: Client) -> None:
        assert client.ask(WRONG * (FREE_ATTEMPTS + 3) + RIGHT + PING) == [NO] * (
            FREE_ATTEMPTS + 3
        ) + [OK, PONG]
        assert client.delays == [0.1, 0.2, 0.4, 0.8]

    def test_only_attempts_are_delayed_escaped_names_too(self, client: Client) -> None:
        client.send(WRONG * FREE_ATTEMPTS)
        assert client.ask(PING, b"{}\n", b"\n") == [NO, "BAD_REQUEST"]
        assert client.delays == []
        assert client.ask(RIGHT.replace(b"AUTH", b"\\u0041UTH")) == [OK]
        assert client.delays == [0.1]

    def test_an_attempt_over_the_backlog_is_rejected(self, client: Client) -> None:
        while client.password.wait("192.0.2.1") is not None:
            pass
        assert client.ask(RIGHT, RIGHT) == [NO]
        assert client.conversation.wants is Wants.END

    def test_two_connections_from_one_address_share_the_delay(self, client: Client) -> None:
        beside = Client(beside=client)
        client.send(WRONG * FREE_ATTEMPTS)
        assert client.conversation.receive(WRONG) == beside.conversation.receive(RIGHT) == b""
        assert client.delays == [pytest.approx(FIRST_DELAY)]
        assert beside.delays == [pytest.approx(3 * FIRST_DELAY)]
        assert replies(client.conversation.advance()) == [NO]
        assert replies(beside.conversation.advance()) == [OK]

    def test_requests_behind_a_parked_attempt_are_answered_after_it(self, client: Client) -> None:
        client.send(WRONG * FREE_ATTEMPTS)
        assert client.ask(RIGHT + CONVERSATION + b'{"type":') == [OK, *REPLIES]
        assert client.conversation.partial_request_id > 0
        assert client.ask(b'"PING"}\n') == [PONG]

    def test_a_parked_attempt_that_is_timed_out_is_not_made(self, client: Client) -> None:
        client.send(WRONG * FREE_ATTEMPTS)
        client.conversation.receive(RIGHT + PING)
        client.conversation.time_out()
        assert replies(client.conversation.advance()) == ["TIMEOUT"]
        assert client.conversation.wants is Wants.END
        assert client.ran == []

    def test_beyond_the_bound_nothing_is_kept_while_an_attempt_waits(self, client: Client) -> None:
        client.send(WRONG * FREE_ATTEMPTS)
        asked = RIGHT + b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 50_000)
        assert client.ask(asked) == [NO]
        assert client.account.held == 0
        assert client.ran == []


class TestMemory:
    """What a client before the password makes the server keep."""

    TINY = b"{}\n" * 40_000

    def test_a_rejection_frees_a_large_read_of_tiny_lines(self, client: Client) -> None:
        tracemalloc.start()
        try:
            client.conversation.receive(self.TINY)
            now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert client.conversation.wants is Wants.END
        assert client.account.held == 0
        assert now < 20_000
        assert peak < 2 * len(self.TINY)  # as objects of their own they take 17 times their bytes

    def test_a_parked_attempt_buffers_no_more_than_the_input_limit(self, client: Client) -> None:
        client.send(WRONG * FREE_ATTEMPTS)
        tracemalloc.start()
        try:
            client.conversation.receive(WRONG + b"\n" * 15_000)
            now, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert client.conversation.wants is Wants.WAKE
        assert client.account.held <= MAX_UNAUTHENTICATED_INPUT
        assert now < 2 * MAX_UNAUTHENTICATED_INPUT


class TestFirstLine:
    @pytest.mark.parametrize(
        "first", [b"hello", b"GET / HTTP/1.1\r", b"[]", b"\x16\x03\x01\x02", b"*1\r", b'{"type":']
    )
    def test_a_peer_of_another_protocol_is_told_once(self, client: Client, first: bytes) -> None:
        assert client.ask(b"\r\n" + first + b"\n" + RIGHT + PING, RIGHT) == ["BAD_JSON"]
        assert client.conversation.wants is Wants.END
        assert client.ran == []

    def test_after_a_first_line_that_is_an_object_a_bad_one_is_answered(
        self, client: Client
    ) -> None:
        assert client.ask(b"{}\nbad\n" + RIGHT + PING) == ["BAD_REQUEST", "BAD_JSON", OK, PONG]

    @pytest.mark.parametrize("first", [b"G", b"\x16\x03\x01\x02\x00\x01", b" \r\n ["])
    def test_the_first_character_of_another_protocol_is_enough(
        self, client: Client, first: bytes
    ) -> None:
        assert client.ask(first) == ["BAD_JSON"]
        assert client.conversation.wants is Wants.END


early_lines = st.one_of(
    anything,
    st.sampled_from([WRONG, PING, b"{}\n", b"\n", b'{"type":"AUTH","password":', b"{" * 2000]),
    st.builds(
        b'{"type":"%b","id":"%b"}\n'.__mod__,
        st.tuples(
            st.sampled_from([b"AUTH", b"GET", b"X" * 1000, b"\\u0000" * 200]),
            st.integers(0, 3000).map(lambda size: b"i" * size),
        ),
    ),
)
early_data = st.lists(st.tuples(early_lines, st.integers(1, 300)), max_size=6).map(
    lambda parts: b"".join(part * times for part, times in parts)
)


@given(
    data=early_data,
    cuts=st.lists(st.integers(0, 20_000), max_size=8),
    spoken=st.booleans(),
)
@example(data=PING * 100, cuts=[], spoken=False)
@example(data=b'{"type":"PING","id":"%b"}\n' % (b"i" * 5000), cuts=[10], spoken=True)
def test_whatever_arrives_without_the_password_nothing_runs_and_output_is_bounded(
    data: bytes, cuts: List[int], spoken: bool
) -> None:
    data = (b"{}\n" if spoken else b"") + data
    assume(SECRET.encode() not in data)
    ends = sorted(cuts)
    client = Client()
    sent = client.send(*(data[a:b] for a, b in zip([0, *ends], [*ends, None])))
    assert client.ran == []
    assert len(sent) <= MAX_UNAUTHENTICATED_OUTPUT
    assert "INTERNAL" not in replies(sent)
    assert not (client.conversation.wants is Wants.INPUT and len(data) > MAX_UNAUTHENTICATED_INPUT)


def _legal(name: str) -> Any:
    """A request that any client inside could make."""
    members: Dict[str, Any] = {
        "BATCH": {"commands": [{"type": "PING"}]},
        "SET": {"key": "k", "value": 1},
        "GETSET": {"key": "k", "value": 1},
        "EXPIRE": {"key": "k", "ttl": 1},
        "MGET": {"keys": ["k"]},
        "MDELETE": {"keys": ["k"]},
        "MSET": {"items": {"k": 1}},
    }
    bare = ("FLUSH", "COUNT", "SCAN", "PING", "INFO")
    return {"type": name, **({} if name in bare else members.get(name, {"key": "k"}))}
