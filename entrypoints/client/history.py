"""The history of the prompt.

Rule: it is for its owner alone and holds no password; one that cannot be written is kept in memory.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Iterable

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from entrypoints.client.words import commands_in, words


def history() -> History:
    """The history of this user, or one in memory where there cannot be a file."""
    try:
        state = Path(os.environ.get("XDG_STATE_HOME", ""))
        if not state.is_absolute():
            state = Path.home() / ".local" / "state"
        folder = state / "kvjson"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / "history"
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600))
        os.chmod(path, 0o600)
        return PrivateHistory(str(path))
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return SessionHistory()


class _Discreet(History):
    """Keeps no text that holds a password, not even while the program runs."""

    def append_string(self, string: str) -> None:
        if not holds_password(string):
            super().append_string(string)


class SessionHistory(_Discreet, InMemoryHistory):
    """A history that ends with the program."""


class PrivateHistory(_Discreet, FileHistory):
    """A history in a file; what cannot be written there ends with the program."""

    def load_history_strings(self) -> Iterable[str]:
        try:
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)


_AUTH = re.compile(r"""^[\s'"]*auth|"auth\"""", re.IGNORECASE | re.MULTILINE)


def holds_password(text: str) -> bool:
    """Whether a text has an AUTH in it, however it is quoted."""
    firsts = [(words(command) or [""])[0] for command in commands_in(text)]
    return bool(_AUTH.search(text)) or any(first.lower() == "auth" for first in firsts)
