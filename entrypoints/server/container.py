"""The server's parts, and which of them go together."""

from __future__ import annotations

import time
from typing import Dict, Iterable, Optional

from dependency_injector import containers, providers

from adapters.gevent_tcp.connection import Connection, Session
from adapters.gevent_tcp.housekeeper import GeventHousekeeper
from adapters.gevent_tcp.server import GeventServer
from adapters.gevent_tcp.tls import Certificates, TlsSession
from adapters.process import resident_memory
from adapters.protocols.json_lines.guarded import GuardedSession
from adapters.protocols.json_lines.lines import Allowance
from adapters.protocols.json_lines.server import ServerSession
from application.executor import LocalExecutor
from application.limits import Limits
from application.password import Password
from application.ports import Executor
from application.stats import ServerStats
from domain.bounded import BoundedStore, EvictingStore
from domain.memory import InMemoryStore
from domain.store import Store
from entrypoints.version import version


def _policy(max_memory: int, policy: str) -> str:
    return policy if max_memory else "unbounded"


def _whether(setting: Optional[str]) -> str:
    return "yes" if setting else "no"


def _settings(
    config: providers.Configuration, names: Iterable[str]
) -> Dict[str, providers.ConfigurationOption]:
    return {name: getattr(config, name) for name in names}


class ServerContainer(containers.DeclarativeContainer):
    """Building it opens nothing; `server().bind()` does. Any part can be overridden."""

    config = providers.Configuration(strict=True)

    clock = providers.Object(time.monotonic)
    store: providers.Provider[Store] = providers.Selector(
        providers.Callable(_policy, config.max_memory.as_int(), config.memory_policy),
        unbounded=providers.Singleton(InMemoryStore, clock),
        refuse=providers.Singleton(BoundedStore, clock, config.max_memory.as_int()),
        evict=providers.Singleton(EvictingStore, clock, config.max_memory.as_int()),
    )
    limits = providers.Singleton(Limits, **_settings(config, Limits.__struct_fields__))
    executor: providers.Provider[Executor] = providers.Singleton(LocalExecutor, store, limits)
    figures = providers.Singleton(
        ServerStats,
        providers.Callable(version),
        limits,
        clock,
        resident_memory=providers.Object(resident_memory),
    )
    allowance = providers.Singleton(Allowance, limits.provided.max_input_bytes)
    password = providers.Singleton(Password, config.password, clock)
    conversation: providers.Provider[ServerSession] = providers.Selector(
        providers.Callable(_whether, config.password),
        no=providers.Factory(ServerSession, executor, limits, figures, allowance),
        yes=providers.Factory(GuardedSession, executor, limits, figures, allowance, password),
    )
    certificates = providers.Singleton(
        Certificates, config.tls_cert, config.tls_key, config.tls_client_ca
    )
    session: providers.Provider[Session] = providers.Selector(
        providers.Callable(_whether, config.tls_cert),
        no=conversation,
        yes=providers.Factory(TlsSession, certificates, conversation.provider),
    )
    connection = providers.Object(Connection)
    server = providers.Singleton(
        GeventServer,
        host=config.host,
        port=config.port.as_int(),
        new_session=session.provider,
        limits=limits,
        clock=clock,
        connection=connection,
    )
    housekeeper = providers.Singleton(GeventHousekeeper, tidy=store.provided.tidy)
