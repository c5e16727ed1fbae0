"""The version that is installed, under the name of the distribution that pip knows."""

from __future__ import annotations

PACKAGE = "kvjson"


def version() -> str:
    """The installed version, such as `0.1.0`."""
    import importlib.metadata  # slow to import, and a single command does not need it

    return importlib.metadata.version(PACKAGE)
