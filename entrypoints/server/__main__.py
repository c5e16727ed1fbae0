"""The server's life: settings, listening, signals, the end."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import signal
import socket
import ssl
from functools import partial
from typing import Any, Dict, Iterator

import click
import gevent
from gevent.event import Event

from adapters import logs
from adapters.gevent_tcp.server import SPARE
from adapters.gevent_tcp.tls import Certificates
from adapters.process import allow_descriptors, keep_buffers, notify
from entrypoints.server.container import ServerContainer
from entrypoints.server.options import server_options
from entrypoints.settings import CONTEXT, read_password
from entrypoints.version import PACKAGE, version

log = logging.getLogger(__name__)

DESCRIPTORS = 64
"""How many descriptors the process may need beside those of its clients."""


@click.command(context_settings=CONTEXT)
@server_options
@click.version_option(package_name=PACKAGE, prog_name="kv-server")
def main(**settings: Any) -> None:
    """Serve a JSON key-value store over TCP, one JSON object a line each way.

    Every option can also be set by an environment variable (KV_PORT for --port) or in the file
    named by --config (port = 7379). The command line wins, then the environment, then the file.
    """
    settings["password"] = read_password(settings["password_file"])
    _check(settings)
    end_log = logs.start(logs.to_standard_error, settings["log_level"], settings["log_format"])
    try:
        _fit_clients(settings)
        _serve(settings)
    finally:
        end_log()


def _serve(settings: Dict[str, Any]) -> None:
    container = ServerContainer()
    container.config.from_dict(settings)
    try:
        container.limits()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    certificates, server = container.certificates(), container.server()
    if settings["tls_cert"]:
        with _told("cannot use the TLS files"):
            certificates.load()
    with _told(f"cannot listen on {settings['host']} port {settings['port']}"):
        host, port = server.bind()
    keep_buffers()
    stopping = Event()
    watchers = [gevent.signal_handler(number, stopping.set) for number in _ENDING]
    if settings["tls_cert"]:
        watchers.append(gevent.signal_handler(signal.SIGHUP, partial(_reload, certificates)))
    housekeeper = container.housekeeper()
    server.start()
    housekeeper.start()
    scheme = "kvs" if settings["tls_cert"] else "kv"
    host = f"[{host}]" if ":" in host else host
    click.echo(f"kv-server {version()} listens on {scheme}://{host}:{port}")
    notify("READY=1")
    stopping.wait()
    log.info("stopping")
    for watcher in watchers:
        watcher.cancel()
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once
    notify("STOPPING=1")
    housekeeper.stop()
    server.stop(settings["shutdown_grace"])
    log.info("stopped")


def _check(settings: Dict[str, Any]) -> None:
    """Raise for settings that are safe only together with others."""
    if settings["tls_cert"] is None and (settings["tls_key"] or settings["tls_client_ca"]):
        raise click.UsageError("--tls-key and --tls-client-ca need --tls-cert")
    guarded = settings["password"] or settings["tls_client_ca"] or settings["insecure"]
    if not guarded and not _is_loopback(settings["host"]):
        raise click.UsageError(
            f"{settings['host']} can be reached from other machines: set a password "
            "(--password-file or KV_PASSWORD), or say --insecure"
        )


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return True  # binding will tell what is wrong with it
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)


def _fit_clients(settings: Dict[str, Any]) -> None:
    """Let the process have a descriptor for each client, or take fewer clients."""
    wanted = settings["max_clients"] + SPARE + DESCRIPTORS
    allowed = allow_descriptors(wanted)
    if allowed < wanted:
        settings["max_clients"] = max(1, allowed - SPARE - DESCRIPTORS)
        why = f"the system allows {allowed} open files"
        log.warning("lowered max_clients", extra={"to": settings["max_clients"], "why": why})


def _reload(certificates: Certificates) -> None:
    try:
        certificates.load()
    except OSError as error:
        log.error("kept the old certificate", extra={"why": str(error)})
    else:
        log.info("read the certificate again")


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Ends the program with one line for what the system refuses."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"{what}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """The system's own words, to which `create_server` adds the address once more."""
    if isinstance(error, (socket.gaierror, ssl.SSLError)):
        return str(error.strerror or error)
    return os.strerror(error.errno or 0)


_ENDING = (signal.SIGINT, signal.SIGTERM)


if __name__ == "__main__":
    main(prog_name="kv-server")
