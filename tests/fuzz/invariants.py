"""What holds for the codec whatever bytes arrive, as plain functions that raise where it does not.

Rule: a check is decided by its bytes alone, so that they can be kept as a file and checked again.
Each `CUT` in them ends one read of the transport, and is not itself fed: no UTF-8 has
that byte.

The measure of a line is Python's own JSON reader, made strict: no NaN or Infinity, no number beyond
double precision, no half of a surrogate pair, UTF-8 throughout.
"""

from __future__ import annotations

import contextlib
import json
import math
from typing import (
    Any,
    Callable,
    Collection,
    Dict,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
    get_args,
    get_origin,
)
from unittest import mock

import msgspec

from adapters.client.json_lines.session import ClientSession
from adapters.protocols.json_lines import lines as server_lines
from application import conversation, turn
from application.commands import COMMANDS, Command
from application.executor import LocalExecutor
from application.limits import Limits
from application.ports import Wants
from application.stats import Times
from domain.errors import BY_CODE, BadRequest, KvError, Unavailable
from domain.memory import InMemoryStore
from domain.store import Store
from tests.fuzz.resp import check_resp
from tests.support import answer, session_of, stats_of

CUT = b"\xfe"

LIMITS = Limits(
    max_request_bytes=1_000, max_reply_bytes=2_000, max_key_bytes=64, max_keys_per_request=8
)
PORTION, BLOCK, WINDOW = 400, 90, 5
"""Bounds so low that inputs of a thousand bytes come to all of them."""


def check_server(data: bytes) -> None:
    """Each line that is not blank gets one reply, which a strict reader can read and which is not
    `INTERNAL`; the same however the bytes are cut; a first line that is no JSON object is the last;
    what was stored comes back equal."""
    whole = data.replace(CUT, b"")
    store = InMemoryStore(_stopped_clock)
    sent, is_open = _converse(store, [whole])
    if CUT in data:
        again = _converse(InMemoryStore(_stopped_clock), data.split(CUT))
        assert again == (sent, is_open), "the replies depend on how the bytes are cut"
    replies = _lines_of(sent)
    asked = _asked(whole, replies, is_open)
    assert len(asked) == len(replies), "not one reply for each line"
    known: Dict[str, Any] = {}
    for line, reply in zip(asked, replies):
        _check_reply(line, reply, known)
    _check_known(store, known)


def check_client(data: bytes) -> None:
    """For each request before the first empty line, the bytes received after it yield a result of
    the command's type or a `KvError`, or raises `Unavailable`; the same however it is cut."""
    requests, _, rest = data.partition(b"\n\n")
    asked = [command for command in map(_command, requests.split(b"\n")) if command]
    whole = _receive(asked, [rest.replace(CUT, b"")])
    if CUT in rest:
        assert _receive(asked, rest.split(CUT)) == whole, "what is received depends on the cuts"


CHECKS: Dict[str, Callable[[bytes], None]] = {
    "server": check_server,
    "client": check_client,
    "resp": check_resp,
}


def _stopped_clock() -> float:
    return 1000.0


# What the server answers.


def _converse(store: Store, pieces: Sequence[bytes]) -> Tuple[bytes, bool]:
    """All that a new conversation on `store` sends, as a transport has it, and whether it goes
    on."""
    with contextlib.ExitStack() as low:
        low.enter_context(mock.patch.object(Times, "note"))  # INFO's turns depend on the cuts
        stats = stats_of(LIMITS, _stopped_clock)
        executor = LocalExecutor(store, LIMITS, stats.report)
        talk = session_of(executor, LIMITS, _stopped_clock, stats)
        for module in (conversation, turn):
            low.enter_context(mock.patch.object(module, "TURN_BYTES", PORTION))
        low.enter_context(mock.patch.object(server_lines, "BLOCK_BYTES", BLOCK))
        low.enter_context(mock.patch.object(server_lines, "WINDOW", WINDOW))
        sent = answer(talk, pieces)
    return sent, talk.wants is not Wants.END


def _lines_of(sent: bytes) -> List[bytes]:
    *lines, rest = sent.split(b"\n")
    assert rest == b"", "a reply is not ended"
    return lines


def _asked(data: bytes, replies: List[bytes], is_open: bool) -> List[bytes]:
    """The lines that must have been answered; the answer to one over the bound is taken off. What
    is blank before the first is dropped."""
    lines = data.lstrip(b" \t\r\n").split(b"\n")
    fits = [len(line) <= LIMITS.max_request_bytes for line in lines]
    end = fits.index(False) if False in fits else len(lines) - 1
    asked = [line for line in lines[:end] if line.strip(b" \t\r")]
    if not asked and lines[end][:1] not in (b"", b"{"):
        asked.append(lines[end])  # one that begins so needs no end, and has none too far off
    if asked and _outcome(_read_reply(replies[0])) == "BAD_JSON":
        assert not is_open, "the conversation goes on with a peer of another protocol"
        return asked[:1]
    assert is_open == all(fits), "the conversation ends, or goes on, for no reason"
    if not is_open:
        assert _outcome(_read_reply(replies.pop())) == "TOO_LARGE"
    return asked


def _check_reply(line: bytes, text: bytes, known: Dict[str, Any]) -> None:
    """Whether a line may be answered so; what it tells about the store is then `known`."""
    request, reply = _read_request(line), _read_reply(text)
    assert _outcome(reply) in request.outcomes, (line, reply)
    if request.members is None:
        known.clear()
        return
    if _outcome(reply) == "BAD_JSON":
        return
    id = request.members.get("id")
    assert reply.get("id") == (id if type(id) in (str, int) else None), (line, reply)
    if reply["ok"]:
        command = _command(line)
        assert command, "what is carried out is no command"
        assert _receive([command], [_with_first_id(text)]), "the client does not believe its server"
        _learn(known, request.members, reply)
    elif "index" in reply["error"]:
        assert 0 <= reply["error"]["index"] < len(request.members["commands"])


def _with_first_id(reply: bytes) -> bytes:
    """The reply as to a client's first request; of two members of one name the last counts."""
    return reply[: -len(b"}")] + b',"id":0}\n'


def _read_reply(text: bytes) -> Dict[str, Any]:
    """The reply as a strict reader sees it; raises when it is none of this protocol."""
    assert len(text) < LIMITS.max_reply_bytes, "a reply is over the bound"
    reply = json.loads(text.decode(), parse_constant=_refuse)
    json.dumps(reply, ensure_ascii=False, allow_nan=False).encode()
    assert isinstance(reply, dict)
    assert isinstance(reply["ok"], bool)
    assert reply.keys() - {"id", "result"} == ({"ok"} if reply["ok"] else {"ok", "error"})
    if not reply["ok"]:
        assert reply["error"].keys() - {"index"} == {"code", "message"}
        assert reply["error"]["code"] in BY_CODE.keys() - {"INTERNAL"}, reply
        assert isinstance(reply["error"]["message"], str)
    return reply


def _outcome(reply: Dict[str, Any]) -> str:
    return "OK" if reply["ok"] else str(reply["error"]["code"])


# What was asked of it.


class Request(NamedTuple):
    """What its reply may come to, and its members where a strict reader can tell."""

    outcomes: Collection[str]
    members: Optional[Dict[str, Any]] = None


NOT_JSON = {"BAD_JSON"}
JSON = {"OK"} | BY_CODE.keys() - NOT_JSON
REFUSED = BY_CODE.keys()
ANY = {"OK"} | REFUSED

DEEP = 300
DIGITS = 4_300
"""How deep, and integers of how many digits, Python reads wherever it runs."""


def _read_request(line: bytes) -> Request:
    """A string that no strict reader takes is found where it is read: one in a member that is not
    known or that another of the same name replaces may not be."""
    if line.count(b"[") + line.count(b"{") > DEEP:
        return Request(ANY)
    try:
        members, everything = _read(line, dict), _read(line, list)
    except ValueError:
        return Request(NOT_JSON)
    if not isinstance(members, dict):
        return Request(NOT_JSON)
    if not _is_sound(members):
        return Request(REFUSED)
    return Request(JSON if _is_sound(everything) else ANY, members)


def _read(line: bytes, new_object: Callable[[Any], Any]) -> Any:
    """What the line says, with half a surrogate pair in place of each byte that is not UTF-8."""
    text = line.decode("utf-8", "surrogateescape")
    return json.loads(text, object_pairs_hook=new_object, parse_int=_whole, parse_constant=_refuse)


def _is_sound(document: Any) -> bool:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeError:
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _whole(digits: str) -> float:
    return int(digits) if len(digits) <= DIGITS else math.inf


_decode = msgspec.json.Decoder(Union[COMMANDS]).decode


def _command(line: bytes) -> Optional[Command[Any]]:
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        command: Command[Any] = _decode(line)
        return command
    return None


# What was stored.


def _learn(known: Dict[str, Any], request: Dict[str, Any], reply: Dict[str, Any]) -> None:
    """Bring what is `known` to be at some keys up to date with a command that was carried out."""
    kind = request["type"]
    if kind == "BATCH":
        for command, its_reply in zip(request["commands"], reply["result"]):
            _learn(known, command, its_reply)
    elif kind == "GET":
        if request["key"] in known:
            _check_equal(known[request["key"]], reply["result"])
    elif kind in ("SET", "GETSET", "MSET") and "ttl" not in request:
        if kind == "GETSET" or reply["result"]:
            known.update(request["items"] if kind == "MSET" else {request["key"]: request["value"]})
    elif kind not in ("PING", "COUNT", "EXISTS", "MGET", "SCAN", "TTL", "INFO"):
        known.clear()


def _check_known(store: Store, known: Dict[str, Any]) -> None:
    asked = [json.dumps({"type": "GET", "key": key}, ensure_ascii=False) for key in known]
    sent, _ = _converse(store, [line.encode() + b"\n" for line in asked])
    for value, reply in zip(known.values(), _lines_of(sent)):
        _check_equal(value, _read_reply(reply)["result"])


def _check_equal(stored: Any, got: Any) -> None:
    """Both are as Python reads them: 1 is not 1.0, and the order of members counts."""
    assert repr(got) == repr(stored), "what comes back is not what was stored"


# What the client receives.


def _receive(asked: Sequence[Command[Any]], pieces: Sequence[bytes]) -> Optional[List[object]]:
    """What comes of the commands; None when the replies are not believed, or nothing is asked."""
    session = ClientSession(LIMITS.max_reply_bytes)
    outcomes: List[object] = []
    try:
        requests = b"".join(session.send(asked))
        for piece in pieces:
            outcomes += session.receive_data(piece)
    except (BadRequest, Unavailable):
        return None
    assert requests.count(b"\n") == len(asked)
    assert len(outcomes) + session.in_flight == len(asked)
    for command, outcome in zip(asked, outcomes):
        assert isinstance(outcome, (KvError, *_result_types(type(command)))), (command, outcome)
    return [_comparable(outcome) for outcome in outcomes]


def _result_types(kind: Type[Command[Any]]) -> Tuple[Any, ...]:
    (result,) = get_args(kind.__orig_bases__[0])  # type: ignore[attr-defined]
    either = get_args(result) if get_origin(result) is Union else (result,)
    return tuple(get_origin(one) or one for one in either)


def _comparable(outcome: object) -> object:
    if isinstance(outcome, KvError):
        return type(outcome), str(outcome), outcome.index
    return outcome
