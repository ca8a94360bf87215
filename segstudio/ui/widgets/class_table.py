"""What tables of classes look like: colour and name first, the mean last."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import (
    QAbstractItemModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSortFilterProxyModel,
    Qt,
)
from PySide6.QtGui import QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from segstudio.ui.models.scores import NumberTable
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.swatches import paint_class, paint_frame

__all__ = ["MeanLastProxy", "NumberView", "SwatchDelegate", "number_view"]

Index = QModelIndex | QPersistentModelIndex


class SwatchDelegate(QStyledItemDelegate):
    """A class's name with its colour."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the square, then the name beside it."""
        color = index.data(NumberTable.ColorRole)
        rect: QRect = option.rect
        if color is not None:
            painter.save()
            swatch = QRect(rect.left() + GRID, rect.center().y() - 5, 11, 11)
            paint_class(painter, swatch, color)
            paint_frame(painter, swatch)
            painter.restore()
        option.rect = rect.adjusted(18, 0, 0, 0)
        super().paint(painter, option, index)


class MeanLastProxy(QSortFilterProxyModel):
    """Sorts, but leaves the mean where sums stand: at the end."""

    def lessThan(self, left: Index, right: Index) -> bool:
        """Compare by value; the mean is last in either direction."""
        model = self.sourceModel()
        if isinstance(model, NumberTable):
            falling = self.sortOrder() == Qt.SortOrder.DescendingOrder
            if model.is_mean(left.row()):
                return falling
            if model.is_mean(right.row()):
                return not falling
        return bool(left.data(NumberTable.SortRole) < right.data(NumberTable.SortRole))


class NumberView(QTableView):
    """A table whose columns are as wide as there is room, the first never cut to nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._first = 120
        self._widths: dict[int, tuple[int, int]] = {}

    def set_widths(self, first: int, widths: Mapping[int, tuple[int, int]]) -> None:
        """Say how wide columns are.

        Parameters
        ----------
        first : int
            Least width of the first column, which takes what the others leave.
        widths : mapping
            Of the other columns: (least, wanted).
        """
        self._first, self._widths = first, dict(widths)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Share the room among the columns."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if not self._widths:
            return
        header = self.horizontalHeader()
        least = sum(low for low, _ in self._widths.values())
        more = sum(wanted - low for low, wanted in self._widths.values())
        left = max(self.viewport().width() - self._first - least, 0)
        part = min(left / more, 1.0) if more else 0.0
        for column, (low, wanted) in self._widths.items():
            header.resizeSection(column, low + int((wanted - low) * part))
        used = sum(header.sectionSize(column) for column in self._widths)
        header.resizeSection(0, max(self._first, self.viewport().width() - used))


def number_view(model: QAbstractItemModel, name: str, *, row: int = 24) -> NumberView:
    """Return a view of a table; see `NumberView.set_widths`.

    Parameters
    ----------
    model : QAbstractItemModel
    name : str
        For those who do not see it.
    row : int
        Height of a row in pixels.
    """
    view = NumberView()
    view.setModel(model)
    view.setSortingEnabled(True)
    view.setShowGrid(False)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    view.setTabKeyNavigation(False)
    view.setWordWrap(False)
    view.verticalHeader().hide()
    view.verticalHeader().setDefaultSectionSize(row)
    view.setAccessibleName(name)
    header = view.horizontalHeader()
    header.setHighlightSections(False)
    header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    header.setDefaultSectionSize(74)
    header.setMinimumSectionSize(48)
    return view
