"""Writes `entrypoints/library/methods.py` from the list of requests: run this module to do it."""

from __future__ import annotations

from pathlib import Path

from entrypoints.library import methods
from entrypoints.library.requests import REQUESTS

PATH = Path(methods.__file__)

_HEAD = '''"""The methods of the three kinds of clients, one for each request.

Rule: this file is made from the list of requests, by `python -m tests.library.methods`; a type
checker can follow no loop. Edit `requests.py` instead.
"""

from __future__ import annotations

from entrypoints.library import requests
from entrypoints.library.senders import (
    AwaitedSender,
    BlockingSender,
    BufferedSender,
    awaited,
    blocking,
    buffered,
)
'''

_CLASSES = {
    "blocking": "The commands, as calls that wait for their result.",
    "awaited": "The commands, as coroutines.",
    "buffered": "The commands, collected to be sent together.",
}


def written() -> str:
    """What the file has to be."""
    parts = [_HEAD]
    for decorator, doc in _CLASSES.items():
        kind = decorator.capitalize()
        methods = "\n".join(f"    {name} = {decorator}(requests.{name})" for name in REQUESTS)
        parts.append(f'class {kind}Methods({kind}Sender):\n    """{doc}"""\n\n{methods}\n')
    return "\n\n".join(parts)


if __name__ == "__main__":
    PATH.write_text(written(), encoding="utf-8")
