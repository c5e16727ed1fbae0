"""What holds for RESP whatever bytes arrive: each check is decided by its bytes alone.

Rule: what is sent is whole replies of the protocol, never tells of a bug, and is the same however
the bytes are cut.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

from adapters.client.loopback import LoopbackLink
from adapters.protocols.first_bytes import FirstBytes, Protocol
from adapters.protocols.resp.codec import RespCodec
from adapters.protocols.resp.session import Shared
from application.conversation import Conversation
from application.executor import LocalExecutor
from application.limits import Limits
from application.long_requests import LongRequests
from application.pause import Pause
from application.ports import Wants
from application.service import Service
from application.stats import ServerStats
from domain.memory import InMemoryStore
from tests.support import ROOT, answer

CUT = b"\xfe"
"""Ends one read of the transport; not fed itself."""

LIMITS = Limits(
    max_request_bytes=5_000, max_reply_bytes=10_000, max_key_bytes=64, max_keys_per_request=8
)
DELETE = b"""
    if redis.call('GET', KEYS[1]) == ARGV[1]  -- is it ours?
    then return redis.call('DEL', KEYS[1]) else return 0 end
"""
COMPARE_AND_SET = b"""
    if redis.call('get', KEYS[1]) == ARGV[2] then
        if #ARGV == 4 then
            return redis.call('set', KEYS[1], ARGV[1], ARGV[3], ARGV[4])
        else
            return redis.call('set', KEYS[1], ARGV[1])
        end
    else
        return 0
    end
"""
_PING = b"*1\r\n$4\r\nPING\r\n"


def check_resp(data: bytes) -> None:
    """Whole replies alone, and no bug; the same however it is cut, but for where messages that are
    pushed stand among them."""
    whole = data.replace(CUT, b"")
    sent, is_open = _converse([_PING + whole])
    assert b"a bug in the server" not in sent
    replies = list(_frames(sent))
    if CUT in data:
        again, goes_on = _converse([_PING, *data.split(CUT)])
        order = sorted if b"message\r\n" in sent else list
        assert order(_frames(again)) == order(replies), "the replies depend on the cuts"
        assert goes_on == is_open, "the end depends on the cuts"


def compared() -> List[bytes]:
    """The commands that are compared with Redis, as lines."""
    lines = (ROOT / "tests" / "resp_commands.txt").read_text().split("\n")
    return [line.encode().decode("unicode_escape").encode("latin-1") for line in lines if line]


SCRIPTS = [
    [b"EVAL", DELETE, b"1", b"k", b"v"],
    [b"EVAL", COMPARE_AND_SET, b"1", b"k", b"w", b"v", b"EX", b"60"],
]


def seeds() -> Iterator[bytes]:
    """Those commands, as arrays, inline, and with a transaction; and scripts."""
    yield _array([b"SET", b"k", b"v"]) + b"".join(map(_array, reversed(SCRIPTS)))
    commands = compared()
    for at in range(0, len(commands), 8):
        some = commands[at : at + 8]
        arrays = b"".join(_array(command.split()) for command in some)
        yield arrays
        yield b"\r\n".join(some) + b"\r\n"
        yield _array([b"MULTI"]) + arrays + CUT + _array([b"EXEC"])
        yield _array([b"HELLO", b"3"]) + CUT.join(arrays[n : n + 7] for n in range(0, 200, 7))


def _array(arguments: Sequence[bytes]) -> bytes:
    parts = b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in arguments)
    return b"*%d\r\n%b" % (len(arguments), parts)


def _still() -> float:
    return 1000.0


def _least(keys: List[str]) -> str:
    return min(keys)


def _converse(pieces: Sequence[bytes]) -> Tuple[bytes, bool]:
    """What a new conversation sends, and whether it goes on."""
    pause = Pause(_still)
    shared = Shared(LIMITS, "test", _still, pause)
    shared.choose = _least
    protocols = FirstBytes([Protocol(lambda first: True, partial(RespCodec, shared))])
    stats = ServerStats("test", LIMITS, _still, lambda: 1)
    executor = LocalExecutor(InMemoryStore(_still), LIMITS, stats.report)
    service = Service(executor, protocols, LIMITS, stats, LongRequests(), pause)
    talk = Conversation(service, LoopbackLink())
    sent = answer(talk, [piece for piece in pieces if piece])
    while talk.wants is not Wants.END and talk._codec.has_pushed:
        sent += talk.advance()
    return sent, talk.wants is not Wants.END


def _frames(sent: bytes) -> Iterator[bytes]:
    """The replies; raises `AssertionError` where there is none."""
    at = 0
    while at < len(sent):
        end = _end_of(sent, at)
        yield sent[at:end]
        at = end


def _end_of(sent: bytes, at: int) -> int:
    end = sent.find(b"\r\n", at)
    assert end >= 0, "a reply is not ended"
    mark, rest, after = sent[at : at + 1], sent[at + 1 : end], end + 2
    if mark in _LINES:
        assert _LINES[mark](rest), (mark, rest)
        return after
    assert mark in b"$*%~>", (mark, rest)
    assert re.fullmatch(rb"-1|[0-9]+", rest), (mark, rest)
    if rest == b"-1":
        return after
    if mark == b"$":
        assert sent[after + int(rest) : after + int(rest) + 2] == b"\r\n"
        return after + int(rest) + 2
    for _ in range(int(rest) * (2 if mark == b"%" else 1)):
        after = _end_of(sent, after)
    return after


_LINES: Dict[bytes, Callable[[bytes], object]] = {
    b"+": lambda rest: b"\n" not in rest,
    b"-": lambda rest: rest and b"\n" not in rest,
    b":": re.compile(rb"-?[0-9]+").fullmatch,
    b",": lambda rest: float(rest) == float(rest),
    b"#": re.compile(rb"[tf]").fullmatch,
    b"_": lambda rest: not rest,
}
