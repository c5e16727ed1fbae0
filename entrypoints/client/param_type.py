"""The base of our parameter types, and a choice.

Rule: an error quotes the beginning of what was typed. click's types are generic in its newer
versions, and there for mypy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

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
