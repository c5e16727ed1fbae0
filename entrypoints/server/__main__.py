"""The server's command line: its settings, its signals, its one line that says it listens."""

from __future__ import annotations

import logging
import os
import signal
import socket
from typing import Any

import click
import gevent
from gevent.event import Event

from adapters.json_lines.server import Limits
from adapters.process import keep_buffers
from entrypoints.server.container import ServerContainer
from entrypoints.settings import CONTEXT, VERSION, config_option, number_of_bytes

_DEFAULTS = Limits()
_LEVELS = ["debug", "info", "warning", "error"]
_bytes = click.IntRange(min=1)


@click.command(context_settings=CONTEXT)
@config_option
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=7379, help="Port; 0 picks a free one."
)
@click.option(
    "--max-request-bytes",
    type=_bytes,
    default=_DEFAULTS.max_request_bytes,
    help="Longest request line.",
)
@click.option(
    "--max-reply-bytes", type=_bytes, default=_DEFAULTS.max_reply_bytes, help="Longest reply line."
)
@click.option("--max-key-bytes", type=_bytes, default=_DEFAULTS.max_key_bytes, help="Longest key.")
@click.option(
    "--max-keys-per-request",
    type=click.IntRange(min=1),
    default=_DEFAULTS.max_keys_per_request,
    help="Most keys that one request may name.",
)
@click.option(
    "--max-memory",
    type=number_of_bytes,
    default=0,
    metavar="SIZE",
    help="Bound on what the keys take, such as 512mb; 0 is none.",
)
@click.option(
    "--memory-policy",
    type=click.Choice(["refuse", "evict"]),
    default="refuse",
    help="At the bound: refuse writes, or remove keys that were not used lately.",
)
@click.option(
    "--shutdown-grace",
    type=click.FloatRange(min=0),
    default=5.0,
    help="Seconds to finish answering after SIGTERM or SIGINT.",
)
@click.option(
    "--log-level",
    type=click.Choice(_LEVELS, case_sensitive=False),
    default="info",
    help="Least severe messages to log, on standard error.",
)
@click.version_option(VERSION, prog_name="kv-server")
def main(**settings: Any) -> None:
    """Serve a JSON key-value store over TCP, one JSON object a line each way.

    Every option can also be set by an environment variable (KV_PORT for --port) or in the file
    named by --config (port = 7379). The command line wins, then the environment, then the file.
    """
    logging.basicConfig(
        level=settings["log_level"].upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    container = ServerContainer()
    container.config.from_dict(settings)
    server = container.server()
    try:
        container.limits()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    try:
        host, port = server.bind()
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {settings['host']} port {settings['port']}: {_reason(error)}"
        ) from error
    keep_buffers()
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, stopped.set)
    server.start()
    housekeeper = container.housekeeper()
    housekeeper.start()
    click.echo(f"kv-server {VERSION} listens on kv://{f'[{host}]' if ':' in host else host}:{port}")
    stopped.wait()
    housekeeper.stop()
    server.stop(settings["shutdown_grace"])


def _reason(error: OSError) -> str:
    """The system's own words, to which `create_server` adds the address once more."""
    return str(
        error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
    )


if __name__ == "__main__":
    main(prog_name="kv-server")
