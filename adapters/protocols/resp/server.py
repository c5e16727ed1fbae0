"""Commands about the server: its figures, settings and commands.

Rule: all of it is made from the records that JSON clients see, `Report` and `Limits`, and from
the one table of commands.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, List, Optional, Tuple

import msgspec
from msgspec import UNSET

from adapters.protocols.resp import replies
from adapters.protocols.resp.connection import REDIS_VERSION
from adapters.protocols.resp.entries import (
    NONE,
    OK,
    Action,
    Does,
    Entry,
    Made,
    check_count,
    constant,
    family,
    integer_of,
    returns,
    text_of,
)
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.replies import Members, ReplyError, Status
from adapters.protocols.resp.session import Session, Shared
from application.budget import Budget
from application.commands import Info
from application.databases import DATABASES
from application.glob import glob
from application.stats import Report
from domain.store import Store

Lines = Dict[str, object]


class InfoText(Info, tag="INFO", kw_only=False):
    """Return figures about the server and its keys as lines in sections."""

    cost = 100

    shared: Shared
    sections: Tuple[str, ...]

    def rendered(self, report: Report) -> bytes:
        """The lines of the sections that were asked for."""
        parts = []
        for name, make in _SECTIONS.items():
            if name in self.sections:
                lines = "".join(f"{key}:{value}\r\n" for key, value in make(self, report).items())
                parts.append(f"# {name.capitalize()}\r\n{lines}")
        return "\r\n".join(parts).encode()


def _info(session: Session, arguments: Arguments) -> Made:
    """INFO [section ...]."""
    asked = {text_of(each).lower() for each in arguments[1:]} or {"default"}
    if asked & {"default", "all", "everything"}:
        extra = set() if asked <= {"default"} else {"commandstats"}
        asked = asked | (_SECTIONS.keys() - {"commandstats"}) | extra
    return InfoText(session.shared, tuple(asked)), replies.REPORT


def _server(info: InfoText, report: Report) -> Lines:
    server = report.server
    lines: Lines = {
        "redis_version": REDIS_VERSION,
        "server_name": "kvjson",
        "kvjson_version": info.shared.version,
        "redis_mode": "standalone",
        "arch_bits": 64 if sys.maxsize > 2**32 else 32,
    }
    if server is not UNSET:
        seconds = int(server.uptime)
        lines.update({"uptime_in_seconds": seconds, "uptime_in_days": seconds // 86_400})
    return lines


def _clients(info: InfoText, report: Report) -> Lines:
    server = report.server
    connected = 0 if server is UNSET else server.connected_clients
    return {
        "connected_clients": connected,
        "maxclients": info.shared.limits.max_clients,
        "blocked_clients": 0,
        "pubsub_clients": sum(each.kind == "pubsub" for each in info.shared.sessions.values()),
    }


def _memory(info: InfoText, report: Report) -> Lines:
    keyspace, server = report.keyspace, report.server
    resident = 0 if server is UNSET else server.resident_memory
    used = resident if keyspace.memory is None else keyspace.memory
    return {
        "used_memory": used,
        "used_memory_human": f"{used / 2**20:.2f}M",
        "used_memory_rss": resident,
        "maxmemory": keyspace.max_memory or 0,
    }


def _persistence(info: InfoText, report: Report) -> Lines:
    journal = report.journal
    return {
        "loading": 0 if journal is UNSET else int(journal.loading),
        "aof_enabled": int(journal is not UNSET),
    }


def _stats(info: InfoText, report: Report) -> Lines:
    keyspace, server = report.keyspace, report.server
    lines: Lines = {
        "keyspace_hits": keyspace.hits,
        "keyspace_misses": keyspace.misses,
        "expired_keys": keyspace.expired,
        "evicted_keys": keyspace.evicted,
        "pubsub_channels": info.shared.channels.n_channels,
        "pubsub_patterns": info.shared.channels.n_patterns,
    }
    if server is not UNSET and report.commands is not UNSET:
        lines["total_connections_received"] = server.accepted_clients
        lines["rejected_connections"] = server.refused_clients
        lines["total_commands_processed"] = sum(report.commands.values())
    return lines


def _replication(info: InfoText, report: Report) -> Lines:
    return {"role": "master", "connected_slaves": 0}


def _cluster(info: InfoText, report: Report) -> Lines:
    return {"cluster_enabled": 0}


def _commandstats(info: InfoText, report: Report) -> Lines:
    counts = {} if report.commands is UNSET else report.commands
    return {f"cmdstat_{name.lower()}": f"calls={count}" for name, count in counts.items()}


def _errorstats(info: InfoText, report: Report) -> Lines:
    counts = {} if report.errors is UNSET else report.errors
    return {f"errorstat_{code}": f"count={count}" for code, count in counts.items()}


def _keyspace(info: InfoText, report: Report) -> Lines:
    n_keys = report.keyspace.keys
    return {"db0": f"keys={n_keys},expires=0,avg_ttl=0"} if n_keys else {}


_SECTIONS: Dict[str, Callable[[InfoText, Report], Lines]] = {
    make.__name__[1:]: make
    for make in (
        *(_server, _clients, _memory, _persistence, _stats, _replication, _commandstats),
        *(_errorstats, _cluster, _keyspace),
    )
}


def _time(session: Session, arguments: Arguments) -> Action:
    def action(store: Store, budget: Budget) -> List[bytes]:
        seconds, fraction = divmod(session.shared.wall(), 1)
        return [b"%d" % seconds, b"%d" % (fraction * 1_000_000)]

    return action


def _settings(session: Session, store: Store) -> Dict[str, str]:
    """The limits by their options' names, and Redis's names for some settings."""
    limits = session.shared.limits
    known = {
        name.replace("_", "-"): str(value) for name, value in msgspec.structs.asdict(limits).items()
    }
    return {
        **known,
        "databases": str(DATABASES),
        "appendonly": "yes" if session.shared.is_durable else "no",
        "save": "",
        "maxmemory": str(store.stats().max_memory or 0),
        "slowlog-log-slower-than": "-1",
        "slowlog-max-len": "0",
        "maxclients": str(limits.max_clients),
        "timeout": f"{limits.idle_timeout:g}",
        "proto-max-bulk-len": str(limits.max_request_bytes),
        "tcp-keepalive": f"{limits.tcp_keepalive:g}",
    }


def _config_get(session: Session, arguments: Arguments) -> Action:
    patterns = [text_of(each).lower() for each in arguments[2:]]

    def action(store: Store, budget: Budget) -> Dict[str, str]:
        budget.convert(_SETTINGS)
        settings, parts, found = _settings(session, store), budget.parts(), {}
        for each in patterns:
            pattern = glob(each)
            parts.open(pattern.cost + pattern.matching_cost(settings))
            found.update({name: settings[name] for name in filter(pattern.matches, settings)})
        return found

    return action


_SETTINGS, _DESCRIPTION = 16 * 1024, 4 * 1024
"""What it costs to collect the settings, and to describe a command; about 10 ns are one unit."""


def _config_set(session: Session, arguments: Arguments) -> Action:
    raise ReplyError("ERR CONFIG SET is not here: settings are given when the server starts")


def _slow_commands(session: Session, arguments: Arguments) -> Action:
    check_count(arguments, 3)
    if any(integer_of(each, _NO_COUNT) < -1 for each in arguments[2:]):
        raise ReplyError(_NO_COUNT)
    return constant([])


_NO_COUNT = "ERR count should be greater than or equal to -1"


def command_entry(
    table: Callable[[], Dict[bytes, Entry]], find: Callable[[Arguments], Optional[Entry]]
) -> Entry:
    """COMMAND, with COUNT, DOCS, GETKEYS, INFO and LIST, which tell of the entries of a table;
    `find` returns that which arguments begin with."""

    def known() -> Dict[str, Entry]:
        return {entry.name: entry for entry in table().values()}

    def asked(arguments: Arguments, budget: Budget) -> Dict[str, Any]:
        entries = known()
        names = [text_of(each).lower() for each in arguments[2:]] or entries
        budget.convert(_DESCRIPTION * len(names))
        return {name: entries.get(name) for name in names}

    def infos(session: Session, arguments: Arguments) -> Action:
        def action(store: Store, budget: Budget) -> List[Any]:
            return [entry and _described(entry) for entry in asked(arguments, budget).values()]

        return action

    def docs(session: Session, arguments: Arguments) -> Action:
        def action(store: Store, budget: Budget) -> Dict[str, Any]:
            found = asked(arguments, budget).items()
            return {name: _documented(entry) for name, entry in found if entry}

        return action

    def keys(session: Session, arguments: Arguments) -> Action:
        return constant(_keys_in(find(arguments[2:]), arguments[2:]))

    parts = family(
        "command",
        "",
        Entry("count", 2, "", NONE, Does(lambda session, arguments: constant(len(known())))),
        Entry("docs", -2, "", NONE, Does(docs)),
        Entry("getkeys", -4, "", NONE, Does(keys)),
        Entry("info", -2, "", NONE, Does(infos)),
        Entry("list", 2, "", NONE, Does(lambda session, arguments: constant(list(known())))),
    )

    def make(session: Session, arguments: Arguments) -> Made:
        return (Does(infos) if len(arguments) == 1 else parts.make)(session, arguments)

    return parts._replace(arity=-1, make=make)


def _keys_in(entry: Optional[Entry], asked: Arguments) -> Arguments:
    """The keys among a command's name and arguments; their number may be one of these."""
    if entry is None:
        raise ReplyError("ERR Invalid command specified")
    first, last, step = entry.keys
    is_numbered = "movablekeys" in entry.flags
    if not (first or is_numbered):
        raise ReplyError("ERR The command has no key arguments")
    if not entry.takes(len(asked)):
        raise ReplyError("ERR Invalid number of arguments specified for command")
    if is_numbered:
        number = int(asked[2]) if asked[2].isdigit() and len(asked[2]) < 10 else 0
        return asked[3 : 3 + number] if number <= len(asked) - 3 else []
    return asked[first : len(asked) if last < 0 else last + 1 : step]


def _described(entry: Entry) -> List[Any]:
    flags = Members(map(Status, entry.flags.split()))
    parts = [_described(each) for each in entry.subcommands.values()]
    return [entry.name, entry.arity, flags, *entry.keys, [], [], [], parts]


def _documented(entry: Entry) -> Dict[str, Any]:
    kind = getattr(entry.make, "kind", None)
    summary = (getattr(kind, "__doc__", None) or "").partition("\n")[0]
    docs: Dict[str, Any] = {"summary": summary, "group": entry.group}
    if entry.subcommands:
        docs["subcommands"] = {each.name: _documented(each) for each in entry.subcommands.values()}
    return docs


TABLE = (
    Entry("info", -1, "", NONE, _info),
    Entry("time", 1, "fast", NONE, Does(_time)),
    family(
        "config",
        "admin noscript",
        Entry("get", -3, "", NONE, Does(_config_get)),
        Entry("set", -4, "", NONE, Does(_config_set)),
        Entry("resetstat", 2, "", NONE, returns(OK)),
    ),
    family(
        "slowlog",
        "admin",
        Entry("get", -2, "", NONE, Does(_slow_commands)),
        Entry("len", 2, "", NONE, returns(0)),
        Entry("reset", 2, "", NONE, returns(OK)),
    ),
    family(
        "latency",
        "admin noscript",
        Entry("latest", 2, "", NONE, returns([])),
        Entry("history", 3, "", NONE, returns([])),
        Entry("histogram", -2, "", NONE, returns({})),
        Entry("reset", -2, "", NONE, returns(0)),
    ),
)
