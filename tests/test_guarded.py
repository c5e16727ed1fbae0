"""The conversation that begins with a password, without a socket and with a clock of its own."""

from __future__ import annotations

import json
import random
from typing import Any, Dict, Iterable, List, Optional, TypeVar

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from adapters.protocols.json_lines.guarded import MAX_HEARD, MAX_SAID, GuardedSession
from adapters.protocols.json_lines.lines import Allowance
from adapters.protocols.json_lines.server import MANY
from application.commands import NAMES, Auth, Command, Ping
from application.executor import LocalExecutor
from application.limits import Limits
from application.password import FIRST_DELAY, FREE_ATTEMPTS, Password
from application.ports import Executor
from application.stats import ServerStats
from domain.memory import InMemoryStore
from tests.support import Clock
from tests.test_json_lines import CONVERSATION, REPLIES, anything, bytewise, replies

R = TypeVar("R")

SECRET = "correct horse battery staple"
RIGHT = b'{"type":"AUTH","password":"%b"}\n' % SECRET.encode()
WRONG = b'{"type":"AUTH","password":"wrong"}\n'
PING = b'{"type":"PING"}\n'
OK, PONG = {"ok": True, "result": True}, {"ok": True, "result": "PONG"}
NO = "UNAUTHENTICATED"
LIMITS = Limits(max_request_bytes=200_000, max_key_bytes=100, max_keys_per_request=50)


class Door(Executor):
    """A guarded session, and the executor behind it, which remembers what it was asked to run."""

    def __init__(self, limits: Limits = LIMITS, beside: Optional[Door] = None) -> None:
        self.ran: List[Command[Any]] = []
        self.rests: List[float] = []
        self.clock: Clock = beside.clock if beside else Clock()
        self.password: Password = beside.password if beside else Password(SECRET, self.clock)
        self.figures = ServerStats("test", limits, self.clock, lambda: 1)
        allowance = Allowance(limits.max_input_bytes)
        self._local = LocalExecutor(InMemoryStore(self.clock), limits)
        self.session = GuardedSession(
            self, limits, self.figures, allowance, self.password, "192.0.2.1:5000"
        )

    def execute(self, command: Command[R]) -> R:
        self.ran.append(command)
        return self._local.execute(command)

    def send(self, *pieces: bytes) -> bytes:
        """All that is said to a client that sends these pieces, as a transport would have it: time
        passes when it is told to rest, and nothing is read from a conversation that is over."""
        sent = self._rest_of_replies()
        for piece in pieces:
            if self.session.open:
                sent += self.session.receive(piece) + self._rest_of_replies()
        return sent

    def _rest_of_replies(self) -> bytes:
        said = b""
        while self.session.waiting:
            self.rests.append(round(self.session.rest, 6))
            self.clock.now += self.session.rest
            said += self.session.replies()
        return said

    def ask(self, *pieces: bytes) -> List[Any]:
        """The replies, a refusal by its code."""
        return replies(self.send(*pieces))


@pytest.fixture
def door() -> Door:
    return Door()


def cut(data: bytes, seed: int) -> Iterable[bytes]:
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(len(data)), chance.randint(1, 30)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, None])]


class TestOutside:
    @pytest.mark.parametrize("name", [name for name in NAMES if name != "AUTH"])
    def test_no_command_runs_before_the_password(self, door: Door, name: str) -> None:
        line = json.dumps(_legal(name)).encode() + b"\n"
        assert door.ask(line, line) == [NO, NO]
        assert door.ran == []
        assert door.ask(RIGHT, line)[1]["ok"] is True

    def test_the_password_in_a_batch_is_no_password(self, door: Door) -> None:
        batch = b'{"type":"BATCH","commands":[%b,{"type":"PING"}]}\n' % RIGHT.strip()
        assert door.ask(batch, PING) == ["BAD_REQUEST", NO]
        assert door.ran == []

    def test_after_a_wrong_password_the_right_one_is_taken(self, door: Door) -> None:
        assert door.ask(WRONG + PING + RIGHT + PING) == [NO, NO, OK, PONG]
        assert door.ran == [Auth(SECRET), Ping()]

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
    def test_what_is_not_quite_it_is_not_it(self, door: Door, almost: bytes) -> None:
        door.send(PING, almost + b"\n", PING)
        assert door.ran == []

    def test_a_wrong_password_is_told_to_the_log_without_the_attempt(
        self, door: Door, caplog: pytest.LogCaptureFixture
    ) -> None:
        sent = door.send(b'{"type":"AUTH","password":"my other password"}\n')
        (record,) = caplog.records
        assert record.getMessage() == "a wrong password"
        assert "192.0.2.1:5000" in vars(record).values()
        assert "my other password" not in repr(vars(record)) + sent.decode()

    def test_a_bug_behind_the_door_is_told_without_the_password(
        self, door: Door, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(command: Command[R]) -> R:
            raise RuntimeError(repr(command))

        door.session._run = fail
        assert door.ask(RIGHT) == ["INTERNAL"]
        assert SECRET not in caplog.text

    def test_a_command_that_is_carried_out_in_steps_does_not_slip_in(self) -> None:
        limits = Limits(max_key_bytes=100)
        door, many = Door(limits), b'{"type":"MGET","keys":[%b"a"]}\n' % (b'"a",' * MANY)
        assert len(many) < MAX_HEARD
        assert door.ask(PING, many, PING) == [NO, NO, NO]
        assert door.ran == []
        assert door.ask(RIGHT, many) == [OK, {"ok": True, "result": {}}]

    def test_coming_in_is_one_request_from_connecting_on(self, door: Door) -> None:
        assert door.session.unfinished
        before = door.session.unfinished
        door.send(PING, WRONG, RIGHT[:10])
        assert door.session.unfinished == before
        door.send(RIGHT[10:])
        assert door.session.unfinished == 0
        door.send(b'{"type":')
        first = door.session.unfinished
        assert first not in (0, before)
        door.send(b'"PING"}\n{"type":')
        assert door.session.unfinished not in (0, before, first)

    @pytest.mark.parametrize("already", [b"", PING, RIGHT[:10], WRONG * FREE_ATTEMPTS])
    def test_taking_too_long_to_come_in_is_told_and_ends_it(
        self, door: Door, already: bytes
    ) -> None:
        door.send(already)
        door.session.time_out()
        assert door.ask() == ["TIMEOUT"]
        assert not door.session.open
        assert not door.session.waiting
        assert door.figures.connected == 0

    def test_one_client_too_many_is_told_so_and_not_asked_for_the_password(self) -> None:
        door = Door(Limits(max_clients=0))
        assert not door.session.open
        assert door.ask() == ["TOO_MANY_CLIENTS"]
        assert (door.figures.connected, door.figures.refused) == (0, 1)


class TestComingIn:
    def test_commands_on_the_heels_of_the_password_in_one_read(self, door: Door) -> None:
        assert door.ask(RIGHT + CONVERSATION) == [OK, *REPLIES]

    def test_byte_by_byte(self, door: Door) -> None:
        assert door.ask(*bytewise(RIGHT + CONVERSATION)) == [OK, *REPLIES]

    @pytest.mark.parametrize("seed", range(20))
    def test_cut_at_random(self, door: Door, seed: int) -> None:
        data = PING + WRONG + b"\r\n\n" + RIGHT + CONVERSATION
        assert door.ask(*cut(data, seed)) == [NO, NO, OK, *REPLIES]

    def test_the_id_of_the_request_comes_back(self, door: Door) -> None:
        wrong, right = WRONG[:-2] + b',"id":1}\n', RIGHT[:-2] + b',"id":"mark"}\n'
        first, second = map(json.loads, door.send(wrong + right).splitlines())
        assert (first["id"], first["ok"]) == (1, False)
        assert second == {"id": "mark", "ok": True, "result": True}

    def test_once_inside_every_password_is_right_and_none_waits(self, door: Door) -> None:
        assert door.ask(RIGHT, *[WRONG] * 10, RIGHT, PING) == [OK] * 12 + [PONG]
        assert set(door.rests) <= {0.0}

    def test_at_once_the_large_limits_apply_in_the_same_read_too(self, door: Door) -> None:
        large = b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 150_000)
        asked = large + b'{"type":"GET","key":"k"}\n' * 3
        assert door.ask(RIGHT + asked) == [OK, OK] + [{"ok": True, "result": "x" * 150_000}] * 3

    def test_a_request_that_began_in_the_read_of_the_password_may_be_large(
        self, door: Door
    ) -> None:
        value = b"x" * 150_000
        asked = RIGHT + b'{"type":"SET","key":"k","value":"%b"}\n' % value
        pieces = [asked[at : at + 1000] for at in range(0, len(asked), 1000)]
        assert door.ask(*pieces) == [OK, OK]

    def test_inside_the_bounds_are_those_of_any_client(self, door: Door) -> None:
        assert door.ask(RIGHT, b"x" * (LIMITS.max_request_bytes + 1)) == [OK, "TOO_LARGE"]
        assert not door.session.open

    def test_inside_replies_come_in_portions(self, door: Door) -> None:
        door.send(RIGHT, b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 1000))
        first = door.session.receive(b'{"type":"GET","key":"k"}\n' * 1000)
        assert door.session.waiting
        assert len(first) < 70_000
        assert (first + door.send()).count(b"\n") == 1000


class TestHowMuch:
    """What a stranger may send, and is told."""

    def assert_shown_out(self, door: Door, sent: bytes) -> None:
        assert len(sent) <= MAX_SAID
        assert replies(sent)[-1] == NO
        assert b"too much" in sent.splitlines()[-1]
        assert not door.session.open
        assert not door.session.waiting
        assert door.ran == []
        assert door.send(RIGHT + PING) == b""

    def test_a_line_without_end_is_cut_off(self, door: Door) -> None:
        endless = b'{"type":"AUTH","password":"' + b"x" * MAX_HEARD
        self.assert_shown_out(door, door.send(endless))

    @pytest.mark.parametrize("size", [1, 100, 1000, 5000])
    def test_in_pieces_too_and_none_is_read_beyond_the_bound(self, door: Door, size: int) -> None:
        endless = b'{"type":"AUTH","password":"' + b"x" * (2 * MAX_HEARD)
        heard, sent = 0, b""
        while door.session.open:
            sent += door.send(endless[heard : heard + size])
            heard += size
        assert MAX_HEARD < heard <= MAX_HEARD + size
        self.assert_shown_out(door, sent)

    def test_just_as_much_as_is_allowed_is_heard(self, door: Door) -> None:
        blanks = b"\n" * (MAX_HEARD - len(RIGHT))
        assert door.ask(blanks, RIGHT) == [OK]

    def test_after_more_than_that_the_right_password_is_not_taken_either(self, door: Door) -> None:
        assert door.ask(b"\n" * (MAX_HEARD + 1), RIGHT + PING) == [NO]
        assert door.ran == []

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
    def test_a_stranger_is_not_told_more_than_a_little(
        self, door: Door, line: bytes, together: bool
    ) -> None:
        lines = [b"{}\n"] + [line] * (MAX_HEARD // len(line) + 1)
        sent = door.send(*[b"".join(lines)] if together else lines)
        self.assert_shown_out(door, sent)

    def test_the_password_is_not_looked_for_beyond_the_bound_in_one_large_read_either(
        self, door: Door
    ) -> None:
        assert door.ask(b"\n" * (3 * MAX_HEARD) + RIGHT) == [NO]
        assert door.ran == []

    def test_who_has_shown_the_password_is_not_told_that_it_was_too_much_without(
        self, door: Door
    ) -> None:
        size = len(door.send(b'{"type":"PING","id":""}\n'))
        door = Door()
        filler = b'{"type":"PING","id":"%b"}\n' % (b"i" * (MAX_SAID - 128 - size))
        assert door.ask(filler, RIGHT, PING) == [NO, OK, PONG]


class TestWaiting:
    """After failures an attempt has to wait for its turn."""

    def test_it_waits_without_an_answer_and_is_answered_in_its_turn(self, door: Door) -> None:
        assert door.ask(WRONG * FREE_ATTEMPTS) == [NO] * FREE_ATTEMPTS
        assert (door.session.waiting, door.session.rest) == (False, 0.0)
        assert door.session.receive(RIGHT) == b""
        assert door.session.waiting
        assert door.session.rest == pytest.approx(FIRST_DELAY)
        assert door.ran == []
        assert replies(door.session.replies()) == [OK]
        assert (door.session.waiting, door.session.rest) == (False, 0.0)

    def test_of_attempts_in_one_read_each_waits_longer(self, door: Door) -> None:
        assert door.ask(WRONG * (FREE_ATTEMPTS + 3) + RIGHT + PING) == [NO] * (
            FREE_ATTEMPTS + 3
        ) + [OK, PONG]
        assert door.rests == [0.1, 0.2, 0.4, 0.8]

    def test_what_is_no_attempt_does_not_wait_but_one_in_disguise_does(self, door: Door) -> None:
        door.send(WRONG * FREE_ATTEMPTS)
        assert door.ask(PING, b"{}\n", b"\n") == [NO, "BAD_REQUEST"]
        assert door.rests == []
        assert door.ask(RIGHT.replace(b"AUTH", b"\\u0041UTH")) == [OK]
        assert door.rests == [0.1]

    def test_when_too_many_wait_already_one_more_is_sent_away(self, door: Door) -> None:
        while door.password.wait("192.0.2.1") is not None:
            pass
        assert door.ask(RIGHT, RIGHT) == [NO]
        assert not door.session.open

    def test_of_two_connections_from_an_address_one_waits_for_the_other(self, door: Door) -> None:
        beside = Door(beside=door)
        door.send(WRONG * FREE_ATTEMPTS)
        assert (door.session.receive(WRONG), beside.session.receive(RIGHT)) == (b"", b"")
        assert door.session.rest == pytest.approx(FIRST_DELAY)
        assert beside.session.rest == pytest.approx(3 * FIRST_DELAY)
        assert replies(door.session.replies()) == [NO]
        assert replies(beside.session.replies()) == [OK]

    def test_what_has_arrived_behind_it_is_answered_after_it(self, door: Door) -> None:
        door.send(WRONG * FREE_ATTEMPTS)
        assert door.ask(RIGHT + CONVERSATION + b'{"type":') == [OK, *REPLIES]
        assert door.session.unfinished > 0
        assert door.ask(b'"PING"}\n') == [PONG]

    def test_ending_meanwhile_is_told_and_the_attempt_is_not_made(self, door: Door) -> None:
        door.send(WRONG * FREE_ATTEMPTS)
        door.session.receive(RIGHT + PING)
        door.session.time_out()
        assert replies(door.session.replies()) == ["TIMEOUT"]
        assert not door.session.open
        assert not door.session.waiting
        assert door.ran == []

    def test_a_large_request_may_be_on_the_heels_of_a_password_that_waits(self, door: Door) -> None:
        door.send(WRONG * FREE_ATTEMPTS)
        large = b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 50_000)
        assert door.ask(RIGHT + large) == [OK, OK]


class TestFirstLine:
    @pytest.mark.parametrize(
        "first", [b"hello", b"GET / HTTP/1.1\r", b"[]", b"\x16\x03\x01\x02", b"*1\r", b'{"type":']
    )
    def test_a_peer_of_another_protocol_is_told_once(self, door: Door, first: bytes) -> None:
        assert door.ask(b"\r\n" + first + b"\n" + RIGHT + PING, RIGHT) == ["BAD_JSON"]
        assert not door.session.open
        assert door.ran == []

    def test_after_a_first_line_that_is_an_object_a_bad_one_is_answered(self, door: Door) -> None:
        assert door.ask(b"{}\nbad\n" + RIGHT + PING) == ["BAD_REQUEST", "BAD_JSON", OK, PONG]

    @pytest.mark.parametrize("first", [b"G", b"\x16\x03\x01\x02\x00\x01", b" \r\n ["])
    def test_its_first_character_is_enough(self, door: Door, first: bytes) -> None:
        assert door.ask(first) == ["BAD_JSON"]
        assert not door.session.open


strangers_lines = st.one_of(
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
strangers = st.lists(st.tuples(strangers_lines, st.integers(1, 300)), max_size=6).map(
    lambda parts: b"".join(part * times for part, times in parts)
)


@given(data=strangers, cuts=st.lists(st.integers(0, 20_000), max_size=8), spoken=st.booleans())
@example(data=PING * 100, cuts=[], spoken=False)
@example(data=b'{"type":"PING","id":"%b"}\n' % (b"i" * 5000), cuts=[10], spoken=True)
def test_whatever_arrives_without_the_password_nothing_runs_and_little_is_said(
    data: bytes, cuts: List[int], spoken: bool
) -> None:
    data = (b"{}\n" if spoken else b"") + data
    assume(SECRET.encode() not in data)
    ends = sorted(cuts)
    door = Door()
    sent = door.send(*(data[a:b] for a, b in zip([0, *ends], [*ends, None])))
    assert door.ran == []
    assert len(sent) <= MAX_SAID
    assert "INTERNAL" not in replies(sent)
    assert not (door.session.open and len(data) > MAX_HEARD)


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
