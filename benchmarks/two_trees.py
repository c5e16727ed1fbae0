"""Serves two checkouts in one process, each with a store and a port of its own, which it prints.

The rule it keeps: it knows of them only how a server is started, so that one may be an old commit.

    python benchmarks/two_trees.py ONE OTHER
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import gevent

LAYERS = ("domain", "application", "adapters", "entrypoints")


def serve(tree: str) -> gevent.Greenlet[..., object]:
    """A greenlet in which the server of a checkout runs."""
    for name in [name for name in sys.modules if name.partition(".")[0] in LAYERS]:
        del sys.modules[name]
    sys.path[0] = tree
    program = importlib.import_module("entrypoints.server.__main__")
    if Path(tree) not in Path(str(program.__file__)).parents:
        sys.exit(f"{program.__file__} is not in {tree}")
    arguments = ["--port", "0", "--log-level", "error"]
    server = gevent.spawn(program.main, arguments, standalone_mode=False)
    gevent.sleep(0.1)  # until it listens, and has imported all it needs
    return server


if __name__ == "__main__":
    gevent.joinall([serve(tree) for tree in sys.argv[1:]], raise_error=True)
