"""The server's parts, and which of them go together."""

from __future__ import annotations

import time

from dependency_injector import containers, providers

from adapters.gevent_housekeeper import GeventHousekeeper
from adapters.gevent_server import Connection, GeventServer, Session
from adapters.json_lines.server import Limits, ServerSession
from adapters.process import resident_memory
from application.executor import Executor, LocalExecutor
from application.report import Figures
from domain.bounded import BoundedStore, EvictingStore
from domain.memory import InMemoryStore
from domain.store import Store
from entrypoints.settings import VERSION


def _policy(max_memory: int, policy: str) -> str:
    return policy if max_memory else "unbounded"


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
    executor: providers.Provider[Executor] = providers.Singleton(LocalExecutor, store)
    limits = providers.Singleton(
        Limits,
        max_request_bytes=config.max_request_bytes.as_int(),
        max_reply_bytes=config.max_reply_bytes.as_int(),
        max_key_bytes=config.max_key_bytes.as_int(),
        max_keys_per_request=config.max_keys_per_request.as_int(),
    )
    figures = providers.Singleton(
        Figures, VERSION, clock, resident_memory=providers.Object(resident_memory)
    )
    session: providers.Provider[Session] = providers.Factory(
        ServerSession, executor, limits, figures
    )
    connection = providers.Object(Connection)
    server = providers.Singleton(
        GeventServer,
        host=config.host,
        port=config.port.as_int(),
        new_session=session.provider,
        connection=connection,
    )
    housekeeper = providers.Singleton(GeventHousekeeper, tidy=store.provided.tidy)
