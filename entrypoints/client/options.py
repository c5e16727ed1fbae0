"""The client's connection settings, as options of its command line.

Rule: what the library calls an option has the same name, default and meaning here.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, TypeVar

import click

from entrypoints.address import DEFAULT_HOST, DEFAULT_PORT
from entrypoints.client_settings import DEFAULTS
from entrypoints.settings.kinds import CERTIFICATE, HOST, KEY, PORT, SECONDS, SIZE, URL, size
from entrypoints.settings.rules import Needs, client_address, refuse_without_effect
from entrypoints.settings.secret import check_key, find_password, password_file_option
from entrypoints.settings.sources import config_option, given, setting

F = TypeVar("F", bound=Callable[..., object])

_OPTIONS = [
    config_option("client"),
    setting(
        "-u",
        "--url",
        type=URL,
        is_eager=True,
        metavar="kv://HOST:PORT",
        help="The server's address in one, instead of --host, --port and --tls: kvs:// for TLS, "
        "kv+unix:///PATH for a Unix socket; redis://HOST:PORT for an engine without a server.",
    ),
    setting(
        "-H", "--host", type=HOST, part_of="url", default=DEFAULT_HOST, help="The server's host."
    ),
    setting(
        "-p", "--port", type=PORT, part_of="url", default=DEFAULT_PORT, help="The server's port."
    ),
    setting(
        "-t",
        "--timeout",
        type=SECONDS,
        default=f"{DEFAULTS['timeout']:g}",
        help="How long to wait for each piece of a reply (0: no limit).",
    ),
    setting(
        "--connect-timeout",
        type=SECONDS,
        default=f"{DEFAULTS['connect_timeout']:g}",
        help="How long to wait for a connection (0: no limit).",
    ),
    setting(
        "--max-reply-bytes",
        type=SIZE,
        default=size(DEFAULTS["max_reply_bytes"]),
        help="Longest reply line to accept.",
    ),
    password_file_option("File with the server's password; or set KV_PASSWORD."),
    setting("--tls/--no-tls", default=False, help="Use TLS."),
    setting(
        "--tls-server-name",
        metavar="NAME",
        help="The name that the server's certificate must have, if it is not that of the host.",
    ),
    setting("--tls-ca", type=CERTIFICATE, help="CA bundle to trust instead of the system's, PEM."),
    setting("--tls-cert", type=CERTIFICATE, help="Certificate to show to the server, PEM."),
    setting("--tls-key", type=KEY, help="Private key, PEM, unless --tls-cert holds it."),
]

_TLS = "TLS, kvs:// or --tls"
_NEEDS = [
    Needs("tls_ca", "tls", _TLS),
    Needs("tls_cert", "tls", _TLS),
    Needs("tls_server_name", "tls", _TLS),
    Needs("tls_key", "tls_cert", "--tls-cert"),
]


def connection_options(command: F) -> F:
    """Give a command the settings of a connection."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class ConnectionSettings(NamedTuple):
    """A client's values by name, and warnings to show."""

    values: Dict[str, Any]
    warnings: List[str]


def connection_settings(context: click.Context, asked: Optional[str] = None) -> ConnectionSettings:
    """The settings of a command line that was parsed, checked and put together. A password that
    was `asked` for wins over every source. Raises `click.UsageError`."""
    settings = given(context)
    values = {name: setting.value for name, setting in settings.items() if name != "url"}
    values.update(client_address(settings))
    refuse_without_effect(_NEEDS, settings, values)
    url = settings["url"]
    warnings = check_key(settings, values)
    if asked is None:
        password = find_password(settings, url, (url.value or {}).get("password"))
        warnings += password.warnings
    values["password"] = password.text if asked is None else asked
    return ConnectionSettings({**DEFAULTS, **values}, warnings)
