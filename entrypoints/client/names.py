"""Names that people know from other stores, and the words of this one that they stand for.

Rule: a name with the same meaning here is accepted; any other is answered with the command that
does the same. A guess is offered only for a name that is close to one of ours.
"""

from __future__ import annotations

import difflib
from typing import Dict, Iterable, List, NamedTuple, Optional, Union


class Alias(NamedTuple):
    """How a known command is typed, and what it becomes; a number is one of its words."""

    syntax: str
    becomes: List[Union[str, int]]

    def rewrite(self, words: List[str]) -> List[str]:
        """The words of our command; raises `ValueError` with the syntax when words are missing."""
        if len(words) != len(self.syntax.split()):
            raise ValueError(self.syntax)
        return [words[part] if isinstance(part, int) else part for part in self.becomes]


ALIASES: Dict[str, Alias] = {
    "DBSIZE": Alias("", ["COUNT"]),
    "DECR": Alias("KEY", ["INCR", 0, "--by", "-1"]),
    "FLUSHALL": Alias("", ["FLUSH"]),
    "FLUSHDB": Alias("", ["FLUSH"]),
    "INCRBY": Alias("KEY NUMBER", ["INCR", 0, "--by", 1]),
    "INCRBYFLOAT": Alias("KEY NUMBER", ["INCR", 0, "--by", 1]),
    "SETEX": Alias("KEY SECONDS VALUE", ["SET", "--ttl", 1, "--", 0, 2]),
    "SETNX": Alias("KEY VALUE", ["SET", "--if", "absent", "--", 0, 1]),
}

_MANY = {"DEL": ("DELETE", "MDELETE"), "UNLINK": ("DELETE", "MDELETE")}
"""Names that take one key or many, and the two commands that they are here."""

ONE_TO_MANY = {"GET": "MGET", "DELETE": "MDELETE", "EXISTS": "MGET"}
"""Commands of one key, and those that do the same for many."""

OPTIONS: Dict[str, Dict[str, str]] = {
    "SET": {
        "EX": "--ttl N",
        "PX": "--ttl Nms",
        "EXAT": "--ttl with the time from now",
        "PXAT": "--ttl with the time from now",
        "KEEPTTL": "--keep-ttl",
        "NX": "--if absent",
        "XX": "--if present",
        "IFEQ": "--if-equals N",
        "GET": "GETSET, which takes no option but --ttl",
    },
    "SCAN": {
        "0": "no --cursor",
        "MATCH": "--prefix with how the keys begin",
        "COUNT": "--limit N",
    },
}
"""By command, the words that other stores have for its options; N is the word that follows."""

_DOCUMENTS = "a value is one JSON document: store it with SET, read it with GET"
_CHANNELS = "publish/subscribe is there for Redis clients, on the same port"
_COLLECTIONS = "there are no lists, sets or hashes; " + _DOCUMENTS

ANSWERS: Dict[str, str] = {
    "APPEND": _DOCUMENTS,
    "BGSAVE": "kv export FILE writes all keys to a file",
    "CLIENT": "INFO has how many clients there are",
    "CONFIG": "the settings are options of the server: kv-server --help; INFO has the limits",
    "CONNECT": "start kv again with another --url",
    "DECRBY": "INCR KEY --by -N subtracts",
    "DISCARD": "BATCH runs several commands, all or nothing",
    "ECHO": "PING asks whether the server answers",
    "EXEC": "BATCH runs several commands, all or nothing",
    "GETEX": "GET the value and EXPIRE the key, or PERSIST it; BATCH does both at once",
    "MULTI": "BATCH runs several commands, all or nothing",
    "PEXPIRE": "EXPIRE KEY 500ms takes any unit of time",
    "PSETEX": "SET KEY VALUE --ttl 500ms takes any unit of time",
    "PTTL": "TTL has fractions of a second",
    "PUBLISH": _CHANNELS,
    "QUIT": "the shell ends with exit or Ctrl-D",
    "RENAME": "GET the value, then SET it at the other key; BATCH does both at once",
    "SAVE": "kv export FILE writes all keys to a file",
    "SELECT": "kv sees database 0; Redis clients select others, on the same port",
    "SHUTDOWN": "the server ends with SIGTERM: kill its process, or stop its service",
    "SUBSCRIBE": _CHANNELS,
    "TOUCH": "GET marks a key as used",
    "TYPE": "GET shows the value, whose JSON says its type",
}
_FAMILIES = (
    *("HGET", "HSET", "HDEL", "HM", "LPUSH", "RPUSH", "LPOP", "RPOP", "LRANGE", "LLEN"),
    *("SADD", "SREM", "SMEMBERS", "SISMEMBER", "ZADD", "ZRANGE", "ZREM", "XADD", "JSON."),
)


def understood(name: str, words: List[str]) -> Optional[List[str]]:
    """The equivalent of a command of other stores; None when there is none. Raises
    `ValueError`, which says how it is typed, when its words are too few or too many."""
    name = name.upper()
    if name in _MANY:
        one, many = _MANY[name]
        return [one if len(words) == 1 else many, *words]
    return ALIASES[name].rewrite(words) if name in ALIASES else None


def options_for(command: str, words: List[str]) -> str:
    """The options of a command that do what words of other stores do; empty when the first of them
    is none of those."""
    known = OPTIONS.get(command, {})
    options: List[str] = []
    for word in words:
        option = known.get(word[:10].upper())
        if option:
            options.append(option)
        elif options:
            options[-1] = options[-1].replace("N", word, 1)
        else:
            break
    return " and ".join(options)


def answer(name: str, names: Iterable[str]) -> str:
    """The answer to an unknown name, from the known `names`; empty when there is none."""
    known = name[:40].upper()
    if known in ANSWERS:
        return ANSWERS[known]
    if known.startswith(_FAMILIES):
        return _COLLECTIONS
    by_upper = {name.upper(): name for name in names}
    close = difflib.get_close_matches(known, by_upper, n=1, cutoff=0.6)
    return f"the closest is {by_upper[close[0]]}" if close else ""
