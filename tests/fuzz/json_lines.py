"""Puts the codec to bytes that atheris thinks up, led by which of our lines they reach.

Invariant: whatever bytes arrive, in whatever pieces, the server's session returns one strict JSON
reply for each line that is not blank, never `INTERNAL` and never an exception, and what it stored
comes back equal; the client's session returns results and `KvError`s, or raises `Unavailable`.
Over RESP the server returns whole replies, none of which tells of a bug.

    python -m tests.fuzz.json_lines server|client|resp [libFuzzer's options and folders]

An input that breaks it is left in a file; when it no longer does, it is kept in `samples/`.
"""

from __future__ import annotations

import sys
from random import Random

import atheris

from tests.fuzz.mutations import mutated

with atheris.instrument_imports(include=["adapters", "application"]):
    from tests.fuzz.invariants import CHECKS
    from tests.fuzz.seeds import seeds, tokens


def main() -> None:
    program, side, *arguments = sys.argv
    vocabulary = tokens()
    lines = [line for seed in seeds()[side] for line in seed.splitlines(keepends=True)]

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = Random(seed)
        if chance.random() < 0.5:
            return bytes(atheris.Mutate(data, max_size))
        return mutated(data, chance, lines, vocabulary)[:max_size]

    atheris.Setup([program, *arguments], CHECKS[side], custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
