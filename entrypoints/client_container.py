"""The client's parts, and which of them go together."""

from __future__ import annotations

import select
from typing import Any, ClassVar, Mapping

from dependency_injector import containers, providers

from adapters.client.address import Address
from adapters.client.asyncio_pool import AsyncioPool
from adapters.client.asyncio_tcp import AsyncioConnection
from adapters.client.awaited import InThreads
from adapters.client.connection import Session
from adapters.client.json_lines.session import ClientSession
from adapters.client.network import Network, TlsConfig
from adapters.client.pool import Pool
from adapters.client.python_values import from_json, is_plain
from adapters.client.tcp import TcpClient
from application.ports import AsyncExecutor, Pipelined
from entrypoints.engine import new_executor
from entrypoints.engine_address import EngineOptions
from entrypoints.providers import when
from entrypoints.socket_apis import gevent_api, original, threads_api


def _new_poll() -> Any:
    """The system's `poll`, also where gevent has put its own in the place, which costs more: it is
    only ever asked what is ready now."""
    return original(select, "poll")()


class ClientContainer(containers.DeclarativeContainer):
    """Building it connects to nothing; the first command does. Any part can be overridden."""

    config = providers.Configuration(
        strict=True,
        default={
            "unix_path": None,
            "tls_server_name": None,
            "values": "texts",
            "engine": None,
        },
    )

    socket_api = providers.Selector(
        config.network,
        threads=providers.Callable(threads_api, config.busy_poll.as_float()),
        gevent=providers.Callable(gevent_api),
    )
    tls_config = when(
        config.tls, providers.Factory(TlsConfig, config.tls_ca, config.tls_cert, config.tls_key)
    )
    network = providers.Singleton(Network, socket_api, tls_config)
    address = providers.Factory(
        Address, config.host, config.port.as_int(), config.unix_path, config.tls_server_name
    )
    engine_network = providers.Singleton(
        Network,
        providers.Selector(
            config.network,
            threads=providers.Callable(threads_api, 0.0),
            gevent=providers.Callable(gevent_api),
        ),
        tls_config,
    )
    _engine_settings: ClassVar[Mapping[str, Any]] = {
        "address": config.engine,
        "network": engine_network,
        "host": config.host,
        "port": config.port.as_int(),
        "password": config.password,
        "options": providers.Factory(
            EngineOptions,
            config.max_connections.as_int(),
            config.connect_timeout.as_float(),
            config.timeout.as_float(),
            config.tls_server_name,
        ),
        "from_text": providers.Selector(
            config.values, texts=providers.Object(bytes), objects=providers.Object(from_json)
        ),
    }
    session: providers.Provider[Session] = providers.Selector(
        config.values,
        texts=providers.Factory(ClientSession, config.max_reply_bytes.as_int()),
        objects=providers.Factory(
            ClientSession,
            config.max_reply_bytes.as_int(),
            providers.Object(from_json),
            providers.Object(is_plain),
        ),
    )
    _connection_settings: ClassVar[Mapping[str, Any]] = {
        "address": address,
        "connect_timeout": config.connect_timeout.as_float(),
        "timeout": config.timeout.as_float(),
        "new_session": session.provider,
        "password": config.password,
        "new_poll": providers.Object(_new_poll),
    }
    _pool_settings: ClassVar[Mapping[str, Any]] = {
        "size": config.max_connections.as_int(),
        "attempts": config.attempts.as_int(),
        "wait": config.connect_timeout.as_float(),
        "total": config.total_timeout.as_float(),
    }
    tcp_connection = providers.Factory(
        TcpClient, connect=network.provided.connect, **_connection_settings
    )
    connection: providers.Provider[Pipelined] = when(
        config.engine, providers.Factory(new_executor, **_engine_settings), tcp_connection
    )
    pool = providers.Singleton(
        Pool, new_connection=tcp_connection.provider, network=network, **_pool_settings
    )
    executor: providers.Provider[Pipelined] = when(
        config.engine, providers.Singleton(new_executor, **_engine_settings), pool
    )
    asyncio_connection = providers.Factory(
        AsyncioConnection, tls=network.provided.tls, **_connection_settings
    )
    asyncio_pool = providers.Singleton(
        AsyncioPool, new_connection=asyncio_connection.provider, **_pool_settings
    )
    asyncio_executor: providers.Provider[AsyncExecutor] = when(
        config.engine, providers.Singleton(InThreads, executor), asyncio_pool
    )
