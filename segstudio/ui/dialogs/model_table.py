"""The table of the models dialog."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from segstudio.ui.models.catalogue import CatalogueModel, Fetching
from segstudio.ui.theme import GRID, theme

__all__ = ["ModelTable"]

Index = QModelIndex | QPersistentModelIndex
_WIDTHS = (300, 104, 112, 80, 96, 80, 104)
_ROLES = {"To download": "muted", "Failed": "bad", "Fits partly": "warn"}
_DOWN_FIRST = (CatalogueModel.MIOU,)
"""Columns whose largest values are looked for first."""


class _StateDelegate(QStyledItemDelegate):
    """Draws where a model is: a word, or a bar while it is fetched."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        fetching: Fetching | None = index.data(CatalogueModel.FetchingRole)
        colors = theme()
        rect: QRect = option.rect
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, colors.color("accent_soft"))
        text = str(index.data())
        room = rect.adjusted(GRID, 0, -GRID, 0)
        if fetching is not None and fetching.active:
            figure = QRect(room.right() - 4 * GRID, room.top(), 4 * GRID + 1, room.height())
            painter.setPen(colors.color("text"))
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(figure, right, text)
            bar = QRect(room.left(), room.center().y() - 1, figure.left() - room.left() - 4, 4)
            painter.fillRect(bar, colors.color("border"))
            done = QSize(round(bar.width() * fetching.share), 4)
            painter.fillRect(QRect(bar.topLeft(), done), colors.color("accent"))
        else:
            painter.setPen(colors.color(_ROLES.get(text, "text")))
            painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, text)
        painter.restore()


class ModelTable(QTableView):
    """Rows to choose from; a click on a title orders by that column, a third one by none."""

    def __init__(self, model: CatalogueModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self.setModel(model)
        self.setItemDelegateForColumn(CatalogueModel.STATE, _StateDelegate(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setAccessibleName("Models")
        rows = self.verticalHeader()
        rows.hide()
        rows.setDefaultSectionSize(3 * GRID + 4)
        columns = self.horizontalHeader()
        columns.setHighlightSections(False)
        columns.setSectionsClickable(True)
        columns.setMinimumSectionSize(6 * GRID)
        for column, width in enumerate(_WIDTHS):
            columns.resizeSection(column, width)
        columns.setSectionResizeMode(CatalogueModel.MODEL, QHeaderView.ResizeMode.Stretch)
        columns.sectionClicked.connect(self._on_title)

    def sort_by(self, column: int, down: bool) -> None:
        """Order by a column, -1 for none."""
        orders = Qt.SortOrder
        self._model.sort(column, orders.DescendingOrder if down else orders.AscendingOrder)

    def _on_title(self, column: int) -> None:
        current, order = self._model.sorting
        first = column in _DOWN_FIRST
        down = order == Qt.SortOrder.DescendingOrder
        name = self.currentIndex().data(CatalogueModel.NameRole)
        if column != current:
            self.sort_by(column, first)
        elif down == first:
            self.sort_by(column, not first)
        else:
            self.sort_by(-1, False)
        row = self._model.row_of(name) if name else -1
        if row >= 0:
            self.setCurrentIndex(self._model.index(row, 0))
            self.scrollTo(self._model.index(row, 0))
