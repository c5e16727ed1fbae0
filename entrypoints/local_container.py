"""The parts of a client with a store of its own in the same process."""

from __future__ import annotations

import _thread
import queue
import time

from dependency_injector import containers, providers

from adapters.client.json_lines.session import ClientSession
from adapters.client.loopback import Loopback, LoopbackLink
from adapters.client.python_values import from_json, is_plain
from adapters.client.worker import ThreadApi, Worker
from adapters.process import resident_memory
from adapters.protocols.first_bytes import FirstBytes, Protocol
from adapters.protocols.json_lines.codec import JsonLinesCodec, begins_json_lines
from application.conversation import Conversation
from application.executor import LocalExecutor
from application.limits import Limits
from application.long_requests import LongRequests
from application.pause import Pause
from application.ports import Executor, Pipelined
from application.service import Service
from application.stats import ServerStats
from domain.memory import InMemoryStore
from domain.store import Store
from entrypoints.client_settings import DEFAULTS
from entrypoints.socket_apis import original
from entrypoints.version import version

WORKER = Worker(
    ThreadApi(
        start_new_thread=original(_thread, "start_new_thread"),
        new_lock=original(_thread, "allocate_lock"),
        new_rlock=original(_thread, "RLock"),
        new_queue=original(queue, "SimpleQueue"),
    )
)
"""That of all local clients."""


class LocalContainer(containers.DeclarativeContainer):
    """Everything of a server and of a client but the network. Any part can be overridden."""

    clock = providers.Object(time.monotonic)
    store: providers.Provider[Store] = providers.Singleton(InMemoryStore, clock)
    limits = providers.Singleton(Limits)
    stats = providers.Singleton(
        ServerStats,
        providers.Callable(version),
        limits,
        clock,
        resident_memory=providers.Object(resident_memory),
    )
    server_executor: providers.Provider[Executor] = providers.Singleton(
        LocalExecutor, store, limits, stats.provided.report
    )
    json_lines = providers.Factory(JsonLinesCodec, limits)
    protocols = providers.Singleton(
        FirstBytes,
        providers.List(
            providers.Factory(Protocol, providers.Object(begins_json_lines), json_lines.provider),
        ),
    )
    service = providers.Singleton(
        Service,
        server_executor,
        protocols,
        limits,
        stats,
        providers.Singleton(LongRequests),
        providers.Singleton(Pause, clock),
    )
    conversation = providers.Factory(Conversation, service, providers.Singleton(LoopbackLink))
    session = providers.Factory(
        ClientSession,
        DEFAULTS["max_reply_bytes"],
        providers.Object(from_json),
        providers.Object(is_plain),
    )
    executor: providers.Provider[Pipelined] = providers.Singleton(
        Loopback, session.provider, conversation.provider, providers.Object(WORKER.run)
    )
