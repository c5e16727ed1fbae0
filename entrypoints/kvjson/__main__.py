"""The client program `kv`: `python -m kvjson`.

Rule: Ctrl-C ends it without a traceback from its start on, while its modules are imported too.
"""

from __future__ import annotations

import sys
from typing import Any


def main(**options: Any) -> None:
    """Import the program and run it."""
    try:
        from entrypoints.client.__main__ import main as program

        program(**options)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(prog_name="kv")
