"""The server program `kv-server`: `python -m kvjson.server`.

Rule: Ctrl-C ends it without a traceback from its start on, while its modules are imported too.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
"""Known to type checkers; to import `typing` takes longer than all the rest."""

if TYPE_CHECKING:
    from typing import Any


def main(**options: Any) -> None:
    """Import the program and run it."""
    try:
        from entrypoints.starting import Importing

        with Importing():
            from entrypoints.server.__main__ import main as program

        program(**options)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(prog_name="kv-server")
