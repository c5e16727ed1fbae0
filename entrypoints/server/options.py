"""The server's settings, as options of its command line.

Rule: a bound is named once, in `Limits`; its default comes from there. A secret is read from a file
or the environment and is no option, since other users see the options of a process.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, TypeVar

import click
import msgspec

from adapters.logs import FORMATS
from application.limits import Limits
from entrypoints.address import DEFAULT_HOST, DEFAULT_PORT, ListenAddress
from entrypoints.engine_address import DEFAULT_PREFIX, EngineAddress
from entrypoints.server.container import PROTOCOLS
from entrypoints.settings.kinds import (
    CERTIFICATE,
    COUNT,
    ENGINE,
    HOST,
    KEEPALIVE,
    KEY,
    LISTEN,
    ORIGIN,
    PORT_OR_ANY,
    REPLICAS,
    SECONDS,
    SIZE,
    SIZE_OR_NONE,
    Names,
    size,
)
from entrypoints.settings.rules import (
    Excludes,
    Needs,
    listen_addresses,
    refuse_contradictions,
    refuse_without_effect,
)
from entrypoints.settings.secret import check_key, find_password, password_file_option
from entrypoints.settings.sources import ENVIRONMENT_RANK, Given, config_option, given, setting

F = TypeVar("F", bound=Callable[..., object])

_LEVELS = ["debug", "info", "warning", "error"]

_LIMITS: Dict[str, str] = {
    "max_request_bytes": "Longest request line.",
    "max_reply_bytes": "Longest reply line.",
    "max_key_bytes": "Longest key.",
    "max_keys_per_request": "Most keys that one request may name.",
    "max_batch_cost": "Most that the commands of a BATCH cost together; a SET costs 1.",
    "max_opened_bytes": "Most bytes of JSON that one request decodes to compare or count.",
    "max_input_bytes": "Most bytes buffered for all clients together, of unanswered requests "
    "and unsent replies. Over it, the client with the most is cut.",
    "max_push_bytes": "Most bytes of messages kept for a subscriber, which is cut when it leaves "
    "more unread.",
    "max_clients": "Most clients at once; a further one is refused.",
    "request_timeout": "Close a connection whose request takes longer than this to arrive, or to "
    "log in (0: never).",
    "send_timeout": "Close a connection that accepts no reply bytes for this long (0: never).",
    "idle_timeout": "Close a connection idle for this long, but a subscriber's (0: never).",
    "tcp_keepalive": "Probe a client that is silent for this long (0: never).",
}


def _limit(field: msgspec.structs.FieldInfo) -> Callable[[F], F]:
    kind = SECONDS if field.type is float else SIZE if field.name.endswith("_bytes") else COUNT
    return setting(
        "--" + field.name.replace("_", "-"),
        type=KEEPALIVE if field.name == "tcp_keepalive" else kind,
        default=size(field.default) if kind is SIZE else f"{field.default:g}",
        help=_LIMITS[field.name],
    )


_OPTIONS = [
    config_option("server"),
    setting(
        "--listen",
        type=LISTEN,
        multiple=True,
        is_eager=True,
        metavar="HOST:PORT",
        help="Address to listen on, or unix:/PATH, instead of --host and --port; may be given "
        "several times. localhost is both 127.0.0.1 and [::1].",
    ),
    setting("--host", type=HOST, part_of="listen", default=DEFAULT_HOST, help="Host to listen on."),
    setting(
        "--port",
        type=PORT_OR_ANY,
        part_of="listen",
        default=DEFAULT_PORT,
        help="Port to listen on; 0 picks a free one.",
    ),
    password_file_option("File with the password that clients need; or set KV_PASSWORD."),
    setting("--insecure", is_flag=True, help="Allow other machines to connect without a password."),
    setting("--tls", is_flag=True, help="Refuse to start without TLS, which --tls-cert enables."),
    setting("--tls-cert", type=CERTIFICATE, help="Certificate chain, PEM; enables TLS."),
    setting("--tls-key", type=KEY, help="Private key, PEM, unless --tls-cert holds it."),
    setting(
        "--tls-client-ca",
        type=CERTIFICATE,
        help="CA bundle for client certificates, PEM; enables mutual TLS.",
    ),
    setting(
        "--protocols",
        type=Names("protocols", PROTOCOLS),
        default=",".join(PROTOCOLS),
        help="Protocols to serve, separated by commas.",
    ),
    setting(
        "--http-hosts",
        may_be_empty=True,
        type=Names("hosts"),
        default="",
        help="Names that HTTP clients may call this server by, beside addresses and localhost, "
        "separated by commas.",
    ),
    setting(
        "--http-allow-origin",
        may_be_empty=True,
        type=Names("origins", pattern=ORIGIN),
        default="",
        help="Origins whose web pages may use HTTP, such as https://app.example, separated by "
        "commas.",
    ),
    setting(
        "--max-memory",
        type=SIZE_OR_NONE,
        default=0,
        help="Most memory that the keys take, such as 512mb (0: no bound).",
    ),
    setting(
        "--memory-policy",
        type=click.Choice(["refuse", "evict"]),
        default="refuse",
        help="At --max-memory: refuse writes, or evict keys that were not used lately.",
    ),
    setting(
        "--data-dir",
        type=click.Path(file_okay=False),
        help="Directory to keep the keys in; without it they are gone with the process.",
    ),
    setting(
        "--fsync",
        type=click.Choice(["always", "everysec", "no"]),
        default="always",
        help="With --data-dir, reply once a write is on the disk, or sync once a second, or leave "
        "it to the system.",
    ),
    setting(
        "--store",
        type=ENGINE,
        metavar="redis://HOST:PORT",
        help="Valkey or Redis server that keeps the keys, "
        "redis://[[user]:password@]host[:port][/db]; rediss:// for TLS, redis-cluster:// for a "
        "cluster.",
    ),
    setting(
        "--store-prefix",
        may_be_empty=True,
        metavar="PREFIX",
        help=f"With --store, what the names of keys there begin with; {DEFAULT_PREFIX} by default.",
    ),
    setting(
        "--store-connections",
        type=COUNT,
        default=32,
        help="With --store, most connections to it.",
    ),
    setting(
        "--store-timeout",
        type=SECONDS,
        default="5",
        help="With --store, how long to wait for a connection, and for a reply (0: no limit).",
    ),
    setting(
        "--store-allow-partial",
        is_flag=True,
        help="With a cluster, allow MSET of keys in several slots, which is not atomic there.",
    ),
    setting(
        "--store-wait-replicas",
        type=REPLICAS,
        default=0,
        help="With --store, reply to a write once so many replicas have it.",
    ),
    setting(
        "--store-tls-ca",
        type=CERTIFICATE,
        help="With --store rediss://, CA bundle to trust instead of the system's, PEM.",
    ),
    setting(
        "--store-tls-cert",
        type=CERTIFICATE,
        help="With --store rediss://, certificate chain to present to the engine, PEM.",
    ),
    setting(
        "--store-tls-key",
        type=KEY,
        help="Private key, PEM, unless --store-tls-cert holds it.",
    ),
    *map(_limit, msgspec.structs.fields(Limits)),
    setting(
        "--shutdown-grace",
        type=SECONDS,
        default="5",
        help="Finish replies for up to this long after SIGTERM or SIGINT; a second signal ends "
        "the server at once.",
    ),
    setting(
        "--log-level",
        type=click.Choice(_LEVELS, case_sensitive=False),
        default="info",
        help="Least severe records to log, on standard error.",
    ),
    setting(
        "--log-format",
        type=click.Choice(list(FORMATS), case_sensitive=False),
        default="text",
        help="One line per record, as text for people or as JSON.",
    ),
]

_HTTP = "http among the --protocols"
_ENGINE = "the engine's address, --store"
_TLS_ENGINE = "the address of an engine with TLS, --store rediss://"


def _has_http(protocols: Sequence[str]) -> bool:
    return "http" in protocols


def _has_tls(engine: Optional[EngineAddress]) -> bool:
    return engine is not None and engine.tls


def _has_tcp(listen: Sequence[ListenAddress]) -> bool:
    return not listen or any(address.kind == "tcp" for address in listen)


_NEEDS = [
    Needs("tls", "tls_cert", "a certificate, --tls-cert"),
    Needs("tls_cert", "listen", "a TCP address to --listen on", _has_tcp),
    Needs("tls_key", "tls_cert", "--tls-cert"),
    Needs("tls_client_ca", "tls_cert", "--tls-cert"),
    Needs("http_hosts", "protocols", _HTTP, _has_http),
    Needs("http_allow_origin", "protocols", _HTTP, _has_http),
    Needs("fsync", "data_dir", "a directory, --data-dir"),
    Needs("memory_policy", "max_memory", "a bound, --max-memory"),
    Needs("store_prefix", "store", _ENGINE),
    Needs("store_connections", "store", _ENGINE),
    Needs("store_timeout", "store", _ENGINE),
    Needs("store_tls_ca", "store", _TLS_ENGINE, _has_tls),
    Needs("store_tls_cert", "store", _TLS_ENGINE, _has_tls),
    Needs("store_tls_key", "store_tls_cert", "--store-tls-cert"),
    Needs("store_allow_partial", "store", _ENGINE),
    Needs("store_wait_replicas", "store", _ENGINE),
]

_EXCLUDE = [
    Excludes("store", "max_memory", "the engine bounds its memory itself, by its maxmemory"),
    Excludes("store", "data_dir", "the engine keeps the keys"),
]


def server_options(command: F) -> F:
    """Give a command every setting of the server."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class ServerSettings(NamedTuple):
    """The server's values by name, the addresses to listen on, and warnings to log."""

    values: Dict[str, Any]
    addresses: List[ListenAddress]
    warnings: List[str]


def server_settings(context: click.Context) -> ServerSettings:
    """The settings of a command line that was parsed, checked and put together. Raises
    `click.UsageError`."""
    settings = given(context)
    values = {name: setting.value for name, setting in settings.items()}
    refuse_without_effect(_NEEDS, settings, values)
    refuse_contradictions(_EXCLUDE, settings)
    _check_limits(settings)
    addresses = [one for address in listen_addresses(settings) for one in address.resolved()]
    password = find_password(settings)
    values["password"] = password.text
    has_guard = bool(password.text or values["tls_client_ca"])
    _check_insecure(settings["insecure"], addresses, has_guard)
    keys = [
        warning
        for names in (("tls_cert", "tls_key"), ("store_tls_cert", "store_tls_key"))
        for warning in check_key(settings, values, *names)
    ]
    engine = _engine_warnings(settings["store"])
    return ServerSettings(values, addresses, [*password.warnings, *keys, *engine])


def _engine_warnings(store: Given) -> List[str]:
    if store.rank <= ENVIRONMENT_RANK or not store.value or not store.value.password:
        return []
    return [f"other users can see the password in {store.origin}; set KV_STORE instead"]


def _check_limits(settings: Mapping[str, Given]) -> None:
    names = Limits.__struct_fields__
    try:
        Limits(**{name: settings[name].value for name in names})
    except ValueError as error:
        origins = [settings[name].origin for name in names if settings[name].rank]
        raise click.UsageError(f"{error}; given were {', '.join(origins)}") from error


def _check_insecure(insecure: Given, addresses: Sequence[ListenAddress], has_guard: bool) -> None:
    """Refuse an address that other machines reach where nothing guards it, unless that is allowed;
    and refuse to allow it where that means nothing."""
    remote = [address for address in addresses if not address.is_local]
    is_open = bool(remote) and not has_guard
    if insecure.value and not is_open:
        why = "beside a password, or --tls-client-ca" if has_guard else "on this machine alone"
        raise click.UsageError(f"{insecure.origin} has no effect {why}")
    if is_open and not insecure.value:
        raise click.UsageError(
            f"{remote[0]} can be reached from other machines: set a password "
            "(--password-file or KV_PASSWORD), or say --insecure"
        )
