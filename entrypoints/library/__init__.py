"""The names that Python programs import from `kvjson`.

Rule: each says `kvjson` as its module, so that tracebacks, `help` and pickles name what programs
import, wherever it is defined.
"""

from __future__ import annotations

import logging
from typing import get_type_hints

from adapters.client.python_values import NotOfType
from application.limits import Limits
from domain.errors import (
    BadJson,
    BadRequest,
    CrossSlot,
    Internal,
    KvError,
    Misconfigured,
    NotANumber,
    OutOfMemory,
    OutOfRange,
    TimedOut,
    TooLarge,
    TooManyClients,
    Unauthenticated,
    Unavailable,
    UnknownCommand,
    Unreachable,
)
from entrypoints.client_settings import ClientOptions
from entrypoints.library.asyncio_client import AsyncClient
from entrypoints.library.buffers import AsyncPipeline, Pipeline
from entrypoints.library.caching import AsyncCachedFunction, CachedFunction, cached
from entrypoints.library.client import Client
from entrypoints.library.limiter import AsyncRateLimiter, RateLimiter
from entrypoints.library.locks import AsyncLock, Lock, LockLost
from entrypoints.library.requests import Page
from entrypoints.library.senders import PendingResult
from entrypoints.library.serving import EmbeddedServer, ServerOptions, serve

__all__ = [
    "AsyncCachedFunction",
    "AsyncClient",
    "AsyncLock",
    "AsyncPipeline",
    "AsyncRateLimiter",
    "BadJson",
    "BadRequest",
    "CachedFunction",
    "Client",
    "ClientOptions",
    "CrossSlot",
    "EmbeddedServer",
    "Internal",
    "KvError",
    "Limits",
    "Lock",
    "LockLost",
    "Misconfigured",
    "NotANumber",
    "NotOfType",
    "OutOfMemory",
    "OutOfRange",
    "Page",
    "PendingResult",
    "Pipeline",
    "RateLimiter",
    "ServerOptions",
    "TimedOut",
    "TooLarge",
    "TooManyClients",
    "Unauthenticated",
    "Unavailable",
    "UnknownCommand",
    "Unreachable",
    "cached",
    "serve",
]


def _name_the_module() -> None:
    for name in __all__:
        exported = globals()[name]
        if "__annotations__" in vars(exported):  # they are looked up in the module from then on
            exported.__annotations__ = get_type_hints(exported)
        exported.__module__ = "kvjson"


def _say_nothing_unasked() -> None:
    """What is logged goes where the program's logging sends it; without any, nowhere."""
    above = __name__.split(".")[:-2]
    for layer in ("adapters", "application", "domain", "entrypoints"):
        logging.getLogger(".".join([*above, layer])).addHandler(logging.NullHandler())


_name_the_module()
_say_nothing_unasked()
