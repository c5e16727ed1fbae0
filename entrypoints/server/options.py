"""The server's settings, as options of its command line.

Rule: a bound is named once, in `Limits`; its type and default come from there. A secret is read
from a file or the environment and is no option, since everybody sees the options of a process.
"""

from __future__ import annotations

from typing import Callable, Dict, TypeVar

import click
import msgspec

from adapters.logs import FORMATS
from application.limits import Limits
from entrypoints.settings import FILE, config_option, number_of_bytes, password_file_option

F = TypeVar("F", bound=Callable[..., object])

_LEVELS = ["debug", "info", "warning", "error"]

_LIMITS: Dict[str, str] = {
    "max_request_bytes": "Longest request line.",
    "max_reply_bytes": "Longest reply line.",
    "max_key_bytes": "Longest key.",
    "max_keys_per_request": "Most keys that one request may name.",
    "max_batch_cost": "Most that the commands of a BATCH cost together; a SET costs 1.",
    "max_opened_bytes": "Most bytes of JSON that one request decodes to compare or count.",
    "max_input_bytes": "Most bytes of requests that have arrived in part, of all clients together.",
    "max_clients": "Most clients at once; one more is told so and closed.",
    "request_timeout": "Seconds from a request's first byte to its last, and from connecting to "
    "the right password; 0 for ever.",
    "send_timeout": "Seconds that a client may take nothing of its replies; 0 for ever.",
    "idle_timeout": "Seconds that a client may be silent; 0 for ever.",
    "tcp_keepalive": "Seconds of silence until a client is probed for being there; 0 for never.",
}


def _limit(field: msgspec.structs.FieldInfo) -> Callable[[F], F]:
    return click.option(
        "--" + field.name.replace("_", "-"),
        type=click.IntRange(min=1) if field.type is int else click.FloatRange(min=0),
        default=field.default,
        help=_LIMITS[field.name],
    )


_OPTIONS = [
    config_option,
    click.option("--host", default="127.0.0.1", help="Address to listen on."),
    click.option(
        "--port", type=click.IntRange(0, 65535), default=7379, help="Port; 0 picks a free one."
    ),
    password_file_option("File with the password that clients need; or set KV_PASSWORD."),
    click.option(
        "--insecure",
        is_flag=True,
        help="Listen where other machines can connect although there is no password.",
    ),
    click.option("--tls-cert", type=FILE, help="Certificate chain, PEM; from then on TLS only."),
    click.option("--tls-key", type=FILE, help="Key of the certificate, PEM, if it is not there."),
    click.option(
        "--tls-client-ca", type=FILE, help="Let in clients with certificates of these alone, PEM."
    ),
    click.option(
        "--max-memory",
        type=number_of_bytes,
        default=0,
        metavar="SIZE",
        help="Bound on what the keys take, such as 512mb; 0 is none.",
    ),
    click.option(
        "--memory-policy",
        type=click.Choice(["refuse", "evict"]),
        default="refuse",
        help="At the bound: refuse writes, or remove keys that were not used lately.",
    ),
    *map(_limit, msgspec.structs.fields(Limits)),
    click.option(
        "--shutdown-grace",
        type=click.FloatRange(min=0),
        default=5.0,
        help="Seconds to finish answering after SIGTERM or SIGINT; a second signal ends at once.",
    ),
    click.option(
        "--log-level",
        type=click.Choice(_LEVELS, case_sensitive=False),
        default="info",
        help="Least severe messages to log, on standard error.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(list(FORMATS), case_sensitive=False),
        default="text",
        help="A line a record, for people or as JSON.",
    ),
]


def server_options(command: F) -> F:
    """Gives a command every setting of the server."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
