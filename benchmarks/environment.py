"""What the measurements have in common besides the servers: where they were made, and with what.

The rule it keeps: results name the machine and the versions that they hold for; progress goes to
standard error, so that standard output is the table alone.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shlex
import sys
import sysconfig
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from benchmarks.results import OURS
from benchmarks.servers import BY_NAME, AbsentError, Running, Server, started

PACKAGES = ("gevent", "msgspec")


def say(text: str) -> None:
    """Tell what is going on."""
    print(text, file=sys.stderr, flush=True)


def today() -> str:
    """The date of a result."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def command_line(module: str) -> str:
    """How the program was called, for a reader to do it again."""
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def machine() -> dict[str, str]:
    """The processor and the system."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.+)", text)
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": str(text.count("processor\t")),
        "system": f"{platform.system()} {platform.release()}",
    }


def processor_seconds(pid: int) -> float:
    """The processor time that a process has taken, with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def interpreter() -> str:
    """The Python that runs this, and how it was built; the system's does not tell."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    build = "optimised" if "--enable-optimizations" in arguments else "not optimised"
    return f"{platform.python_version()}, {'system' if sys.base_prefix == '/usr' else build} build"


def versions(servers: Iterable[str], packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The versions of Python, of packages and of the servers of these names that are here."""
    found = {"python": interpreter()}
    found |= {package: importlib.metadata.version(package) for package in packages}
    for name in servers:
        with suppress(AbsentError):
            found[name] = BY_NAME[name].version()
    return {name: version for name, version in found.items() if not name.startswith(OURS)}


def start_servers(
    stack: ExitStack, servers: Sequence[Server]
) -> tuple[list[Running], dict[str, str]]:
    """Those of the servers that can run, until the stack ends, and why the others cannot."""
    running: list[Running] = []
    absent: dict[str, str] = {}
    for server in servers:
        try:
            running.append(stack.enter_context(started(server)))
        except AbsentError as reason:
            absent[server.name] = str(reason)
            say(f"{server.name} is absent: {reason}")
    return running, absent
