"""How each command is typed: what `help` shows. The tests type them all."""

from __future__ import annotations

import shlex
from typing import Dict, List, Tuple

from entrypoints.client.words import words

EXAMPLES: Dict[str, Tuple[str, str]] = {
    "GET": ("GET user:1", '{"name":"Ada"}'),
    "SET": ('SET user:1 {"name": "Ada"} --ttl 60', "true"),
    "DELETE": ("DELETE user:1", "true"),
    "FLUSH": ("FLUSH", "2"),
    "MGET": ("MGET user:1 n", '{"user:1":{"name":"Ada"},"n":5}'),
    "MSET": ("MSET n 5 greeting hello", "true"),
    "MDELETE": ("MDELETE user:1 n missing", "2"),
    "EXISTS": ("EXISTS user:1", "true"),
    "GETSET": ("GETSET n 6", "5"),
    "GETDEL": ("GETDEL n", "5"),
    "INCR": ("INCR n --by 2", "7"),
    "TTL": ("TTL user:1", "null"),
    "EXPIRE": ("EXPIRE user:1 60", "true"),
    "PERSIST": ("PERSIST user:1", "false"),
    "COUNT": ("COUNT", "2"),
    "SCAN": ("SCAN --prefix user:", '{"keys":["user:1"],"cursor":null}'),
    "PING": ("PING", '"PONG"'),
    "INFO": ("INFO", '{"keyspace":{"keys":2,...'),
    "BATCH": (
        'BATCH [{"type": "INCR", "key": "n"}, {"type": "GET", "key": "m"}]',
        '[{"ok":true,"result":6},{"ok":true}]',
    ),
    "AUTH": ("AUTH secret", "true"),
}
"""What is typed, and what it prints where there are the keys `user:1`, with {"name":"Ada"}, and
`n`, with 5."""


def example_of(name: str, in_shell: bool) -> List[str]:
    """The example of a command, if there is one, as a paragraph of its help."""
    if name not in EXAMPLES:
        return []
    typed, printed = EXAMPLES[name]
    line = f"> {typed}" if in_shell else "$ kv " + " ".join(map(shlex.quote, words(typed)))
    return [f"Example:\n  {line}\n  {printed}\n"]
