"""The names of a journal's files, and what is wrong with them.

`journal-N` are the frames in their order; `snapshot-N` holds the keys as they were when `journal-N`
began or later, so that the files before it are needed no more. `closed` is there while nothing
writes, after a clean stop: a header with the number of the last frame.
"""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional

from adapters.storage.journal.disk import Disk

NEW = ".new"
"""The end of the name of a snapshot that is not complete."""

CLOSED = "closed"

_NAME = re.compile(r"(journal|snapshot)-(\d{10})(\.new)?")


class Damage(Exception):
    """A file is not as it was written. `offset` is where the good part ends."""

    def __init__(self, name: str, offset: int, why: str) -> None:
        super().__init__(f"{name} is damaged at offset {offset}: {why}")


def journal_name(index: int) -> str:
    """The name of the file with the frames from a snapshot on."""
    return f"journal-{index:010}"


def snapshot_name(index: int) -> str:
    """The name of a snapshot."""
    return f"snapshot-{index:010}"


class Files(NamedTuple):
    """The files of a directory: those to read, in order; what is left of a rewrite; those behind a
    journal that is missing; the names of missing files. `sizes` are those of all files."""

    snapshot: Optional[int]
    journals: List[int]
    leftovers: List[str]
    unreachable: List[str]
    missing: List[str]
    sizes: Dict[str, int]

    @property
    def is_journal(self) -> bool:
        """Whether any of them belongs to a journal."""
        return CLOSED in self.sizes or any(_matches(self.sizes))

    @property
    def next_index(self) -> int:
        """The first number that no file has had."""
        return 1 + max((int(match[2]) for match in _matches(self.sizes)), default=0)


def files_in(disk: Disk) -> Files:
    """What there is."""
    sizes = disk.names()
    found: Dict[str, List[int]] = {"journal": [], "snapshot": []}
    leftovers = [CLOSED] if CLOSED in sizes else []
    for match in _matches(sizes):
        if match[3]:
            leftovers.append(match[0])
        else:
            found[match[1]].append(int(match[2]))
    snapshot = max(found["snapshot"], default=None)
    first = 1 if snapshot is None else snapshot
    leftovers += [snapshot_name(index) for index in found["snapshot"] if index < first]
    leftovers += [journal_name(index) for index in found["journal"] if index < first]
    needed = [index for index in found["journal"] if index >= first]
    missing = []
    if snapshot is None and needed and needed[0] > first:
        first = needed[0]
        missing.append(snapshot_name(first))
    journals = [index for at, index in enumerate(needed, first) if index == at]
    behind = [journal_name(index) for index in needed[len(journals) :]]
    if behind or (snapshot is not None and not journals):
        missing.append(journal_name(first + len(journals)))
    return Files(snapshot, journals, leftovers, behind, missing, sizes)


def _matches(names: Dict[str, int]) -> List[re.Match[str]]:
    return [match for name in sorted(names) if (match := _NAME.fullmatch(name))]
