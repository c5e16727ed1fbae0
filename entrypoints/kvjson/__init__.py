"""A JSON-native, in-memory key-value store: the library for Python programs.

    import kvjson

    with kvjson.Client("kv://127.0.0.1:7379") as client:
        client["user:1"] = {"name": "Ada"}
        client.get("user:1")

The wheel installs this module at the top; all that it has is defined in `entrypoints.library`.
"""

from entrypoints.library import *  # noqa: F403 - `__all__` there says what is public
