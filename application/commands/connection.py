"""Commands about the connection and the server."""

from __future__ import annotations

from application.budget import Budget
from application.commands.base import Command, register
from application.stats import Report
from domain.store import Store


@register
class Ping(Command[str], tag="PING", gc=False):
    """Return "PONG"."""

    readonly = True
    has_one_text = True
    is_quick = True

    def run(self, store: Store, budget: Budget) -> str:
        return "PONG"


@register
class Info(Command[Report], tag="INFO", gc=False):
    """Return figures about the server and its keys."""

    readonly = True
    cost = 100

    def run(self, store: Store, budget: Budget) -> Report:
        return budget.report(store.stats())


@register
class Auth(Command[bool], tag="AUTH", kw_only=False, gc=False):
    """Log in with the password; true when it is correct. Without a server password any is
    accepted."""

    readonly = True
    is_quick = True
    in_batch = False

    password: str

    def run(self, store: Store, budget: Budget) -> bool:
        return True

    def __repr__(self) -> str:
        return "Auth(...)"
