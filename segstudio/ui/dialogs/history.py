"""The edit history as a list: every stroke with its time; a click goes there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QDialog,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from segstudio.editing.history import HistoryEntry
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.basic import label

__all__ = ["HistoryModel", "HistoryPopover"]

Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()


class HistoryModel(QAbstractListModel):
    """The strokes of an image, the oldest first, below a line for what it was before them."""

    EntryRole = Qt.ItemDataRole.UserRole + 1
    CurrentRole = Qt.ItemDataRole.UserRole + 2

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._entries: list[HistoryEntry] = []

    def set_entries(self, entries: Sequence[HistoryEntry]) -> None:
        """Show these strokes, the undone ones last."""
        self.beginResetModel()
        self._entries = list(entries)
        self.endResetModel()

    @property
    def current_row(self) -> int:
        """The row of the present content: how many strokes are done."""
        return sum(not entry.undone for entry in self._entries)

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of strokes and one."""
        return 0 if parent.isValid() else len(self._entries) + 1

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a row shows."""
        if not index.isValid() or not 0 <= index.row() <= len(self._entries):
            return None
        entry = self._entries[index.row() - 1] if index.row() else None
        if role == Qt.ItemDataRole.DisplayRole:
            first = "Before the first stroke" if self._entries else "Nothing was painted here yet"
            return first if entry is None else entry.name
        if role == self.EntryRole:
            return entry
        if role == self.CurrentRole:
            return index.row() == self.current_row
        if role == Qt.ItemDataRole.ToolTipRole and entry is not None:
            box = entry.box
            return (
                f"{time.strftime('%H:%M:%S', time.localtime(entry.when))}, rows {box.top} to "
                f"{box.bottom - 1}, columns {box.left} to {box.right - 1}"
            )
        return None


class _Delegate(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(30 * GRID, 3 * GRID + 4)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        colors = theme()
        rect: QRect = option.rect
        entry: HistoryEntry | None = index.data(HistoryModel.EntryRole)
        is_current = bool(index.data(HistoryModel.CurrentRole))
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, colors.color("accent_soft"))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, colors.color("hover"))
        if is_current:
            painter.fillRect(
                QRect(rect.left(), rect.top(), 3, rect.height()), colors.color("accent")
            )
        right = rect.adjusted(0, 0, -12, 0)
        painter.setPen(colors.color("muted" if entry and not entry.undone else "faint"))
        if entry is not None:
            painter.drawText(
                right,
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                time.strftime("%H:%M:%S", time.localtime(entry.when)),
            )
        undone = entry is not None and entry.undone
        painter.setPen(colors.color("faint" if undone else "text"))
        text = rect.adjusted(14, 0, -10 * GRID, 0)
        words = painter.fontMetrics().elidedText(
            str(index.data()), Qt.TextElideMode.ElideRight, text.width()
        )
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter, words)
        painter.restore()


class HistoryPopover(QDialog):
    """The list; Enter or a click chooses how many strokes are done.

    Attributes
    ----------
    chosen : Signal(int)
        The content after so many strokes is wanted.
    """

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup | Qt.WindowType.FramelessWindowHint)
        self.setObjectName("palette")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.model = HistoryModel(self)
        self.view = QListView()
        self.view.setModel(self.model)
        self.view.setItemDelegate(_Delegate(self.view))
        self.view.setUniformItemSizes(True)
        self.view.setMouseTracking(True)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setAccessibleName("Edit history")
        self._size = label("", style="muted")
        self._size.setContentsMargins(GRID + 4, 2, GRID, 4)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(1, 6, 1, 1)
        layout.setSpacing(2)
        layout.addWidget(self.view)
        layout.addWidget(self._size)
        self.view.clicked.connect(lambda index: self.chosen.emit(index.row()))
        self.setFixedSize(44 * GRID, 50 * GRID)
        self.view.setFocus()

    def set_entries(self, entries: Sequence[HistoryEntry], nbytes: int, limit: int) -> None:
        """Show the strokes of the image, and the room that those of all images take.

        Parameters
        ----------
        entries : sequence of HistoryEntry
        nbytes, limit : int
            Bytes taken, and how many there may be.
        """
        self.model.set_entries(entries)
        here = self.model.index(self.model.current_row)
        self.view.setCurrentIndex(here)
        self.view.scrollTo(here)
        count = len(entries)
        self._size.setText(
            f"{count} stroke{'' if count == 1 else 's'} here;  all images: "
            f"{nbytes / (1 << 20):.1f} of {limit >> 20} MB"
        )

    def move_to(self, corner: QPoint) -> None:
        """Put its upper right corner somewhere on the screen."""
        self.move(corner.x() - self.width(), corner.y())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go to the row chosen on Enter; Esc closes."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.chosen.emit(self.view.currentIndex().row())
        else:
            super().keyPressEvent(event)
