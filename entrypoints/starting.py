"""What Ctrl-C does while a program is imported.

Rule: it ends the process at once. An exception would pass through the modules that are being
imported, and some of them make another one of it. Nothing is imported here that takes time.
"""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended, as shells have it."""


class Importing:
    """Within it SIGINT ends the process, unless it is ignored or somebody's already."""

    def __enter__(self) -> None:
        self._handler = signal.getsignal(signal.SIGINT)
        if self._handler is signal.default_int_handler:
            signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))

    def __exit__(self, *_: object) -> None:
        if self._handler is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.default_int_handler)
