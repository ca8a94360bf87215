"""The out-of-distribution panel: things a model never saw, and whether it noticed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QModelIndex, Qt, Signal
from PySide6.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSplitter,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.models import images_text, number, share
from segstudio.ui.models.ood import CategoryRow, CategoryTableModel
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import ElidedLabel, label
from segstudio.ui.widgets.class_table import MeanLastProxy, SwatchDelegate, number_view
from segstudio.ui.widgets.frames import message_label
from segstudio.ui.widgets.score_bars import BarDelegate
from segstudio.ui.widgets.two_histograms import TwoHistograms

__all__ = ["OodFigures", "OodPanel"]

OodFigures = Sequence[tuple[str, str, float, bool]]
"""Figures beside the plot: words, what they mean, the number, whether it is a share."""

_WIDTHS = {
    CategoryTableModel.MODEL: (90, 130),
    CategoryTableModel.BECOMES: (104, 150),
    CategoryTableModel.IMAGES: (58, 62),
    CategoryTableModel.PIXELS: (84, 92),
    CategoryTableModel.RECALL: (92, 160),
    CategoryTableModel.TAKEN: (170, 300),
    CategoryTableModel.ENTROPY: (92, 140),
    CategoryTableModel.CONFIDENT: (108, 112),
}


class OodPanel(QWidget):
    """The table of categories beside entropy and the figures of detection.

    Attributes
    ----------
    count_requested : Signal
        Categories that were not counted are wanted.
    threshold_changed : Signal(float)
        Below which entropy, in log C, an error is a confident one.
    inside_requested : Signal
        Data that the model was made for is to be chosen.
    category_activated : Signal(str)
        The images that hold a category are wanted.
    mapping_requested : Signal
        The label mapping is to be seen.
    """

    count_requested = Signal()
    threshold_changed = Signal(float)
    inside_requested = Signal()
    category_activated = Signal(str)
    mapping_requested = Signal()

    def __init__(self, model: CategoryTableModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._model = model
        self.title = ElidedLabel("", role="muted")
        self.threshold = QDoubleSpinBox()
        self.threshold.setRange(0.0, 1.0)
        self.threshold.setSingleStep(0.05)
        self.threshold.setValue(0.10)
        self.threshold.setFixedWidth(7 * GRID)
        self.threshold.setToolTip("Below this entropy, as a share of log C, an error is a sure one")
        self.mapping = QPushButton("Mapping…")
        self.inside = QPushButton("Compare with…")
        self.inside.setToolTip("Data that the model was made for: how far both differ")
        self.missing = ElidedLabel("", role="text")
        self.count = QPushButton("Count them")
        self._proxy = MeanLastProxy()
        self._proxy.setSourceModel(model)
        self._proxy.setParent(self)
        self.view = number_view(self._proxy, "Categories", row=26)
        self.view.setItemDelegateForColumn(CategoryTableModel.NAME, SwatchDelegate(self))
        for column in (CategoryTableModel.RECALL, CategoryTableModel.ENTROPY):
            self.view.setItemDelegateForColumn(column, BarDelegate(self))
        self.view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.plot = TwoHistograms()
        self.figures: dict[str, QLabel] = {}
        self._grid = QGridLayout()
        self._message = message_label()
        self._open_mapping = QPushButton("Label mapping…")
        self._arrange()
        self._connect()
        self.set_missing(0)
        self.set_message(
            "Run a model over images whose ground truth knows other things than the model does."
        )

    def _arrange(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(GRID, GRID // 2, GRID, 0)
        head.setSpacing(GRID)
        head.addWidget(self.title, 1)
        head.addWidget(label("sure below", style="muted"))
        for widget in (self.threshold, self.mapping, self.inside):
            head.addWidget(widget)
        self._strip = QWidget()
        strip = QHBoxLayout(self._strip)
        strip.setContentsMargins(GRID, 0, GRID, 0)
        strip.addWidget(self.missing, 1)
        strip.addWidget(self.count)
        self._grid.setContentsMargins(GRID, 0, GRID, GRID // 2)
        self._grid.setHorizontalSpacing(2 * GRID)
        self._grid.setVerticalSpacing(2)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot, 1)
        column.addLayout(self._grid)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(self.view)
        splitter.addWidget(right)
        splitter.setStretchFactor(0, 3)
        splitter.setStretchFactor(1, 1)
        splitter.setHandleWidth(2 * GRID)
        splitter.setChildrenCollapsible(False)
        full = QWidget()
        whole = QVBoxLayout(full)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(GRID // 2)
        whole.addLayout(head)
        whole.addWidget(self._strip)
        whole.addWidget(splitter, 1)
        empty = QWidget()
        words = QVBoxLayout(empty)
        words.addStretch(1)
        words.addWidget(self._message)
        words.addWidget(self._open_mapping, 0, Qt.AlignmentFlag.AlignHCenter)
        words.addStretch(1)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(empty)
        self._pages.addWidget(full)

    def _connect(self) -> None:
        self.threshold.valueChanged.connect(self.threshold_changed)
        self.count.clicked.connect(lambda _checked: self.count_requested.emit())
        self.inside.clicked.connect(lambda _checked: self.inside_requested.emit())
        for button in (self.mapping, self._open_mapping):
            button.clicked.connect(lambda _checked: self.mapping_requested.emit())
        self.view.activated.connect(self._on_category)

    # -- what is shown ------------------------------------------------------------------------

    def set_message(self, text: str, *, mapping: bool = False) -> None:
        """Show a sentence instead of the table, with the way to the mapping if it helps."""
        self._message.setText(text)
        self._open_mapping.setVisible(mapping)
        self._pages.setCurrentIndex(0)

    def set_missing(self, count: int, *, done: int | None = None, total: int = 0) -> None:
        """Say how much is not counted yet, or how far the counting is."""
        if done is not None:
            self.missing.set_text(f"Counting categories: {done} of {total} …")
        elif count:
            have = "has" if count == 1 else "have"
            self.missing.set_text(f"{images_text(count)} {have} not been counted yet.")
        self._strip.setVisible(bool(count) or done is not None)
        self.count.setVisible(done is None)

    def set_rows(self, rows: Sequence[CategoryRow], title: str) -> None:
        """Show categories under a line about them."""
        self._model.set_rows(rows)
        several = len({row.run for row in rows}) > 1
        self.view.setColumnHidden(CategoryTableModel.MODEL, not several)
        widths = {
            column: width
            for column, width in _WIDTHS.items()
            if several or column != CategoryTableModel.MODEL
        }
        self.view.set_widths(130, widths)
        self.title.set_text(title)
        self._pages.setCurrentIndex(1)

    def set_histograms(
        self, first: tuple[str, NDArray[np.int64]], second: tuple[str, NDArray[np.int64]]
    ) -> None:
        """Show entropy of two sets of pixels."""
        self.plot.set_histograms(first, second)

    def set_figures(self, figures: OodFigures) -> None:
        """Show figures below the plot, two in a row."""
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        self.figures = {}
        for place, (words, hint, value, is_share) in enumerate(figures):
            caption = label(words, style="muted")
            text = label(share(value) if is_share else number(value, 3))
            text.setAlignment(Qt.AlignmentFlag.AlignRight)
            for part in (caption, text):
                part.setToolTip(hint)
            row, column = divmod(place, 2)
            self._grid.addWidget(caption, row, 2 * column)
            self._grid.addWidget(text, row, 2 * column + 1)
            self.figures[words] = text

    def _on_category(self, index: QModelIndex) -> None:
        if index.isValid():
            row = self._proxy.mapToSource(index).row()
            self.category_activated.emit(self._model.rows[row].name)
