"""What a person made of the classes of a matrix: merged, hidden, and the way back. No Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segstudio.ui.models.confusion import ClassGroup

__all__ = ["Arrangement", "ArrangementHistory"]


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Merged and hidden classes, as class indices of a label space.

    Attributes
    ----------
    groups : tuple of ClassGroup
        Without common members.
    hidden : frozenset of int
        C stands for the column of ignored predictions.
    """

    groups: tuple[ClassGroup, ...] = ()
    hidden: frozenset[int] = frozenset()

    def to_names(self, names: Sequence[str]) -> dict[str, Any]:
        """Return it by the names of the classes, JSON-ready; ``names`` are the C classes'."""
        return {
            "groups": [
                {"name": group.name, "classes": [names[index] for index in group.members]}
                for group in self.groups
            ],
            "hidden": [names[index] for index in sorted(self.hidden) if index < len(names)],
        }

    @classmethod
    def from_names(cls, data: Mapping[str, Any], names: Sequence[str]) -> Arrangement:
        """Return what `to_names` said; what does not fit these classes is left out."""
        index_of = {name: index for index, name in enumerate(names)}
        groups: list[ClassGroup] = []
        taken: set[int] = set()
        entries = data.get("groups")
        for entry in entries if isinstance(entries, list) else ():
            if not isinstance(entry, dict) or not isinstance(entry.get("classes"), list):
                continue
            known = (index_of[name] for name in entry["classes"] if name in index_of)
            members = tuple(sorted(set(known) - taken))
            if len(members) > 1:
                taken.update(members)
                groups.append(ClassGroup(str(entry.get("name", "merged")), members))
        hidden = data.get("hidden")
        listed = hidden if isinstance(hidden, list) else []
        return cls(tuple(groups), frozenset(index_of[name] for name in listed if name in index_of))


class ArrangementHistory:
    """The present arrangement, and those before and after it.

    Attributes
    ----------
    now : Arrangement
    """

    def __init__(self) -> None:
        self.now = Arrangement()
        self._before: list[Arrangement] = []
        self._after: list[Arrangement] = []

    def reset(self, arrangement: Arrangement) -> None:
        """Begin anew, unless it is the present one."""
        if arrangement != self.now:
            self.now, self._before, self._after = arrangement, [], []

    def commit(self, arrangement: Arrangement) -> bool:
        """Make it the present one; False when it is already."""
        if arrangement == self.now:
            return False
        self._before.append(self.now)
        self._after.clear()
        self.now = arrangement
        return True

    def merge(self, members: Sequence[int], name: str) -> bool:
        """Make one class of several; groups of which one is a member dissolve in it."""
        chosen = set(members)
        if len(chosen) < 2:
            return False
        kept = tuple(group for group in self.now.groups if not chosen.intersection(group.members))
        group = ClassGroup(name.strip() or "merged", tuple(sorted(chosen)))
        return self.commit(Arrangement((*kept, group), self.now.hidden))

    def split(self, members: Sequence[int]) -> bool:
        """Make several classes of one again."""
        kept = tuple(group for group in self.now.groups if group.members != tuple(members))
        return self.commit(Arrangement(kept, self.now.hidden))

    def hide(self, hidden: frozenset[int]) -> bool:
        """Hide these classes, and only these."""
        return self.commit(Arrangement(self.now.groups, hidden))

    def undo(self) -> bool:
        """Go back; False at the beginning."""
        return self._step(self._before, self._after)

    def redo(self) -> bool:
        """Go forth again; False at the end."""
        return self._step(self._after, self._before)

    @property
    def can_undo(self) -> bool:
        """Whether there is something to take back."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether something was taken back."""
        return bool(self._after)

    def _step(self, source: list[Arrangement], other: list[Arrangement]) -> bool:
        if not source:
            return False
        other.append(self.now)
        self.now = source.pop()
        return True
