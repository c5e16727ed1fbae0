"""The client's parts, and which of them go together."""

from __future__ import annotations

import os
import queue
import select
import socket
import ssl
import sys
import time
from functools import partial
from typing import Any

from dependency_injector import containers, providers

from adapters.client.address import Address
from adapters.client.asyncio_pool import AsyncioConnection, AsyncioPool
from adapters.client.busy_poll_socket import BusyPollSocket
from adapters.client.json_lines import ClientSession
from adapters.client.network import Network, SocketApi, TlsConfig
from adapters.client.pool import Pool
from adapters.client.tcp import Session, TcpClient
from application.ports import Pipelined


def threads_api(busy_poll: float) -> SocketApi:
    """That of the standard library: gevent's in a program that gevent has patched, however late, so
    each part is looked up when it is needed."""
    return SocketApi(
        socket,
        ssl,
        lambda: queue.SimpleQueue(),
        lambda seconds: time.sleep(seconds),
        partial(_busy_polling, busy_poll) if busy_poll > 0 else None,
    )


def _busy_polling(seconds: float, sock: Any) -> Any:
    """A socket that busy-polls; one of gevent's as it is, since busy-polling keeps other greenlets
    from running."""
    yield_cpu = getattr(os, "sched_yield", None)
    if yield_cpu is None or type(sock).__module__ != "socket":
        return sock
    return BusyPollSocket(sock, yield_cpu, seconds)


def gevent_api() -> SocketApi:
    """That of gevent, in a program that it has not patched."""
    import gevent.queue
    import gevent.socket
    import gevent.ssl

    return SocketApi(gevent.socket, gevent.ssl, gevent.queue.Queue, gevent.sleep)


def _new_poll() -> Any:
    """The system's `poll`, also where gevent has put its own in the place, which costs more: it is
    only ever asked what is ready now."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey.get_original("select", "poll")() if monkey else select.poll()


def _whether(setting: Any) -> str:
    return "yes" if setting else "no"


class ClientContainer(containers.DeclarativeContainer):
    """Building it connects to nothing; the first command does. Any part can be overridden."""

    config = providers.Configuration(
        strict=True, default={"unix_path": None, "tls_server_name": None}
    )

    socket_api = providers.Selector(
        config.network,
        threads=providers.Callable(threads_api, config.busy_poll.as_float()),
        gevent=providers.Callable(gevent_api),
    )
    tls_config = providers.Selector(
        providers.Callable(_whether, config.tls),
        no=providers.Object(None),
        yes=providers.Factory(TlsConfig, config.tls_ca, config.tls_cert, config.tls_key),
    )
    network = providers.Singleton(Network, socket_api, tls_config)
    address = providers.Factory(
        Address, config.host, config.port.as_int(), config.unix_path, config.tls_server_name
    )
    session: providers.Provider[Session] = providers.Factory(
        ClientSession, max_reply_bytes=config.max_reply_bytes.as_int()
    )
    connection = providers.Factory(
        TcpClient,
        address=address,
        connect_timeout=config.connect_timeout.as_float(),
        timeout=config.timeout.as_float(),
        new_session=session.provider,
        connect=network.provided.connect,
        password=config.password,
        new_poll=providers.Object(_new_poll),
    )
    executor: providers.Provider[Pipelined] = providers.Singleton(
        Pool,
        new_connection=connection.provider,
        network=network,
        size=config.max_connections.as_int(),
        attempts=config.attempts.as_int(),
        wait=config.connect_timeout.as_float(),
        total=config.total_timeout.as_float(),
    )
    asyncio_connection = providers.Factory(
        AsyncioConnection,
        address=address,
        connect_timeout=config.connect_timeout.as_float(),
        timeout=config.timeout.as_float(),
        new_session=session.provider,
        tls=network.provided.tls,
        password=config.password,
        new_poll=providers.Object(_new_poll),
    )
    asyncio_executor = providers.Singleton(
        AsyncioPool,
        new_connection=asyncio_connection.provider,
        size=config.max_connections.as_int(),
        attempts=config.attempts.as_int(),
        wait=config.connect_timeout.as_float(),
        total=config.total_timeout.as_float(),
    )
