"""Values of subclasses of the types that JSON has, such as the texts of web frameworks.

Rule: what is sent is the value as the class has it that is extended, whatever the subclass does.
"""

from __future__ import annotations

from typing import Any, Callable, Dict


def as_builtin(value: Any) -> Any:
    """Returns a value of a subclass of str, int or float as one of that class; raises `TypeError`
    for any other."""
    for kind, converted in _BUILTIN.items():
        if isinstance(value, kind):
            return converted(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


_BUILTIN: Dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
}
