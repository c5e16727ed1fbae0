"""The parts of a client with a store of its own in the same process."""

from __future__ import annotations

import time

from dependency_injector import containers, providers

from adapters.client.json_lines import ClientSession
from adapters.client.loopback import Loopback
from adapters.process import resident_memory
from adapters.protocols.json_lines.lines import Allowance
from adapters.protocols.json_lines.server import ServerSession
from application.executor import LocalExecutor
from application.limits import Limits
from application.ports import Executor, Pipelined
from application.stats import ServerStats
from domain.memory import InMemoryStore
from domain.store import Store
from entrypoints.client_settings import DEFAULTS
from entrypoints.version import version


class LocalContainer(containers.DeclarativeContainer):
    """Everything of a server and of a client but the network. Any part can be overridden."""

    clock = providers.Object(time.monotonic)
    store: providers.Provider[Store] = providers.Singleton(InMemoryStore, clock)
    limits = providers.Singleton(Limits)
    server_executor: providers.Provider[Executor] = providers.Singleton(
        LocalExecutor, store, limits
    )
    stats = providers.Singleton(
        ServerStats,
        providers.Callable(version),
        limits,
        clock,
        resident_memory=providers.Object(resident_memory),
    )
    allowance = providers.Singleton(Allowance, limits.provided.max_input_bytes)
    conversation = providers.Factory(ServerSession, server_executor, limits, stats, allowance)
    session = providers.Factory(ClientSession, max_reply_bytes=DEFAULTS["max_reply_bytes"])
    executor: providers.Provider[Pipelined] = providers.Singleton(Loopback, session, conversation)
