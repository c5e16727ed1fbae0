"""A provider that the containers share."""

from __future__ import annotations

from typing import Any

from dependency_injector import providers

NOTHING: providers.Provider[Any] = providers.Object(None)


def when(
    setting: providers.Provider[Any],
    there: providers.Provider[Any],
    otherwise: providers.Provider[Any] = NOTHING,
) -> providers.Selector[Any]:
    """Provides what `there` does where a setting is given, neither empty nor 0."""
    which = providers.Callable(lambda value: "there" if value else "otherwise", setting)
    return providers.Selector(which, there=there, otherwise=otherwise)
