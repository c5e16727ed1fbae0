"""Programs that use the library, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from tests.support import ROOT, TIMEOUT, environment


def python(
    program: str, *arguments: object, warnings: str = "error"
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; each warning is an error by default."""
    return subprocess.run(
        [sys.executable, "-W", warnings, "-c", textwrap.dedent(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        timeout=TIMEOUT,
    )


def complaints(program: str, *arguments: object, warnings: str = "error") -> str:
    """What a program complains of."""
    ended = python(program, *arguments, warnings=warnings)
    return ended.stderr or f"{ended.returncode or ''}"
