"""A JSON-native, in-memory key-value store: the library for Python programs.

    import kvjson

    with kvjson.Client("kv://127.0.0.1:7379") as client:
        client["user:1"] = {"name": "Ada"}
        client.get("user:1")

Rule: the public names are those of `entrypoints.library`, which the first use of one of them loads.
The programs are modules of this package too and start without the library.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""Known to type checkers; a program is not to wait for `typing`."""

if TYPE_CHECKING:
    from typing import Any, List

    from entrypoints.library import *  # noqa: F403 - `__all__` there says what is public

    __version__: str
else:  # type checkers would take any name at all for one of ours

    def __getattr__(name: str) -> Any:
        """Return a public name of the library, `__all__` among them, or the installed version."""
        if name == "__version__":
            from importlib.metadata import version

            return version(__name__)
        from entrypoints import library

        if name != "__all__" and name not in library.__all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals().setdefault(name, getattr(library, name))

    def __dir__() -> List[str]:
        return [*__getattr__("__all__"), "__version__"]
