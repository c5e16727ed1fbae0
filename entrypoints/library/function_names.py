"""Names by which functions are told apart in all programs.

Rule: no two functions have the same name here; one that others may have is refused.
"""

from __future__ import annotations

import inspect
import weakref
from types import BuiltinFunctionType, FunctionType
from typing import Any, Dict

_NAMED: Dict[str, weakref.ref[Any]] = {}
"""The functions that were decorated in this process, by name."""


def importable_name(function: Any) -> str:
    """The name that no other function has; raises `TypeError` where there is none."""
    why = _why_ambiguous(function)
    if why:
        raise TypeError(f"cached() needs name=...: {function!r:.100} {why}")
    name = f"{function.__module__}.{function.__qualname__}"
    if isinstance(function, FunctionType):
        other = _NAMED[name]() if name in _NAMED else None
        if other is not None and other is not function and other.__code__ is function.__code__:
            raise TypeError(f"cached() needs name=...: there are several functions {name}")
        _NAMED[name] = weakref.ref(function)
    return name


def _why_ambiguous(function: Any) -> str:
    """Why another function may have the same module and name; empty when none has."""
    if not isinstance(function, (FunctionType, BuiltinFunctionType)):
        return "is no plain function"
    if isinstance(function, BuiltinFunctionType) and not inspect.ismodule(function.__self__):
        return "is the method of an object"
    if "<" in function.__qualname__:
        return "has no name of its own"
    if function.__module__ in (None, "__main__"):
        return "is of a script, and all scripts are called __main__"
    if hasattr(function, "__wrapped__"):
        return "wraps another function and has its name"
    if isinstance(function, FunctionType) and function.__code__.co_name != function.__name__:
        return "was renamed"
    return ""
