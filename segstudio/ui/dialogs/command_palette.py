"""The command palette: one field that finds actions, images, classes and models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
)
from PySide6.QtGui import QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QDialog,
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.icons import draw_icon
from segstudio.ui.palettes import ClassColor
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.swatches import paint_class

__all__ = ["CommandPalette", "Entry", "rank"]

Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()
_LIMIT = 60


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that the palette can do.

    Attributes
    ----------
    title, hint : str
        Words at the left; quieter words at the right (keys, kind).
    icon : str
        A key of `segstudio.ui.icons.GLYPHS`.
    run : callable
        What happens.
    color : ClassColor or None
        A class's colour, drawn instead of the icon.
    """

    title: str
    hint: str
    icon: str
    run: Callable[[], Any]
    color: ClassColor | None = None


def rank(text: str, title: str) -> int | None:
    """Return how well ``text`` fits a title, smaller is better, None when it does not.

    Every word has to occur; the beginning of the title counts most, then beginnings of words.
    """
    words, lower = text.lower().split(), title.lower()
    score = 0
    for word in words:
        place = lower.find(word)
        if place < 0:
            return None
        at_word = place == 0 or not lower[place - 1].isalnum()
        score += (0 if place == 0 else 2 if at_word else 10) + min(place, 20) // 4
    return score


class _Entries(QAbstractListModel):
    EntryRole = Qt.ItemDataRole.UserRole + 1

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.entries: list[Entry] = []

    def set_entries(self, entries: list[Entry]) -> None:
        self.beginResetModel()
        self.entries = entries
        self.endResetModel()

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self.entries)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self.entries):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.entries[index.row()].title
        return self.entries[index.row()] if role == self.EntryRole else None


class _EntryDelegate(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(40 * GRID, 4 * GRID)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        entry: Entry = index.data(_Entries.EntryRole)
        colors = theme()
        rect: QRect = option.rect
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, colors.color("accent_soft"))
        box = QRect(rect.left() + 12, rect.center().y() - 8, 16, 16)
        if entry.color is None:
            draw_icon(painter, box, entry.icon, colors.color("muted"))
        else:
            paint_class(painter, box.adjusted(1, 1, -1, -1), entry.color)
        painter.setPen(colors.color("muted"))
        hint = rect.adjusted(0, 0, -12, 0)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(hint, right, entry.hint)
        taken = painter.fontMetrics().horizontalAdvance(entry.hint) + 3 * GRID
        text = rect.adjusted(40, 0, -taken, 0)
        painter.setPen(colors.color("text"))
        title = painter.fontMetrics().elidedText(
            entry.title, Qt.TextElideMode.ElideMiddle, text.width()
        )
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter, title)
        painter.restore()


class CommandPalette(QDialog):
    """A field and what it finds; Enter does the first.

    Parameters
    ----------
    entries : sequence of Entry
        Searched by title.
    find_more : callable
        Called with the text and a limit; returns further entries (images, which are too many to
        list).
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        find_more: Callable[[str, int], list[Entry]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent, Qt.WindowType.Popup | Qt.WindowType.FramelessWindowHint)
        self.setObjectName("palette")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._all = list(entries)
        self._find_more = find_more
        self.field = QLineEdit()
        self.field.setPlaceholderText("Type an action, an image, a class or a model")
        self.field.setAccessibleName("Command palette")
        self._model = _Entries(self)
        self.view = QListView()
        self.view.setModel(self._model)
        self.view.setItemDelegate(_EntryDelegate(self.view))
        self.view.setUniformItemSizes(True)
        self.view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(1, 1, 1, 6)
        layout.setSpacing(4)
        layout.addWidget(self.field)
        layout.addWidget(self.view)
        self.field.installEventFilter(self)
        self.field.textChanged.connect(self._search)
        self.view.clicked.connect(self._run)
        self._search("")
        self.setFixedSize(72 * GRID, 52 * GRID)
        if parent is not None:
            place = parent.mapToGlobal(parent.rect().topLeft())
            self.move(place.x() + (parent.width() - self.width()) // 2, place.y() + 8 * GRID)
        self.field.setFocus()

    def titles(self) -> list[str]:
        """Return what is listed."""
        return [entry.title for entry in self._model.entries]

    def _search(self, text: str) -> None:
        ranked = [
            (score, place, entry)
            for place, entry in enumerate(self._all)
            if (score := rank(text, entry.title)) is not None
        ]
        ranked.sort(key=lambda found: found[:2])
        entries = [entry for _, _, entry in ranked][:_LIMIT]
        if text.strip():
            entries += self._find_more(text.strip(), _LIMIT - len(entries) // 2)
        self._model.set_entries(entries)
        if entries:
            self.view.setCurrentIndex(self._model.index(0))

    def _run(self, index: QModelIndex) -> None:
        if index.isValid():
            entry = self._model.entries[index.row()]
            self.close()
            entry.run()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let the field's arrow keys walk through the list."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            step = {
                Qt.Key.Key_Down: 1,
                Qt.Key.Key_Up: -1,
                Qt.Key.Key_PageDown: 8,
                Qt.Key.Key_PageUp: -8,
            }.get(Qt.Key(event.key()))
            if step is not None:
                row = self.view.currentIndex().row() + step
                row = min(max(row, 0), self._model.rowCount() - 1)
                self.view.setCurrentIndex(self._model.index(row))
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._run(self.view.currentIndex())
                return True
        return super().eventFilter(watched, event)
