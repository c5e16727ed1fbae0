"""What is needed to undo the changes of one request.

Rule: the store notes what was in a slot before it changes the slot. Undoing goes backwards, so a
slot that changed more than once gets back what was there first, and nothing in between.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List, Optional, Tuple, Union

from domain.contents import Contents
from domain.deadlines import Slot


class UndoLog:
    """The slots and the contents that a request replaced, in their order."""

    def __init__(self) -> None:
        self._replaced: List[Union[Tuple[str, Optional[Slot]], Contents]] = []

    def note_slot(self, key: str, slot: Optional[Slot]) -> None:
        """The slot of `key`, None when there was none, is about to be replaced."""
        self._replaced.append((key, slot))

    def note_slots(self, slots: Iterable[Tuple[str, Optional[Slot]]]) -> None:
        """The slots of many keys are about to be replaced."""
        self._replaced += slots

    def note_contents(self, contents: Contents) -> None:
        """All of this is about to be replaced by nothing."""
        self._replaced.append(contents)

    def undo(
        self,
        restore: Callable[[Dict[str, Optional[Slot]]], None],
        exchange: Callable[[Contents], object],
    ) -> None:
        """Puts everything back, the last change first."""
        slots: Dict[str, Optional[Slot]] = {}
        for replaced in reversed(self._replaced):
            if isinstance(replaced, Contents):
                exchange(replaced)  # with all the slots that changed after it
                slots = {}
            else:
                slots[replaced[0]] = replaced[1]
        restore(slots)

    def cleared(self) -> List[Contents]:
        """The contents that nothing needs if nothing is undone."""
        return [replaced for replaced in self._replaced if isinstance(replaced, Contents)]
