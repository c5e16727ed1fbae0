"""HTTP without a socket: requests in any pieces, and input that no client should send."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Set, Tuple, Type

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.client.loopback import LoopbackLink
from adapters.protocols.first_bytes import MAX_FIRST_BYTES
from adapters.protocols.http.codec import begins_http
from adapters.protocols.http.messages import refusal
from application.ports import Conversation, Wants
from domain.errors import BY_CODE, Blame, KvError, TimedOut
from entrypoints.server.container import ServerContainer
from tests.support import answer, server_container

BASIC = b"Basic " + base64.b64encode(b"anyone:secret")


def request(
    method: str, target: str, body: bytes = b"", host: str = "localhost", **headers: Any
) -> bytes:
    """A request in bytes; `content_type="x"` is the header Content-Type."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body or method in ("PUT", "POST", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Reply(NamedTuple):
    status: int
    headers: Dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def replies_in(data: bytes, methods: Iterable[str]) -> List[Reply]:
    """The answers in what a server sent to requests of these methods."""
    client = h11.Connection(h11.CLIENT)
    client.receive_data(data)
    found = []
    for method in methods:
        client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        client.send(h11.EndOfMessage())
        found.append(_reply(client))
        if client.our_state is h11.MUST_CLOSE or client.their_state is not h11.DONE:
            break
        client.start_next_cycle()
    assert not client.trailing_data[0]
    return found


def _reply(client: h11.Connection) -> Reply:
    event: Any = client.next_event()
    while type(event) is h11.InformationalResponse:
        event = client.next_event()
    assert type(event) is h11.Response, event
    body = b""
    part: Any = client.next_event()
    while type(part) is h11.Data:
        body += part.data
        part = client.next_event()
    assert type(part) is h11.EndOfMessage, part
    headers = {name.decode(): value.decode() for name, value in event.headers}
    return Reply(event.status_code, headers, body)


class Peer:
    """A client of one connection."""

    def __init__(self, container: ServerContainer) -> None:
        self._talk: Conversation = container.plain_conversation(LoopbackLink())

    @property
    def is_open(self) -> bool:
        return self._talk.wants is not Wants.END

    def send(self, data: bytes) -> bytes:
        return answer(self._talk, [data])

    def ask(self, method: str, target: str, body: bytes = b"", **headers: Any) -> Reply:
        sent = self.send(request(method, target, body, **headers))
        (reply,) = replies_in(sent, [method])
        return reply


@pytest.fixture
def peer() -> Peer:
    return Peer(server_container())


JSON: Any = {"content_type": "application/json"}


def test_a_value_is_put_read_and_deleted(peer: Peer) -> None:
    assert peer.ask("GET", "/v1/keys/a").status == 404
    created = peer.ask("PUT", "/v1/keys/a", b' {"n": 1}\r\n', **JSON)
    assert (created.status, created.body) == (201, b"")
    found = peer.ask("GET", "/v1/keys/a")
    assert (found.status, found.body) == (200, b'{"n": 1}')
    assert found.headers["content-type"] == "application/json"
    assert found.headers["etag"] == created.headers["etag"]
    assert peer.ask("PUT", "/v1/keys/a", b"2", **JSON).status == 204
    assert peer.ask("DELETE", "/v1/keys/a").status == 204
    assert peer.ask("DELETE", "/v1/keys/a").status == 404
    assert peer.is_open


@pytest.mark.parametrize("key", ["a/b", "ä €", "%", "a?b#c", "\0", "."])
def test_a_key_is_any_text_percent_encoded(peer: Peer, key: str) -> None:
    target = "/v1/keys/" + "".join(f"%{byte:02X}" for byte in key.encode())
    assert peer.ask("PUT", target, b"1", **JSON).status == 201
    assert peer.ask("GET", "/v1/keys").json == {"keys": [key], "cursor": None}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_the_path_that_browsers_make_of_a_dot_is_no_key(peer: Peer, method: str) -> None:
    command = b'{"type":"SET","key":"","value":1}'
    assert peer.ask("POST", "/v1/commands", command, **JSON).json == {"ok": True, "result": True}
    kind = {"content_type": "application/merge-patch+json"} if method == "PATCH" else JSON
    refused = peer.ask(method, "/v1/keys/", b"2" if method in ("PUT", "PATCH") else b"", **kind)
    assert refused.status == 400
    found = peer.ask("POST", "/v1/commands", b'{"type":"GET","key":""}', **JSON)
    assert found.json == {"ok": True, "result": 1}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/octet-stream", "application/octet-stream"),
        ("application/json, application/octet-stream", "application/octet-stream"),
        ("application/octet-stream;q=0.5, */*;q=0.1", "application/octet-stream"),
        ("application/json, application/octet-stream; q=0.5", "application/json"),
        ("application/octet-stream;q=0", "application/json"),
        ("application/octet-stream+zip", "application/json"),
        ("*/*", "application/json"),
        (";q=, ,=", "application/json"),
    ],
)
def test_a_value_is_sent_in_the_form_that_is_preferred(
    peer: Peer, accept: str, content_type: str
) -> None:
    peer.ask("PUT", "/v1/keys/k", b"1", **JSON)
    found = peer.ask("GET", "/v1/keys/k", accept=accept)
    assert found.headers["content-type"] == content_type


@pytest.mark.parametrize(
    "body", [b"", b"\0\xff", b'"', b"text", b'{"a": 1}', b"null", "ä".encode()]
)
def test_bytes_come_back_as_they_were(peer: Peer, body: bytes) -> None:
    assert peer.ask("PUT", "/v1/keys/b", body, content_type="image/png").status == 201
    found = peer.ask("GET", "/v1/keys/b", accept="application/octet-stream")
    assert (found.body, found.headers["content-type"]) == (body, "application/octet-stream")


def test_a_condition_on_the_tag_lets_nobodys_change_be_lost(peer: Peer) -> None:
    first = peer.ask("PUT", "/v1/keys/k", b"1", **JSON, if_none_match="*")
    assert first.status == 201
    assert peer.ask("PUT", "/v1/keys/k", b"2", **JSON, if_none_match="*").status == 412
    tag = first.headers["etag"]
    second = peer.ask("PUT", "/v1/keys/k", b"2", **JSON, if_match=f'"x", {tag}')
    assert second.status == 204
    assert peer.ask("PUT", "/v1/keys/k", b"3", **JSON, if_match=tag).status == 412
    assert peer.ask("DELETE", "/v1/keys/k", if_match=tag).status == 412
    assert peer.ask("PUT", "/v1/keys/k", b"3", **JSON, if_match="W/" + tag).status == 412
    assert peer.ask("PUT", "/v1/keys/none", b"3", **JSON, if_match="*").status == 412
    assert peer.ask("GET", "/v1/keys/k").body == b"2"
    for method in ("GET", "HEAD"):
        for condition, status in [(tag, 412), (second.headers["etag"], 200), ("*", 200)]:
            assert peer.ask(method, "/v1/keys/k", if_match=condition).status == status
        assert peer.ask(method, "/v1/keys/none", if_match="*").status == 404
    weak = f"W/{second.headers['etag']}"
    assert peer.ask("GET", "/v1/keys/k", if_none_match=weak).status == 304
    assert peer.ask("PUT", "/v1/keys/k", b"3", **JSON, if_none_match=weak).status == 412
    unchanged = peer.ask("GET", "/v1/keys/k", if_none_match=second.headers["etag"])
    assert (unchanged.status, unchanged.body) == (304, b"")
    as_bytes = peer.ask("GET", "/v1/keys/k", accept="application/octet-stream")
    assert as_bytes.headers["etag"] == second.headers["etag"]
    unchanged = peer.ask("GET", "/v1/keys/k", accept="application/octet-stream", if_none_match=weak)
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert peer.ask("DELETE", "/v1/keys/k", if_match=second.headers["etag"]).status == 204


def test_a_ttl_is_set_kept_shown_and_cleared(peer: Peer) -> None:
    peer.ask("PUT", "/v1/keys/k?ttl=60", b"1", **JSON)
    assert 59 < float(peer.ask("GET", "/v1/keys/k").headers["x-kv-ttl"]) <= 60
    peer.ask("PUT", "/v1/keys/k?keep_ttl=true", b"2", **JSON)
    assert "x-kv-ttl" in peer.ask("HEAD", "/v1/keys/k").headers
    peer.ask("PUT", "/v1/keys/k", b"2", **JSON)
    assert "x-kv-ttl" not in peer.ask("GET", "/v1/keys/k").headers


@pytest.mark.parametrize(
    ("content_type", "patch", "status", "after"),
    [
        ("application/merge-patch+json", b'{"a":null,"b":2}', 204, b'{"b":2}'),
        ("application/json-patch+json", b'[{"op":"add","path":"/c","value":3}]', 204,
         b'{"a":1,"c":3}'),
        ("application/json-patch+json", b'[{"op":"test","path":"/a","value":2}]', 409, b'{"a":1}'),
        ("application/json-patch+json", b"{}", 400, b'{"a":1}'),
        ("application/merge-patch+json", b"{", 400, b'{"a":1}'),
        ("application/merge-patch+json", b'{"\xff":1}', 400, b'{"a":1}'),
        ("application/merge-patch+json", b"[" * 200 + b"]" * 200, 400, b'{"a":1}'),
        ("application/json", b'{"b":1}', 415, b'{"a":1}'),
    ],
)  # fmt: skip
def test_a_patch_changes_a_document_or_nothing(
    content_type: str, patch: bytes, status: int, after: bytes
) -> None:
    container = server_container()
    peer = Peer(container)
    peer.ask("PUT", "/v1/keys/k?ttl=60", b'{"a":1}', **JSON)
    assert peer.ask("PATCH", "/v1/keys/k", patch, content_type=content_type).status == status
    found = Peer(container).ask("GET", "/v1/keys/k")
    assert found.body == after
    assert "x-kv-ttl" in found.headers


@pytest.mark.parametrize(
    ("method", "body", "headers", "status", "code"),
    [
        ("GET", b"", {}, 404, "NOT_FOUND"),
        ("PUT", b"1", {**JSON, "if_match": "*"}, 412, "CONDITION_FAILED"),
        ("PATCH", b'[{"op":"test","path":"","value":1}]',
         {"content_type": "application/json-patch+json"}, 404, "NOT_FOUND"),
        ("PATCH", b'[{"op":"test","path":"","value":1}]',
         {"content_type": "application/json-patch+json", "there": True}, 409, "PATCH_CONFLICT"),
        ("PUT", b"{", JSON, 400, "BAD_JSON"),
    ],
)  # fmt: skip
def test_a_refusal_has_a_code_to_act_on(
    peer: Peer, method: str, body: bytes, headers: Dict[str, Any], status: int, code: str
) -> None:
    if headers.pop("there", False):
        peer.ask("PUT", "/v1/keys/k", b"2", **JSON)
    refused = peer.ask(method, "/v1/keys/k", body, **headers)
    assert (refused.status, refused.json["code"]) == (status, code)


class Strange(KvError):
    """An error of the server's that HTTP knows nothing of."""


class Mistaken(KvError):
    """The same of a client's."""

    blame = Blame.CLIENT


@pytest.mark.parametrize(
    "kind", sorted({*BY_CODE.values(), Strange, Mistaken} - {TimedOut}, key=str)
)
def test_a_status_tells_who_is_to_blame(kind: Type[KvError]) -> None:
    is_the_clients = kind.blame is Blame.CLIENT
    assert refusal(kind("what was wrong")).status // 100 == (4 if is_the_clients else 5)


@pytest.mark.parametrize(
    ("header", "status"),
    [({"content_encoding": "gzip"}, 415), ({"content_range": "bytes 0-0/9"}, 400)],
)
@pytest.mark.parametrize(
    ("method", "target", "media_type"),
    [
        ("PUT", "/v1/keys/k", "text/plain"),
        ("PATCH", "/v1/keys/k", "application/merge-patch+json"),
        ("POST", "/v1/commands", "application/json"),
        ("POST", "/", "application/json"),
    ],
)
def test_a_body_that_stands_for_other_bytes_is_refused_and_changes_nothing(
    method: str, target: str, media_type: str, header: Dict[str, str], status: int
) -> None:
    container = server_container()
    Peer(container).ask("PUT", "/v1/keys/k", b"1", **JSON)
    refused = Peer(container).ask(method, target, b"x", content_type=media_type, **header)
    assert refused.status == status
    assert refused.headers.get("accept-encoding") == ("identity" if status == 415 else None)
    assert Peer(container).ask("GET", "/v1/keys/k").body == b"1"


def test_a_body_may_say_that_it_has_no_coding(peer: Peer) -> None:
    sent = peer.ask("PUT", "/v1/keys/k", b"1", **JSON, content_encoding="identity")
    assert sent.status == 201


def test_keys_are_listed_page_by_page(peer: Peer) -> None:
    for number in range(25):
        peer.ask("PUT", f"/v1/keys/k{number}", b"1", **JSON)
    seen: List[str] = []
    cursor = ""
    while cursor is not None:
        query = f"?prefix=k&limit=10{cursor and '&cursor=' + cursor}"
        page = peer.ask("GET", f"/v1/keys{query}").json
        seen += page["keys"]
        cursor = page["cursor"]
    assert sorted(seen) == sorted(f"k{number}" for number in range(25))


def test_json_lines_are_answered_line_by_line(peer: Peer) -> None:
    lines = b"\n".join(
        [
            b'{"type":"SET","key":"k","value":1,"id":7}\n',
            b'{"type":"GET","key":"k"}',
            b"no",
            b'{"type":"MGET","keys":["k"]}',
        ]
    )
    found = peer.ask("POST", "/v1/commands", lines, content_type="application/x-ndjson")
    assert (found.status, found.headers["content-type"]) == (200, "application/x-ndjson")
    told = [json.loads(line) for line in found.body.splitlines()]
    assert told[0] == {"ok": True, "id": 7, "result": True}
    assert told[1] == {"ok": True, "result": 1}
    assert told[2]["error"]["code"] == "BAD_JSON"
    assert told[3] == {"ok": True, "result": {"k": 1}}
    assert peer.is_open
    assert peer.ask("POST", "/v1/commands", b"", **JSON).body == b""


def test_a_body_that_breaks_off_is_told_in_the_answer_that_is_begun(peer: Peer) -> None:
    first = b'{"type":"PING"}\n'
    told = peer.send(CHUNKED % b"POST /v1/commands" + b"10\r\n%b\r\n" % first)
    told += peer.send(b"nonsense\r\n")
    (found,) = replies_in(told, ["POST"])
    pong, error = (json.loads(line) for line in found.body.splitlines())
    assert pong["result"] == "PONG"
    assert error["error"]["code"] == "BAD_REQUEST"
    assert not peer.is_open


@pytest.mark.parametrize("size", [1000, 100_000])
def test_blank_lines_in_a_body_are_nothing(peer: Peer, size: int) -> None:
    lines = b"\n" * 20_000 + b'{"type":"PING"}\n' + b"\n" * 20_000
    sent = request("POST", "/v1/commands", lines, **JSON)
    told = b"".join(peer.send(sent[at : at + size]) for at in range(0, len(sent), size))
    (found,) = replies_in(told, ["POST"])
    assert found.body == b'{"ok":true,"result":"PONG"}\n'


def test_a_body_that_is_no_json_lines_is_a_bad_request(peer: Peer) -> None:
    found = peer.ask("POST", "/v1/commands", b"nonsense", **JSON)
    assert (found.status, found.json["code"]) == (400, "BAD_JSON")
    assert not peer.is_open


def test_a_long_reply_comes_in_pieces(peer: Peer) -> None:
    value = json.dumps("x" * 1000).encode()
    items = b",".join(b'"k%d":%b' % (number, value) for number in range(1000))
    keys = json.dumps([f"k{number}" for number in range(1000)]).encode()
    lines = b'{"type":"MSET","items":{%b}}\n{"type":"MGET","keys":%b}\n' % (items, keys)
    found = peer.ask("POST", "/v1/commands", lines, **JSON)
    first, second = (json.loads(line) for line in found.body.splitlines())
    assert first["result"] is True
    assert len(second["result"]) == 1000
    assert peer.ask("GET", "/healthz").status == 200


REST: List[Tuple[str, Any, int, Any]] = [
    ("/", ["SET", "k", "v", "EX", 10], 200, {"result": "OK"}),
    ("/", ["GET", "none"], 200, {"result": None}),
    ("/", ["INCR", "n"], 200, {"result": 1}),
    ("/", ["NOPE"], 400, {"error": "ERR unknown command 'NOPE', with args beginning with: "}),
    ("/pipeline", [["SET", "k", {"a": 1}], ["GET", "k"], ["MGET", "k", "x"], ["INCR", "k"]], 200,
     [{"result": "OK"}, {"result": '{"a":1}'}, {"result": ['{"a":1}', None]},
      {"error": "ERR value is not an integer or out of range"}]),
    ("/multi-exec", [["SET", "k", 1], ["INCR", "k"]], 200, [{"result": "OK"}, {"result": 2}]),
    ("/multi-exec", [["NOPE"]], 400,
     {"error": "EXECABORT Transaction discarded because of previous errors."}),
    ("/pipeline", [], 200, []),
    ("/pipeline", [["HELLO", 3], ["GET", "none"], ["CLIENT", "ID"], ["SUBSCRIBE", "c"], ["PING"]],
     200, None),
    ("/pipeline", [["client", "Reply", "OFF"], ["GET", "none"]], 200,
     [{"error": "ERR 'client Reply' is not possible over HTTP, where requests share no connection; "
       "send it to the same port as a client of Redis does"},
      {"result": None}]),
    ("/multi-exec", [["SET", "k", 1], ["EXEC"], ["INCR", "k"]], 400,
     {"error": "EXECABORT Transaction discarded because of previous errors."}),
    ("/multi-exec", [["SET", "k", 1], ["AUTH", "x"], ["INCR", "k"]], 400,
     {"error": "EXECABORT Transaction discarded because of previous errors."}),
    ("/", ["INFO"], 200, None),
    ("/", ["COMMAND"], 200, None),
]  # fmt: skip


@pytest.mark.parametrize(("target", "body", "status", "expected"), REST)
def test_redis_commands_are_told_as_json(
    peer: Peer, target: str, body: Any, status: int, expected: Any
) -> None:
    sent = json.dumps(body, separators=(",", ":")).encode()
    found = peer.ask("POST", target, sent, **JSON)
    assert found.status == status
    assert expected is None or found.json == expected
    assert not peer.is_open or peer.ask("GET", "/readyz").status == 200


@pytest.mark.parametrize(
    "command",
    [
        *("SUBSCRIBE c", "UNSUBSCRIBE", "PSUBSCRIBE c", "PUNSUBSCRIBE"),
        *("MULTI", "EXEC", "DISCARD", "WATCH k", "UNWATCH"),
        *("HELLO 3", "SELECT 1", "RESET", "CLIENT REPLY ON", "CLIENT SETNAME x", "QUIT"),
    ],
)
def test_a_redis_command_on_the_state_of_a_connection_is_refused(peer: Peer, command: str) -> None:
    words = command.split()
    name = " ".join(words[: 2 if words[0] == "CLIENT" else 1])
    told = "ERR '{}' is not possible over HTTP"
    found = peer.ask("POST", "/", json.dumps(words).encode(), **JSON)
    assert found.status == 400
    assert found.json["error"].startswith(told.format(name))
    bearer: Any = {"authorization": "Bearer x"}
    in_path = peer.ask("GET", "/" + "/".join(words).lower(), **bearer)
    assert in_path.json["error"].startswith(told.format(name.lower()))


def test_redis_replies_come_in_base64_when_asked(peer: Peer) -> None:
    peer.ask("PUT", "/v1/keys/k", b"\xff\0", content_type="x/y")
    body = json.dumps([["GET", "k"], ["PING"], ["SET", "k", "v"]]).encode()
    found = peer.ask("POST", "/pipeline", body, **JSON, upstash_encoding="base64")
    told = [each["result"] for each in found.json]
    assert told == [base64.b64encode(b"\xff\0").decode(), base64.b64encode(b"PONG").decode(), "OK"]


def test_a_command_in_the_path_needs_a_token(peer: Peer) -> None:
    bearer: Any = {"authorization": "Bearer x"}
    assert peer.ask("GET", "/set/k/a%20b?EX=60", **bearer).json == {"result": "OK"}
    assert peer.ask("POST", "/set/k/", b"", **bearer).status == 200
    assert peer.ask("POST", "/set/k", b"whole body", **bearer).json == {"result": "OK"}
    assert peer.ask("GET", "/get/k", **bearer).json == {"result": "whole body"}
    assert Peer(server_container()).ask("GET", "/set/k/v").status == 404


def test_figures_are_written_for_prometheus(peer: Peer) -> None:
    peer.ask("PUT", "/v1/keys/k", b"1", **JSON)
    found = peer.ask("GET", "/metrics")
    assert b"kvjson_keys 1.0\n" in found.body
    assert b'kvjson_commands_total{command="SET",protocol="http"} 1.0\n' in found.body
    as_open = peer.ask("GET", "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert as_open.body.endswith(b"# EOF\n")
    assert "openmetrics" in as_open.headers["content-type"]


def test_the_description_is_legal_openapi(peer: Peer) -> None:
    document = peer.ask("GET", "/openapi.json").json
    if sys.version_info >= (3, 9):
        from openapi_spec_validator import validate

        validate(document)
    assert "patch" in document["paths"]["/v1/keys/{key}"]


def test_a_server_that_loads_its_keys_is_alive_and_not_ready(tmp_path: Path) -> None:
    container = server_container(data_dir=str(tmp_path))
    assert Peer(container).ask("GET", "/healthz").status == 200
    assert Peer(container).ask("GET", "/metrics").status == 200
    found = Peer(container).ask("GET", "/readyz")
    assert (found.status, found.json["code"]) == (503, "UNAVAILABLE")


def test_a_long_body_is_stored_in_steps_and_a_long_key_is_refused(peer: Peer) -> None:
    value = json.dumps([{"n": number} for number in range(100_000)], separators=(",", ":")).encode()
    assert peer.ask("PUT", "/v1/keys/long", value, **JSON).status == 201
    assert peer.ask("GET", "/v1/keys/long").body == value
    refused = peer.ask("PUT", "/v1/keys/" + "k" * 65537, value, **JSON)
    assert (refused.status, refused.json["detail"]) == (
        400,
        "a key is over 65536 bytes (max_key_bytes)",
    )
    assert peer.ask("GET", "/v1/keys/long", accept="application/octet-stream").body == value


def test_head_has_the_headers_of_get_and_no_body(peer: Peer) -> None:
    peer.ask("PUT", "/v1/keys/k", b"12345", **JSON)
    got, head = peer.ask("GET", "/v1/keys/k"), peer.ask("HEAD", "/v1/keys/k")
    assert head.headers == got.headers
    assert (head.body, head.headers["content-length"]) == (b"", "5")
    assert peer.ask("HEAD", "/v1/keys/none").status == 404


@pytest.mark.parametrize("password", ["", "secret"])
@pytest.mark.parametrize("target", ["/v1/keys?no=1", "/v1/keys/%ff", "/nothing", "/v1/commands"])
def test_head_that_is_refused_has_no_body_either(target: str, password: str) -> None:
    found = Peer(server_container(password=password)).ask("HEAD", target)
    assert 400 <= found.status < 500
    assert found.body == b""


def test_what_is_no_request_after_head_is_told_so(peer: Peer) -> None:
    sent = peer.send(request("HEAD", "/v1/keys/k") + b"5\r\n12345\r\n0\r\n\r\n")
    missing, bad = replies_in(sent, ["HEAD", "GET"])
    assert (missing.status, missing.body, bad.status) == (404, b"", 400)
    assert "no legal HTTP" in bad.json["detail"]
    assert "bytearray" not in bad.json["detail"]


@pytest.mark.parametrize(
    ("path", "commands", "bound"),
    [
        ("/pipeline", [["PING"]] * 5001, "max_batch_cost"),
        ("/multi-exec", [["PING"]] * 5001, "max_batch_cost"),
        ("/pipeline", [["MGET", *["k"] * 20_001]] * 2, "max_keys_per_request"),
        ("/", ["MGET", *["k"] * 40_001], "max_keys_per_request"),
    ],
)
def test_a_body_of_too_many_commands_is_refused_before_they_are_made(
    peer: Peer, path: str, commands: Any, bound: str
) -> None:
    found = peer.ask("POST", path, json.dumps(commands).encode(), **JSON)
    assert found.status == 413
    assert f"({bound})" in found.json["detail"]
    assert peer.ask("POST", "/", b'["PING"]', **JSON).status == 200


def test_a_long_reply_of_redis_is_sent_as_json_or_refused(peer: Peer) -> None:
    text = "x" * (1024 * 1024)
    for key in "abcd":
        assert peer.ask("PUT", f"/v1/keys/{key}", text.encode(), content_type="x/y").status == 201
    found = peer.ask("POST", "/", b'["MGET","a","none","b","c"]', **JSON)
    assert found.json == {"result": [text, None, text, text]}
    refused = peer.ask("POST", "/", b'["MGET","a","b","c","d","a"]', **JSON)
    assert refused.status == 413
    assert "(max_request_bytes)" in refused.json["detail"]
    longest = "y" * (4 * 1024 * 1024)
    peer.ask("PUT", "/v1/keys/a", longest.encode(), content_type="x/y")
    assert peer.ask("GET", "/get/a", authorization="Bearer x").json == {"result": longest}


@pytest.mark.parametrize("size", [1, 1000])
def test_a_head_of_many_fields_is_refused(size: int) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"a:\r\n" * 300 + b"\r\n"
    peer = Peer(server_container())
    told = b"".join(
        peer.send(head[at : at + size]) for at in range(0, len(head), size) if peer.is_open
    )
    assert told.startswith(b"HTTP/1.1 431 ")
    assert b"at most 256 header fields" in told


@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_long_head_is_refused_however_it_arrives(size: int) -> None:
    peer = Peer(server_container(max_key_bytes=1000))
    head = b"GET /v1/keys HTTP/1.1\r\nHost: localhost\r\na: " + b"x" * 19_384 + b"\r\n\r\n"
    told = b"".join(
        peer.send(head[at : at + size]) for at in range(0, len(head), size) if peer.is_open
    )
    assert told.startswith(b"HTTP/1.1 431 ")


def test_line_feeds_of_a_body_are_no_header_fields(peer: Peer) -> None:
    body = b"[%b]" % (b"\n" * 1000)
    head = b"PUT /v1/keys/k HTTP/1.1\nHost: localhost\nContent-Length: %d\n" % len(body)
    told = peer.send(head + b"Content-Type: application/json\n\n" + body)
    assert told.startswith(b"HTTP/1.1 201 ")


def test_pipelined_requests_are_answered_in_order() -> None:
    asked: List[Tuple[str, str, bytes]] = [
        ("PUT", "/v1/keys/k", b"1"),
        ("GET", "/v1/keys/k", b""),
        ("POST", "/v1/commands", b'{"type":"GET","key":"k"}\n' * 3),
        ("DELETE", "/v1/keys/k", b""),
        ("HEAD", "/v1/keys/k", b""),
        ("POST", "/", b'["PING"]'),
    ]
    sent = b"".join(request(*each, **JSON) for each in asked)
    methods = [method for method, _, _ in asked]
    for size in (len(sent), 1, 7, 100):
        peer = Peer(server_container())
        told = b"".join(peer.send(sent[at : at + size]) for at in range(0, len(sent), size))
        found = replies_in(told, methods)
        assert [each.status for each in found] == [201, 200, 200, 204, 404, 200], size
        assert found[-1].json == {"result": "PONG"}


def chunked(*chunks: bytes) -> bytes:
    parts = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return b"".join(parts) + b"0\r\n\r\n"


CHUNKED = (
    b"%b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: application/json\r\n\r\n"
)


def test_a_chunked_body_is_read_as_one(peer: Peer) -> None:
    sent = CHUNKED % b"PUT /v1/keys/k" + chunked(b"[1,", b"2]")
    told = peer.send(sent) + peer.send(request("GET", "/v1/keys/k"))
    assert [each.body for each in replies_in(told, ["PUT", "GET"])] == [b"", b"[1,2]"]


def test_tiny_chunks_take_bounded_turns() -> None:
    peer = Peer(server_container())
    sent = CHUNKED % b"PUT /v1/keys/k" + chunked(b'"', *[b"x"] * 5000, b'"')
    told = peer.send(sent)
    assert replies_in(told, ["PUT"])[0].status == 201


def test_a_client_that_expects_100_continue_is_told_to(peer: Peer) -> None:
    sent = request("PUT", "/v1/keys/k", b"1", expect="100-continue", **JSON)
    assert peer.send(sent[:-1]) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert replies_in(peer.send(sent[-1:]), ["PUT"])[0].status == 201


BAD = [
    b"GET /v1/keys/k HTTP/1.1\r\n\r\n",
    b"GET /v1/keys/k HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /v1/keys/k HTTP/2.0\r\nHost: localhost\r\n\r\n",
    b"GET /v1/keys/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/keys/%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/keys/k?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/keys?limit=x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/keys?limit=0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/keys?prefix=%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/keys?cursor=nonsense HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PUT /v1/keys/k?ttl=1e17 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1",
    b"PUT /v1/keys/k?ttl=1_0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1",
    b"PUT /v1/keys/k?ttl=nan HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1",
    b"PUT /v1/keys/k?ttl=1&ttl=2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1",
    b"PUT /v1/keys/k?ttl=1&keep_ttl=true HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1",
    b"PUT /v1/keys/k?keep_ttl=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1",
    b"PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n1",
    b"PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1, 2\r\n\r\n1",
    b"PUT /v1/keys/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n1",
    CHUNKED % b"PUT /v1/keys/k" + b"x\r\n",
    CHUNKED % b"PUT /v1/keys/k" + b"-1\r\n",
    CHUNKED % b"PUT /v1/keys/k" + b"1\r\n123\r\n",
    request("PUT", "/v1/keys/k", b"{", **JSON),
    request("PUT", "/v1/keys/k", b"", **JSON),
    request("PUT", "/v1/keys/k", b"1 2", **JSON),
    request("PUT", "/v1/keys/k", b'"\xff"', **JSON),
    request("PUT", "/v1/keys/k", b"[" * 100_000, **JSON),
    request("PUT", "/v1/keys/k", b"1e999", **JSON),
    request("POST", "/", b"{}", **JSON),
    request("POST", "/", b"[]", **JSON),
    request("POST", "/pipeline", b"[1]", **JSON),
]


@pytest.mark.parametrize("sent", BAD)
def test_a_bad_request_is_told_as_a_problem(sent: bytes) -> None:
    method = sent.partition(b" ")[0].decode()
    for size in (len(sent), 1):
        container = server_container()
        peer = Peer(container)
        if size == 1 and len(sent) > 2000:
            break
        told = b"".join(peer.send(sent[at : at + size]) for at in range(0, len(sent), size))
        (found,) = replies_in(told, [method])
        assert 400 <= found.status < 500, found
        assert found.headers["content-type"] == "application/problem+json"
        assert found.json["status"] == found.status
        assert found.json["code"]
        assert container.store().count() == 0


def test_a_request_with_two_lengths_is_refused_and_nothing_behind_it_is_read() -> None:
    sent = (
        b"POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nDELETE /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    peer = Peer(server_container())
    peer.ask("PUT", "/v1/keys/k", b"1", **JSON)
    told = peer.send(sent)
    (found,) = replies_in(told, ["POST"])
    assert (found.status, peer.is_open) == (400, False)


STATUSES = [
    (request("GET", "/nothing"), 404),
    (request("GET", "/v1/watch"), 404),
    (request("POST", "/v1/keys/k"), 405),
    (request("TRACE", "/v1/keys/k"), 405),
    (request("FOO", "/v1/keys/k"), 501),
    (request("get", "/nothing"), 501),
    (request("COPY", "/v1/keys/k"), 501),
    (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
    (request("POST", "/v1/commands", b"{}", content_type="text/plain"), 415),
    (request("POST", "/", b"[]"), 415),
    (request("GET", "/v1/keys/" + "k" * 65537), 400),
    (b"GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 250_000, 431),
    (request("PUT", "/v1/keys/k", b"x" * 1000), 413),
    (CHUNKED % b"PUT /v1/keys/k" + chunked(*[b"x" * 60] * 10), 413),
]


@pytest.mark.parametrize(("sent", "status"), STATUSES)
def test_what_cannot_be_answered_has_its_status(sent: bytes, status: int) -> None:
    small = {"max_request_bytes": 500, "max_input_bytes": 10_000_000} if status == 413 else {}
    peer = Peer(server_container(**small))
    told = peer.send(sent)
    (found,) = replies_in(told, [sent.partition(b" ")[0].decode()])
    assert found.status == status
    assert ("allow" in found.headers) == (status in (405, 501))


def test_a_connection_ends_when_the_client_says_so() -> None:
    for sent in (
        request("GET", "/v1/keys", connection="close"),
        b"GET /v1/keys HTTP/1.0\r\n\r\n",
        request("GET", "/healthz"),
    ):
        peer = Peer(server_container())
        told = peer.send(sent + request("GET", "/v1/keys"))
        assert replies_in(told, ["GET"])[0].headers["connection"] == "close"
        assert not peer.is_open


# The password.


@pytest.fixture
def guarded() -> ServerContainer:
    return server_container(password="secret")


@pytest.mark.parametrize("authorization", ["Bearer secret", BASIC.decode(), "bearer   secret"])
def test_the_right_password_opens(guarded: ServerContainer, authorization: str) -> None:
    peer = Peer(guarded)
    for _ in range(2):
        found = peer.ask(
            "PUT", "/v1/keys/k", b'"%b"' % (b"x" * 20_000), authorization=authorization, **JSON
        )
        assert found.status in (201, 204)
    assert peer.is_open


@pytest.mark.parametrize(
    "authorization", ["Bearer wrong", "Basic c2VjcmV0", "Basic !", "Digest secret", "Bearer", ""]
)
def test_a_wrong_password_is_told_and_the_end(guarded: ServerContainer, authorization: str) -> None:
    peer = Peer(guarded)
    found = peer.ask("PUT", "/v1/keys/k", b"1", authorization=authorization, **JSON)
    assert (found.status, found.json["code"]) == (401, "UNAUTHENTICATED")
    assert "Bearer" in found.headers["www-authenticate"]
    assert not peer.is_open
    assert guarded.store().count() == 0


def test_each_request_needs_the_password_by_itself(guarded: ServerContainer) -> None:
    right: Any = {"authorization": "Bearer secret"}
    peer = Peer(guarded)
    assert peer.ask("GET", "/v1/keys", **right).status == 200
    assert peer.ask("GET", "/v1/keys").status == 401
    peer = Peer(guarded)
    assert peer.ask("GET", "/v1/keys", **right).status == 200
    assert peer.ask("GET", "/v1/keys", authorization="Bearer wrong").status == 401
    assert not peer.is_open


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/commands", b'{"type":"FLUSH"}'),
        ("/v1/commands", b'{"type":"AUTH","password":"x"}'),
        ("/", b'["FLUSHALL"]'),
        ("/pipeline", b'[["AUTH","x"]]'),
    ],
)
def test_no_command_is_executed_without_the_password(
    guarded: ServerContainer, target: str, body: bytes
) -> None:
    assert Peer(guarded).ask("POST", target, body, **JSON).status == 401


def test_a_request_without_a_password_is_told_where_it_goes(guarded: ServerContainer) -> None:
    right: Any = {"authorization": "Bearer secret"}
    peer = Peer(guarded)
    assert peer.ask("GET", "/v1/keys", **right).status == 200
    for found in (
        peer.ask("GET", "/v1/keys"),
        Peer(guarded).ask("POST", "/", b'["GET","k"]', **JSON),
    ):
        assert found.status == 401
        assert "Authorization: Bearer" in found.json["detail"]
        assert "AUTH with" not in found.json["detail"]


@pytest.mark.parametrize(
    ("method", "target", "body", "headers"),
    [
        ("POST", "/", b'["NOSUCH"]', JSON),
        ("POST", "/", b"no JSON", JSON),
        ("POST", "/pipeline", b'[["NOSUCH"]]', JSON),
        ("POST", "/v1/commands", b"no JSON\n", JSON),
        ("PUT", "/v1/keys/k", b"no JSON", JSON),
        ("GET", "/v1/keys?no=1", b"", {}),
        ("GET", "/v1/keys/%ff", b"", {}),
        ("GET", "/nothing", b"", {}),
        ("PUT", "/healthz", b"", {}),
        ("POST", "/", b"[]", {}),
    ],
)
def test_nothing_of_a_request_is_judged_before_its_password(
    guarded: ServerContainer, method: str, target: str, body: bytes, headers: Any
) -> None:
    peer = Peer(guarded)
    found = peer.ask(method, target, body, **headers)
    assert (found.status, found.json["code"]) == (401, "UNAUTHENTICATED")
    assert not peer.is_open
    assert guarded.stats().errors == {"UNAUTHENTICATED": 1}


def test_a_body_that_is_too_long_needs_the_password_first(guarded: ServerContainer) -> None:
    sent = b"PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
    (reply,) = replies_in(Peer(guarded).send(sent), ["PUT"])
    assert reply.status == 401


def test_health_alone_is_open(guarded: ServerContainer) -> None:
    assert Peer(guarded).ask("GET", "/healthz").body == b"ok\n"
    for target in ("/metrics", "/readyz", "/v1/keys"):
        assert Peer(guarded).ask("GET", target).status == 401


def test_a_body_is_not_asked_for_before_the_password(guarded: ServerContainer) -> None:
    peer = Peer(guarded)
    sent = request(
        "PUT", "/v1/keys/k", b"1", authorization="Bearer wrong", expect="100-continue", **JSON
    )
    assert peer.send(sent[:-1]).startswith(b"HTTP/1.1 401 ")


# Pages of others.

ELSEWHERE = "https://evil.example"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7379", "localhost.evil.example",
                                  "127.0.0.1.evil.example", "[::1", "localhost:x"])  # fmt: skip
def test_a_foreign_name_that_leads_here_leads_to_nothing(peer: Peer, host: str) -> None:
    assert peer.ask("GET", "/v1/keys", host=host).status == 421


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:7379", "127.0.0.1:7379", "[::1]:7379", "10.1.2.3", "kv.example"],
)
def test_an_address_and_a_known_name_lead_here(host: str) -> None:
    peer = Peer(server_container(http_hosts=["kv.example"]))
    assert peer.ask("GET", "/v1/keys", host=host).status == 200
    absolute = request("GET", "http://evil.example/v1/keys", host=host)
    assert b" 421 " in Peer(server_container(http_hosts=["kv.example"])).send(absolute)[:20]


PAGES: List[Tuple[str, bytes]] = [
    # A simple form post.
    ("form", request("POST", "/v1/commands", b'{"type":"FLUSH","id":"="}', origin=ELSEWHERE,
                     content_type="text/plain", sec_fetch_site="cross-site")),
    # fetch() with `no-cors`, in a browser that sends an origin, or none.
    ("fetch", request("POST", "/v1/commands", b'{"type":"FLUSH"}', origin=ELSEWHERE,
                      content_type="text/plain")),
    ("fetch", request("POST", "/", b'["FLUSHALL"]', origin="null", content_type="text/plain")),
    ("old form", request("POST", "/v1/commands", b'{"type":"FLUSH"}',
                         content_type="application/x-www-form-urlencoded")),
    # An image or a script.
    ("image", request("GET", "/flushall", sec_fetch_site="cross-site", sec_fetch_dest="image")),
    ("old image", request("GET", "/flushall")),
    ("script", request("GET", "/v1/keys/k", sec_fetch_site="cross-site", sec_fetch_mode="no-cors",
                       sec_fetch_dest="script")),
    ("frame", request("GET", "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate",
                      sec_fetch_dest="iframe")),
    # A WebSocket.
    ("socket", request("GET", "/v1/keys/k", origin=ELSEWHERE, upgrade="websocket",
                       connection="Upgrade", sec_websocket_key="x", sec_websocket_version="13")),
    ("put", request("PUT", "/v1/keys/k", b"2", origin=ELSEWHERE)),
    ("other port", request("DELETE", "/v1/keys/k", host="localhost:7379",
                           origin="http://localhost:8000")),
]  # fmt: skip


@pytest.mark.parametrize("sent", [sent for _, sent in PAGES], ids=[name for name, _ in PAGES])
def test_no_page_of_another_site_gets_in(sent: bytes) -> None:
    container = server_container()
    Peer(container).ask("PUT", "/v1/keys/k", b'"mine"', **JSON)
    peer = Peer(container)
    told = peer.send(sent)
    assert told[9:12] in (b"403", b"404", b"415")
    assert b"mine" not in told
    assert b"Access-Control-Allow" not in told
    assert not peer.is_open
    assert container.store().get("k") == b'"mine"'


def test_a_websocket_without_an_origin_is_answered_as_a_plain_request(peer: Peer) -> None:
    found = peer.ask("GET", "/v1/keys", upgrade="websocket", connection="Upgrade")
    assert found.status == 200


def test_a_preflight_allows_nothing_to_others(peer: Peer) -> None:
    sent = request("OPTIONS", "/v1/keys/k", origin=ELSEWHERE, access_control_request_method="PUT")
    assert b"access-control" not in peer.send(sent).lower()


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/keys", {"GET", "HEAD", "OPTIONS"}),
        ("/v1/keys/k", {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}),
        ("/", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("/console/console.css", {"GET", "HEAD", "OPTIONS"}),
        ("/get/k", {"GET", "HEAD", "PUT", "PATCH", "DELETE", "POST", "OPTIONS"}),
    ],
)
def test_what_has_a_method_allows_it(peer: Peer, path: str, methods: Set[str]) -> None:
    allowed = peer.ask("OPTIONS", path)
    assert allowed.status == 204
    assert set(allowed.headers["allow"].split(", ")) == methods


def test_an_origin_that_is_allowed_may_ask() -> None:
    container = server_container(http_allow_origin=["https://app.example"], password="secret")
    asked: Any = {"origin": "https://app.example", "sec_fetch_site": "cross-site"}
    allowed = Peer(container).ask("OPTIONS", "/v1/keys/k", **asked)
    assert allowed.status == 204
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert "If-Match" in allowed.headers["access-control-allow-headers"]
    found = Peer(container).ask("GET", "/v1/keys", authorization="Bearer secret", **asked)
    assert found.headers["access-control-allow-origin"] == "https://app.example"
    assert "ETag" in found.headers["access-control-expose-headers"]
    assert Peer(container).ask("GET", "/v1/keys", origin=ELSEWHERE).status == 403


def test_a_page_of_this_server_may_ask(peer: Peer) -> None:
    found = peer.ask(
        "GET", "/v1/keys", host="localhost:7379", origin="http://localhost:7379",
        sec_fetch_site="same-origin",
    )  # fmt: skip
    assert found.status == 200


# Which protocols are served.


@pytest.mark.parametrize(
    ("sent", "status_line"),
    [
        (b"GET /v1/keys HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 503 "),
        (b"HEAD / HTTP/1.1\r\n", b"HTTP/1.1 503 "),
        (b"*1\r\n$4\r\nPING\r\n", b"-ERR max number of clients reached (1, max_clients)\r\n"),
        (b"GET k\r\n", b"-ERR max number of clients reached (1, max_clients)\r\n"),
        (b'{"type":"PING"}\n', b'{"ok":false,"error":{"code":"TOO_MANY_CLIENTS",'),
    ],
)
@pytest.mark.parametrize("password", ["", "secret"])
def test_a_client_over_the_maximum_is_refused_in_its_own_protocol(
    sent: bytes, status_line: bytes, password: str
) -> None:
    container = server_container(max_clients=1, password=password)
    Peer(container)
    for pieces in ([sent], [sent[at : at + 1] for at in range(len(sent))]):
        talk: Conversation = container.plain_conversation(LoopbackLink())
        said = answer(talk, pieces)
        assert said.startswith(status_line)
        assert talk.wants is Wants.END
        if b"503" in status_line:
            assert b"\r\nretry-after: 1\r\n" in said.lower()
            assert b"\r\nconnection: close\r\n" in said.lower()


def test_the_first_bytes_that_leave_the_protocol_open_are_few() -> None:
    talk: Conversation = server_container().plain_conversation(LoopbackLink())
    assert answer(talk, [b"SET /" + b"x" * (MAX_FIRST_BYTES - 5)]) == b""
    assert talk.codec is None
    assert answer(talk, [b"x"]) == b""
    assert talk.codec
    assert talk.codec.protocol == "resp"


def test_a_protocol_that_is_not_served_is_none() -> None:
    sent = {
        "json": b'{"type":"PING"}\n',
        "resp": b"*1\r\n$4\r\nPING\r\n",
        "http": request("GET", "/healthz"),
    }
    for served in sent:
        for name, data in sent.items():
            told = Peer(server_container(protocols=[served])).send(data)
            assert (b"BAD_JSON" in told) == (name != served)
            assert (f"does not speak {name}".encode() in told) == (name != served)


# Whatever arrives.


def test_the_first_bytes_of_http_are_a_method_and_a_target() -> None:
    for first in (b"GET /", b"POST /x", b"OPTIONS *", b"HEAD HTTP://h/", b"f-o /x HTTP/1",
                  b"CONNECT h:80 HTTP/1"):  # fmt: skip
        assert begins_http(first)
        assert [begins_http(first[:size]) for size in range(1, len(first))].count(False) == 0
    maybe = b"POST x ", b"X / ", b"FOO /" + b"x" * 195
    for first in (*maybe, b"GET key\r", b"get /\n", b"SET k v", b"{", b"\x16\x03", b"X" * 33,
                  b"FOO " + b"x" * 196):  # fmt: skip
        expected = None if first in maybe else False
        assert begins_http(first) is expected


@pytest.mark.parametrize(
    ("sent", "begins"),
    [
        (b"FOO /v1/keys/a HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 501 "),
        (b"PROPFIND * HTTP/1.0\r\n\r\n", b"HTTP/1.1 501 "),
        (b"UNLINK /v1/keys/a HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 501 "),
        (b"LINK /" + b"x" * 1000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 501 "),
        (b"PUT x HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 404 "),
        (b"GET *\r\n", b"$-1"),
        (b"SET /a /b\r\n", b"+OK"),
        (b"SET /a HTTP\r\n", b"+OK"),
        (b"SET a HTTP/1.1\r\n", b"+OK"),
        (b"SET /" + b"x" * 1000 + b" HTTP/1.1\r\n", b"+OK"),
        (b"SET /a " + b"x" * 1000 + b"\r\n", b"+OK"),
        (b"EHLO me\r\n", b'{"ok":false'),
        (b"nope world HTTP\r\n", b'{"ok":false'),
        (b'"FOO / HTTP/1.1"\n', b'{"ok":false'),
        (b'{"type":"SET","key":"k","value":"FOO / HTTP/1.1"}\n', b'{"ok":true'),
    ],
)
def test_a_line_is_of_the_same_protocol_however_it_is_cut(sent: bytes, begins: bytes) -> None:
    for size in (len(sent), 1, 7):
        peer = Peer(server_container())
        cuts = range(0, len(sent), size)
        told = b"".join(peer.send(sent[at : at + size]) for at in cuts if peer.is_open)
        assert told.startswith(begins)


lines = st.sampled_from(
    [b"Host: localhost", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: close",
     b"Authorization: Bearer x", b"Expect: 100-continue", b"Content-Type: application/json",
     b"Upgrade: websocket", b"If-Match: *", b"Origin: http://localhost", b"Host: x"]
)  # fmt: skip
targets = st.sampled_from(
    [b"/v1/keys/k", b"/v1/keys", b"/v1/commands", b"/", b"/pipeline", b"/metrics", b"/get/k", b"*"]
)
bodies = st.sampled_from(
    [b"", b"12345", b"5\r\n12345\r\n0\r\n\r\n", b'{"type":"PING"}\n', b'["GET","k"]', b"\r\n", b"0"]
)
methods_ = st.sampled_from([b"GET", b"PUT", b"POST", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS"])


@st.composite
def requests(draw: Any) -> bytes:
    head = [draw(methods_) + b" " + draw(targets) + b" HTTP/1.1", b"Host: localhost"]
    head += draw(st.lists(lines, max_size=4))
    return b"\r\n".join([*head, b"", draw(bodies) + draw(st.binary(max_size=4))])


@settings(max_examples=60, deadline=None)
@given(sent=st.lists(requests(), min_size=1, max_size=4), size=st.integers(1, 60))
def test_whatever_arrives_no_bug_is_told_and_the_cuts_do_not_matter(
    sent: List[bytes], size: int
) -> None:
    data = b"".join(sent)
    whole = told_of(data, len(data))
    assert b"INTERNAL" not in whole
    assert told_of(data, size) == whole


def told_of(data: bytes, size: int) -> bytes:
    """What a server sends, without what depends on the time, or on how much h11 has seen."""
    peer = Peer(server_container())
    cuts = range(0, len(data), size)
    told = b"".join(peer.send(data[at : at + size]) for at in cuts if peer.is_open)
    varying = rb"content-length: [0-9]+|[0-9a-f]+\r\n|[0-9.e+-]+\n|no legal http: .*?\"}"
    return re.sub(varying, b"", told.lower())
