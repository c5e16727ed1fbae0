"""Every way a request can be refused, as one tree.

Rule: a refusal has one stable code, which clients in any language may rely on, and says who has to
act on it. A foreign error becomes one of these where the foreign call is made.
"""

from __future__ import annotations

import enum
from typing import ClassVar, Dict, Iterable, Optional, Type


class Blame(enum.Enum):
    """The side that can fix it: the client, or the operator of the server."""

    CLIENT = "client"
    SERVER = "server"


class KvError(Exception):
    """A request that was refused; the message says what was wrong, and where."""

    code: ClassVar[str] = "INTERNAL"
    blame: ClassVar[Blame] = Blame.SERVER
    index: Optional[int] = None
    """Which command of a batch it was."""


def detached(error: KvError) -> KvError:
    """The error without what led to it: the frames there lead back to what keeps the error, which
    is a cycle, and keep all that they refer to."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


class BadJson(KvError):
    """The line is not a JSON object, or holds JSON that a strict reader could not take back."""

    code = "BAD_JSON"
    blame = Blame.CLIENT


class BadRequest(KvError):
    """A member is missing, of the wrong type, not known, or not a legal key or value."""

    code = "BAD_REQUEST"
    blame = Blame.CLIENT


class UnknownCommand(KvError):
    """No command has this name."""

    code = "UNKNOWN_COMMAND"
    blame = Blame.CLIENT


class TooLarge(KvError):
    """A request or its reply is over one of the server's bounds."""

    code = "TOO_LARGE"
    blame = Blame.CLIENT


class NotANumber(KvError):
    """The value to count with is not a number."""

    code = "NOT_A_NUMBER"
    blame = Blame.CLIENT


class OutOfRange(KvError):
    """The number that a counter would come to cannot be kept."""

    code = "OUT_OF_RANGE"
    blame = Blame.CLIENT


class CrossSlot(KvError):
    """The keys are on several servers of a cluster, and cannot be read or changed together."""

    code = "CROSS_SLOT"
    blame = Blame.CLIENT


class OutOfMemory(KvError):
    """There is no room for what was to be stored."""

    code = "OUT_OF_MEMORY"


class Unauthenticated(KvError):
    """Authentication is required, or the password was wrong."""

    code = "UNAUTHENTICATED"
    blame = Blame.CLIENT


class LoginRequired(Unauthenticated):
    """The command needs the password first."""


class InvalidPassword(Unauthenticated):
    """The password was wrong."""


class TooManyClients(KvError):
    """The server has its maximum number of clients."""

    code = "TOO_MANY_CLIENTS"


class Unavailable(KvError):
    """The server, or the engine behind its store, cannot be reached."""

    code = "UNAVAILABLE"


class Loading(Unavailable):
    """The server does not have all its data in memory yet."""


class DiskFull(Unavailable):
    """There is no room on the disk for what was to be stored."""


class Unreachable(Unavailable):
    """There was no connection: the request was not sent, and has had no effect."""


class Misconfigured(Unavailable):
    """The engine behind the store cannot be used as it is set up, and no repetition will help."""


class TimedOut(KvError):
    """No reply came in time; whether the request took effect is not known."""

    code = "TIMEOUT"


class Internal(KvError):
    """A bug on the other side, logged there with its traceback."""


BY_CODE: Dict[str, Type[KvError]] = {kind.code: kind for kind in KvError.__subclasses__()}
"""The classes by code, for clients that raise again what a server refused."""


def raise_first(outcomes: Iterable[object]) -> None:
    """Raises the first error among the outcomes of some commands, if there is one."""
    for outcome in outcomes:
        if isinstance(outcome, KvError):
            raise outcome
