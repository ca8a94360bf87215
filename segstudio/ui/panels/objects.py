"""The panel of boundaries and sizes: per class, where on the object a model is right."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, Qt, Signal
from PySide6.QtWidgets import QStackedLayout, QVBoxLayout, QWidget

from segstudio.ui.models.objects import ObjectRow, ObjectTableModel
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.class_table import MeanLastProxy, SwatchDelegate, number_view
from segstudio.ui.widgets.frames import message_label
from segstudio.ui.widgets.score_bars import BarDelegate

__all__ = ["ObjectsPanel"]


class ObjectsPanel(QWidget):
    """The table.

    Attributes
    ----------
    class_activated : Signal(int)
        The error regions of a class are wanted.
    """

    class_activated = Signal(int)

    def __init__(self, model: ObjectTableModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._model = model
        self._proxy = MeanLastProxy()
        self._proxy.setSourceModel(model)
        self._proxy.setParent(self)
        self.view = number_view(self._proxy, "Boundaries and sizes by class", row=26)
        self.view.setItemDelegateForColumn(ObjectTableModel.NAME, SwatchDelegate(self))
        self._bars = BarDelegate(self)
        self.view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.view.activated.connect(self._on_class)
        model.modelReset.connect(self._fit_columns)
        self._fit_columns()
        self._message = message_label()
        full = QWidget()
        column = QVBoxLayout(full)
        column.setContentsMargins(0, GRID // 2, 0, 0)
        column.addWidget(self.view)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(self._message)
        self._pages.addWidget(full)
        self.set_message("Boundary IoU and scores by object size come with the error regions.")

    def set_message(self, text: str) -> None:
        """Show a sentence instead of the table."""
        self._message.setText(text)
        self._pages.setCurrentIndex(0)

    def set_rows(self, rows: Sequence[ObjectRow], edges: Sequence[int]) -> None:
        """Show classes, the mean last."""
        self._model.set_rows(rows, edges)
        self._pages.setCurrentIndex(1)

    def _fit_columns(self) -> None:
        for column in range(1, self._model.columnCount()):
            is_bar = column != ObjectTableModel.SHARE
            plain = self.view.itemDelegate()
            self.view.setItemDelegateForColumn(column, self._bars if is_bar else plain)
        columns = range(1, self._model.columnCount())
        widths = {column: (88, 150) for column in columns}
        widths[ObjectTableModel.SHARE] = (102, 102)
        widths[ObjectTableModel.BOUNDARY] = (94, 150)
        self.view.set_widths(148, widths)

    def _on_class(self, index: QModelIndex) -> None:
        row = self._proxy.mapToSource(index).row()
        if index.isValid() and not self._model.is_mean(row):
            self.class_activated.emit(row)
