"""The server's life: settings, listening, signals, the end."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import ssl
from functools import partial
from typing import Any, Callable, Dict, Iterator, Sequence

import click
import gevent
from gevent.event import Event

from adapters import logs
from adapters.gevent_tcp.server import REJECT_RESERVE
from adapters.gevent_tcp.tls import Certificates
from adapters.process import allow_descriptors, keep_buffers, notify
from domain.effects import Observable
from domain.errors import Misconfigured, Unavailable
from domain.store import Restorable, Store
from entrypoints.address import ListenAddress
from entrypoints.data_directory import readable
from entrypoints.server.container import ServerContainer
from entrypoints.server.maintenance import maintain, maintenance_options
from entrypoints.server.options import server_options, server_settings
from entrypoints.settings.sources import CONTEXT
from entrypoints.streams import Program
from entrypoints.version import PACKAGE, version

log = logging.getLogger(__name__)

DESCRIPTORS = 64
"""How many descriptors the process may need beside those of its clients."""


@click.command(cls=Program, context_settings=CONTEXT)
@server_options
@maintenance_options
@click.version_option(package_name=PACKAGE, prog_name="kv-server")
@click.pass_context
def main(context: click.Context, /, **_: Any) -> None:
    """Serve a JSON key-value store over TCP: JSON lines, Redis's protocol and HTTP on one port.

    Every option can also be set by an environment variable (KV_PORT for --port) or in the file
    named by --config (port = 7379). The command line wins, then the environment, then the file.
    """
    maintain(context)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    settings, addresses, warnings = server_settings(context)
    end_log = logs.start(logs.to_standard_error, settings["log_level"], settings["log_format"])
    try:
        for warning in warnings:
            log.warning(warning)
        _fit_clients(settings)
        _serve(settings, addresses)
    finally:
        end_log()


def _serve(settings: Dict[str, Any], addresses: Sequence[ListenAddress]) -> None:
    container = ServerContainer()
    container.config.from_dict(
        {**settings, "listen": [address.as_tuple() for address in addresses]}
    )
    has_tls, data_dir = bool(settings["tls_cert"]), settings["data_dir"]
    reload = _certificates(container, has_tls)
    _open_keys(container, settings)
    server, housekeeper = container.server(), container.housekeeper()
    with _refusal("cannot listen on"):
        bound = [ListenAddress.of(*address).url(has_tls) for address in server.bind()]
    keep_buffers()
    gevent.signal_handler(signal.SIGHUP, reload)  # to the end of the process
    with _signalled() as stopping:
        server.start()
        keeper = container.journal_keeper() if data_dir else None
        if keeper:
            log.info("loading the journal", extra={"data_dir": data_dir, "url": " ".join(bound)})
            with readable(data_dir):
                keeper.load(stopping.is_set)
            _warn_of_memory(container.store())
            keeper.start()
        housekeeper.start()
        if not stopping.is_set():
            for url in bound:
                _announce(url)
            notify("READY=1")
        stopping.wait()
    log.info("stopping")
    notify("STOPPING=1")
    housekeeper.stop()
    server.stop(settings["shutdown_grace"])
    if keeper:
        keeper.stop()
    log.info("stopped")


@contextlib.contextmanager
def _signalled() -> Iterator[Event]:
    """An event that a signal to end sets; a second signal ends the program at once."""
    stopping = Event()
    watchers = [gevent.signal_handler(number, stopping.set) for number in _ENDING]
    yield stopping
    for watcher in watchers:
        watcher.cancel()
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)


def _certificates(container: ServerContainer, has_tls: bool) -> Callable[[], None]:
    """Loads the TLS files, if there are any; returns what does so again."""
    if not has_tls:
        return _nothing_to_reload
    certificates = container.certificates()
    with _refusal("cannot use"):
        certificates.load()
    return partial(_reload, certificates)


def _open_keys(container: ServerContainer, settings: Dict[str, Any]) -> None:
    """Finds the engine, or the directory, where the keys are."""
    if settings["store"]:
        _look_for_engine(container)
    else:
        _check_store(container.store(), settings)
    if settings["data_dir"]:
        with readable(settings["data_dir"]):
            container.data_directory().open()


def _check_store(store: Store, settings: Dict[str, Any]) -> None:
    """End the program with one line when a store that was put in the place of ours cannot do what
    the settings ask for."""
    name = type(store).__name__
    if settings["max_memory"] and store.stats().max_memory is None:
        raise click.UsageError(f"max_memory has no effect: {name} has no bound on its memory")
    if settings["data_dir"] and not (
        isinstance(store, Observable) and isinstance(store, Restorable)
    ):
        raise click.UsageError(f"data_dir needs a store that is Observable and Restorable: {name}")


def _warn_of_memory(store: Store) -> None:
    """Says that what was loaded is over the bound, and keys are not evicted."""
    stats = store.stats()
    if stats.memory and stats.max_memory and stats.memory > stats.max_memory:
        log.warning(
            "the keys are over max_memory: writes are refused",
            extra={"memory": stats.memory, "max_memory": stats.max_memory},
        )


def _look_for_engine(container: ServerContainer) -> None:
    """End the program with one line when the engine cannot be used as it is set up. One that does
    not answer yet may do so later."""
    try:
        store = container.store()
        if not hasattr(store, "describe"):
            name = type(store).__name__
            raise click.UsageError(f"store has no effect: {name} is in the place of an engine")
        engine = store.describe()
    except Misconfigured as error:
        raise click.ClickException(str(error)) from error
    except Unavailable as error:
        log.warning("the engine does not answer", extra={"why": str(error)})
    else:
        found = {"engine": f"{engine.name} {engine.version}", "role": engine.role}
        log.info("the keys are in an engine", extra=found)


def _announce(url: str) -> None:
    """Write to standard output, even if it is closed, and to the log where the server listens: it
    executes commands there from now on."""
    with contextlib.suppress(OSError):
        logs.to_standard_output(f"kv-server {version()} listens on {url}\n")
    log.info("listening", extra={"url": url, "version": version()})


def _fit_clients(settings: Dict[str, Any]) -> None:
    """Raise the limit on descriptors to fit the clients, or lower `max_clients` to fit it."""
    wanted = settings["max_clients"] + REJECT_RESERVE + DESCRIPTORS
    allowed = allow_descriptors(wanted)
    if allowed < wanted:
        settings["max_clients"] = max(1, allowed - REJECT_RESERVE - DESCRIPTORS)
        why = f"the system allows {allowed} open files"
        log.warning("lowered max_clients", extra={"to": settings["max_clients"], "why": why})


def _nothing_to_reload() -> None:
    log.info("nothing to reload: SIGHUP reloads the TLS files, and there are none")


def _reload(certificates: Certificates) -> None:
    try:
        certificates.load()
    except OSError as error:
        why = {"file": error.filename, "why": _reason(error)}
        log.error("kept the old certificate", extra=why)
    else:
        log.info("reloaded the certificate")


@contextlib.contextmanager
def _refusal(what: str) -> Iterator[None]:
    """End the program with one line when the system refuses."""
    try:
        yield
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise click.ClickException(f"{what}{where}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """The system's own message, without the address that `create_server` adds."""
    if isinstance(error, (socket.gaierror, ssl.SSLError)):
        return str(error.strerror or error)
    return os.strerror(error.errno or 0)


_ENDING = (signal.SIGINT, signal.SIGTERM)


if __name__ == "__main__":
    main(prog_name="kv-server")
