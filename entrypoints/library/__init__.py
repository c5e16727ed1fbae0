"""What Python programs import, as `kvjson`."""

from __future__ import annotations

from adapters.python_values import NotOfType
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
from entrypoints.library.client import Client
from entrypoints.library.queues import Answer, Pipeline
from entrypoints.library.requests import Page

__all__ = [
    "Answer",
    "BadJson",
    "BadRequest",
    "Client",
    "Internal",
    "KvError",
    "NotANumber",
    "NotOfType",
    "OutOfMemory",
    "OutOfRange",
    "Page",
    "Pipeline",
    "TimedOut",
    "TooLarge",
    "TooManyClients",
    "Unauthenticated",
    "Unavailable",
    "UnknownCommand",
    "Unreachable",
]
