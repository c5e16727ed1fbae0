"""Runs the load generator `load.c`, which it compiles with the system's `cc` first.

The rule it keeps: a run that met an error, or no reply at all, is a failure with a reason and
never a number.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

SOURCE = Path(__file__).with_name("load.c")
COMPILE_SECONDS = 60.0
LONGEST_RUN_SECONDS = 180.0

Flag = str | int | float


class LoadError(Exception):
    """A run of the generator without a number, and the reason."""


class Outcome(msgspec.Struct, frozen=True):
    """What the generator printed of one run; the latency is that of a whole pipeline."""

    requests: int
    requests_per_second: float
    errors: int
    generator_cpu: float
    latency_us: dict[str, float]


def build(directory: Path) -> Path:
    """The compiled generator, in `directory`."""
    program = directory / "load"
    command = ["cc", "-O2", "-o", str(program), str(SOURCE)]
    subprocess.run(command, check=True, timeout=COMPILE_SECONDS)
    return program


def run(program: Path, *switches: str, **flags: Flag) -> Outcome:
    """One run of the generator; `value_bytes=20` is its `--value-bytes 20`."""
    command = [str(program), *switches]
    for name, value in flags.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    outcome = msgspec.json.decode(_output(command), type=Outcome)
    if outcome.errors:
        raise LoadError(f"{outcome.errors} of {outcome.requests} replies were failures")
    if not outcome.requests:
        raise LoadError("no reply within the run")
    return outcome


def _output(command: list[str]) -> bytes:
    try:
        return subprocess.run(
            command, check=True, capture_output=True, timeout=LONGEST_RUN_SECONDS
        ).stdout
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise LoadError(reason.removeprefix("load: ")) from error
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"no end within {error.timeout:.0f} s") from error
