"""What Python programs import, as `kvjson`."""

from __future__ import annotations

from adapters.client.python_values import NotOfType
from domain.errors import (
    BadJson,
    BadRequest,
    Internal,
    KvError,
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
from entrypoints.library.asyncio_client import AsyncClient
from entrypoints.library.client import Client
from entrypoints.library.queues import Answer, AsyncPipeline, Pipeline
from entrypoints.library.recipes import Lock, RateLimiter, cached
from entrypoints.library.requests import Page

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncPipeline",
    "BadJson",
    "BadRequest",
    "Client",
    "Internal",
    "KvError",
    "Lock",
    "NotANumber",
    "NotOfType",
    "OutOfMemory",
    "OutOfRange",
    "Page",
    "Pipeline",
    "RateLimiter",
    "TimedOut",
    "TooLarge",
    "TooManyClients",
    "Unauthenticated",
    "Unavailable",
    "UnknownCommand",
    "Unreachable",
    "cached",
]
