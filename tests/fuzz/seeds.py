"""What fuzzing starts from: the conversations that the protocol's text and the samples show.

Rule: all of it is made from what is there already, so that a new command, its members and its
example are in it without a line here.

    python -m tests.fuzz.seeds FOLDER    # writes a folder in it for each side, and FOLDER/tokens
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Dict, Iterator, List

from application.commands import COMMANDS, NAMES
from domain.errors import BY_CODE
from tests.fuzz import resp
from tests.fuzz.invariants import CUT, LIMITS, PORTION
from tests.samples import BRACKETS_IN_STRINGS, DEEPEST, REFUSED, VALUES

PROTOCOL = Path(__file__).parent.parent.parent / "docs" / "protocol.md"
PING = b'{"type":"PING"}\n'
GET = b'{"type":"GET","key":"k"}\n'
SET = b'{"type":"SET","key":"k","value":%b}\n'


def seeds() -> Dict[str, List[bytes]]:
    """The inputs for each of `invariants.CHECKS`."""
    server: List[bytes] = []
    client: List[bytes] = []
    for asked, answered in _examples():
        server += (asked, _in_pieces(asked))
        answered = answered[: -len(b"}\n")] + b',"id":0}\n'  # as to a client's first request
        client += (asked + b"\n" + answered, asked + b"\n" + _in_pieces(answered))
    return {
        "server": [*server, *_values(), *_bounds()],
        "resp": list(resp.seeds()),
        "client": [*client, PING + b"\n{}\n", PING + b"\n" + b"x" * (LIMITS.max_reply_bytes + 1)],
    }


def tokens() -> List[bytes]:
    """The words of the protocol, and the pieces of JSON that are hard to come by."""
    members = {name for kind in COMMANDS for name in kind.__struct_encode_fields__} | {"type"}
    replies = {"ok", "result", "error", "code", "message", "index", "keys", "cursor"}
    strings = {*NAMES, *BY_CODE, *members, *replies, "absent", "present", "", "\ufeff", "ж"}
    quoted = [json.dumps(word, ensure_ascii=False) for word in sorted(strings)]
    named = [f'"{name}":' for name in sorted(members)]
    odd = ["NaN", "-Infinity", "1e999", "-0.0", "1e-400", "01", '"\\ud800"', '"\\u0000"', "\\n"]
    plain = ["true", "null", "0", "-1", "{", "}", "[", "]", "[" * 99, "]" * 99, "\r\n", "\n\n"]
    numbers = [str(2**63), str(2**64), "1" * 400, "1.7976931348623157e308"]
    texts = [*quoted, *named, *odd, *plain, *numbers]
    return [*(text.encode() for text in texts), PING, GET, CUT, b'"\xff"', b"\xed\xa0\x80"]


def _examples() -> Iterator[List[bytes]]:
    """The lines asked and the lines answered of each conversation in the protocol's text."""
    for block in re.findall(rb"(?ms)^```jsonl\n(.*?)^```$", PROTOCOL.read_bytes()):
        yield [b"".join(re.findall(rb"(?m)^%b (.*\n)" % side, block)) for side in (b">", b"<")]


def _in_pieces(data: bytes) -> bytes:
    return CUT.join(data[at : at + 7] for at in range(0, len(data), 7))


def _values() -> Iterator[bytes]:
    texts = [json.dumps(value).encode() for value in VALUES]
    texts += [DEEPEST.encode(), BRACKETS_IN_STRINGS.encode(), *(text for _, text, _ in REFUSED)]
    for text in texts:
        if len(text) < LIMITS.max_request_bytes:
            yield SET % text + GET


def _bounds() -> Iterator[bytes]:
    """Inputs that come to a bound: on keys, lines, replies and portions of replies."""
    yield PING + b'{"type":"GET","key":"%b"}\n' % (b"k" * (LIMITS.max_key_bytes + 1))
    many = b",".join([b'"key"'] * (LIMITS.max_keys_per_request + 1))
    yield PING + b'{"type":"MGET","keys":[%b]}\n' % many
    yield PING + b"x" * (LIMITS.max_request_bytes + 1)
    stored = SET % b'"%b"' % (b"x" * (LIMITS.max_reply_bytes // 3))
    three = b",".join([GET[:-1]] * 3)
    yield stored + b'{"type":"BATCH","commands":[%b]}\n' % three + PING
    yield PING * (2 * PORTION // len(PING))


def main(folder: Path) -> None:
    for side, inputs in seeds().items():
        (folder / side).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (folder / side / f"seed-{number:03}").write_bytes(data)
    escaped = ("".join(f"\\x{byte:02x}" for byte in token) for token in tokens())
    (folder / "tokens").write_text("".join(f'"{token}"\n' for token in escaped))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
