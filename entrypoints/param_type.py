"""The base of our parameter types, a choice, and what a function parses.

Rule: an error quotes the beginning of what was typed. click's types are generic in its newer
versions, and there for mypy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional

import click

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
    AnyChoice = click.Choice[str]
else:
    ParamType = click.ParamType
    AnyChoice = click.Choice


class Choice(AnyChoice):
    """One of some words."""

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Any:
        return super().convert(value[:100], param, ctx)


class Parsed(ParamType):
    """What `parse` makes of a text. Where it raises `ValueError`, the message is `shown`, filled
    in; that quotes no text that may hold a password."""

    def __init__(self, name: str, parse: Callable[[str], Any], shown: str = "{error}") -> None:
        self.name = name
        self._parse = parse
        self._shown = shown

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Any:
        if not isinstance(value, str):
            return value  # parsed already
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(self._shown.format(value=value, error=error), param, ctx)
