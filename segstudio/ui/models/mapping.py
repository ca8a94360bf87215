"""A label mapping while it is edited: which class becomes what, and why. One row per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal

from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.ui.models.legend import short_name
from segstudio.ui.models.scores import NumberTable
from segstudio.ui.palettes import ClassColor
from segstudio.ui.theme import theme

__all__ = ["MappingModel"]

Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()
IGNORED = "ignored"


class MappingModel(QAbstractTableModel):
    """Source classes with the target classes that each may be; the first is what it becomes.

    Attributes
    ----------
    edited : Signal
        Some class became another.
    """

    CLASS, BECOMES, ALSO, REASON = range(4)
    headers = ("Class", "Becomes", "Right as well", "Why")
    ColorRole = NumberTable.ColorRole
    edited = Signal()

    def __init__(self, source: LabelSpace, target: LabelSpace, parent: Any = None) -> None:
        super().__init__(parent)
        self.source, self.target = source, target
        self._chosen: list[tuple[str, ...]] = [()] * len(source)
        self._reasons: list[str] = [""] * len(source)
        self._suggested: dict[str, tuple[tuple[str, ...], str]] = {}
        self._text = ""
        self._only_unmapped = False
        self._rows = list(range(len(source)))

    # -- the mapping --------------------------------------------------------------------------

    def set_suggestions(self, suggested: Mapping[str, tuple[tuple[str, ...], str]]) -> None:
        """Say what classes could become: by source class, target classes and the reason."""
        self._suggested = dict(suggested)
        self._refresh()

    def set_mapping(self, mapping: LabelMapping) -> None:
        """Start from a mapping; names that are not of these label spaces are left out."""
        chosen: list[tuple[str, ...]] = [()] * len(self.source)
        for name, classes in mapping.pairs:
            here = self.source.find(name)
            if here is not None:
                known = [there.name for there in map(self.target.find, classes) if there]
                chosen[here.index] = tuple(dict.fromkeys(known))
        self._chosen = chosen
        self._reasons = [mapping.name if classes else "" for classes in chosen]
        self._arrange()
        self.edited.emit()

    def mapping(self, name: str) -> LabelMapping:
        """Return the mapping as it stands; classes that become ignored are not listed."""
        pairs = tuple(
            (entry.name, self._chosen[entry.index])
            for entry in self.source.classes
            if self._chosen[entry.index]
        )
        return LabelMapping(name, self.source.name, self.target.name, pairs)

    @property
    def unmapped(self) -> int:
        """How many classes become ignored."""
        return sum(not classes for classes in self._chosen)

    @property
    def open_suggestions(self) -> int:
        """How many classes become ignored although there is an idea."""
        return sum(
            not self._chosen[entry.index] and entry.name in self._suggested
            for entry in self.source.classes
        )

    def classes(self, index: int) -> tuple[str, ...]:
        """Return what a source class may be, by its class index."""
        return self._chosen[index]

    def set_classes(self, index: int, classes: Sequence[str], reason: str = "by hand") -> None:
        """Let a source class be these target classes, the first being what it becomes."""
        self._chosen[index] = tuple(classes)
        self._reasons[index] = reason if classes else ""
        self._refresh()
        self.edited.emit()

    def toggle(self, index: int, name: str) -> None:
        """Add a target class behind the others, or take it away."""
        chosen = self._chosen[index]
        rest = tuple(entry for entry in chosen if entry != name)
        self.set_classes(index, rest if name in chosen else (*chosen, name))

    def make_first(self, index: int, name: str) -> None:
        """Let a source class become this one; the others are right as well."""
        rest = (entry for entry in self._chosen[index] if entry != name)
        self.set_classes(index, (name, *rest))

    def accept_suggestions(self) -> None:
        """Give every class that becomes ignored what is suggested for it."""
        for entry in self.source.classes:
            if not self._chosen[entry.index] and entry.name in self._suggested:
                self._chosen[entry.index], self._reasons[entry.index] = self._suggested[entry.name]
        self._arrange()
        self.edited.emit()

    # -- what is shown ------------------------------------------------------------------------

    def set_filter(self, text: str, *, only_unmapped: bool = False) -> None:
        """Show only classes that hold each word, in their own name or what they become."""
        self._text, self._only_unmapped = text.strip().lower(), only_unmapped
        self._arrange()

    def class_of(self, row: int) -> int:
        """Return the class index of a row, -1 outside."""
        return self._rows[row] if 0 <= row < len(self._rows) else -1

    def row_of(self, index: int) -> int:
        """Return the row of a class, -1 when it is not shown."""
        return self._rows.index(index) if index in self._rows else -1

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of classes shown."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.headers)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a column's title."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.headers):
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        return self.headers[section] if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        place = self.class_of(index.row()) if index.isValid() else -1
        if place < 0:
            return None
        entry, chosen = self.source.classes[place], self._chosen[place]
        column = index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text_of(place, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            names = "; ".join(chosen) if column in (self.BECOMES, self.ALSO) else entry.name
            return names or None
        if role == Qt.ItemDataRole.ForegroundRole:
            faint = column == self.REASON or (column == self.BECOMES and not chosen)
            return theme().color("muted") if faint else None
        if role == self.ColorRole and column == self.CLASS:
            return ClassColor.of(entry)
        if role == self.ColorRole and column == self.BECOMES and chosen:
            there = self.target.find(chosen[0])
            return None if there is None else ClassColor.of(there)
        return None

    def _text_of(self, place: int, column: int) -> str:
        chosen, name = self._chosen[place], self.source.classes[place].name
        if column == self.CLASS:
            return short_name(name)
        if column == self.BECOMES:
            return short_name(chosen[0]) if chosen else IGNORED
        if column == self.ALSO:
            return ", ".join(short_name(entry) for entry in chosen[1:])
        if not chosen and name in self._suggested:
            idea = short_name(self._suggested[name][0][0])
            return f"{idea}?  ({self._suggested[name][1]})"
        return self._reasons[place]

    # -- inside -------------------------------------------------------------------------------

    def _arrange(self) -> None:
        self.beginResetModel()
        words = self._text.split()
        self._rows = []
        for entry in self.source.classes:
            chosen = self._chosen[entry.index]
            text = " ".join((entry.name, *chosen)).lower()
            if all(word in text for word in words) and not (self._only_unmapped and chosen):
                self._rows.append(entry.index)
        self.endResetModel()

    def _refresh(self) -> None:
        if self._rows:
            last = self.index(len(self._rows) - 1, len(self.headers) - 1)
            self.dataChanged.emit(self.index(0, 0), last)
