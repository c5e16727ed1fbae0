"""The client's parts, and which of them go together."""

from __future__ import annotations

import os
import queue
import socket
import ssl
import time
from functools import partial
from typing import Any

from dependency_injector import containers, providers

from adapters.client.asyncio_pool import AsyncioConnection, AsyncioPool
from adapters.client.busy_poll_socket import AwakeSocket
from adapters.client.json_lines import ClientSession
from adapters.client.network import Modules, Network, Trust
from adapters.client.pool import Pool
from adapters.client.tcp import Session, TcpClient
from application.ports import Pipelined


def _threads(busy_poll: float) -> Modules:
    """Those of the standard library. In a program that gevent has patched they are gevent's, and
    whoever stays awake keeps other greenlets from running."""
    give_way = getattr(os, "sched_yield", None)
    awake = None
    if busy_poll > 0 and give_way and socket.socket.__module__ == "socket":
        awake = partial(AwakeSocket, give_way=give_way, moment=busy_poll)
    return Modules(socket, ssl, queue.SimpleQueue, time.sleep, awake)


def _gevent() -> Modules:
    import gevent.queue
    import gevent.socket
    import gevent.ssl

    return Modules(gevent.socket, gevent.ssl, gevent.queue.Queue, gevent.sleep)


def _whether(setting: Any) -> str:
    return "yes" if setting else "no"


class ClientContainer(containers.DeclarativeContainer):
    """Building it connects to nothing; the first command does. Any part can be overridden."""

    config = providers.Configuration(strict=True)

    modules = providers.Selector(
        config.network,
        threads=providers.Callable(_threads, config.busy_poll.as_float()),
        gevent=providers.Callable(_gevent),
    )
    trust = providers.Selector(
        providers.Callable(_whether, config.tls),
        no=providers.Object(None),
        yes=providers.Factory(Trust, config.tls_ca, config.tls_cert, config.tls_key),
    )
    network = providers.Singleton(Network, modules, trust)
    session: providers.Provider[Session] = providers.Factory(
        ClientSession, max_reply_bytes=config.max_reply_bytes.as_int()
    )
    connection = providers.Factory(
        TcpClient,
        host=config.host,
        port=config.port.as_int(),
        connect_timeout=config.connect_timeout.as_float(),
        timeout=config.timeout.as_float(),
        new_session=session.provider,
        connect=network.provided.connect,
        password=config.password,
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
        host=config.host,
        port=config.port.as_int(),
        connect_timeout=config.connect_timeout.as_float(),
        timeout=config.timeout.as_float(),
        new_session=session.provider,
        tls=network.provided.tls,
        password=config.password,
    )
    asyncio_executor = providers.Singleton(
        AsyncioPool,
        new_connection=asyncio_connection.provider,
        size=config.max_connections.as_int(),
        attempts=config.attempts.as_int(),
        wait=config.connect_timeout.as_float(),
        total=config.total_timeout.as_float(),
    )
