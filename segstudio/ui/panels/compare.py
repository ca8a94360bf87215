"""The Compare panel: the numbers of two models, and how far all chosen ones agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QItemSelection, QModelIndex, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QScrollArea,
    QSplitter,
    QStackedLayout,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.canvas.comparison_paint import paint_badge
from segstudio.ui.models.compare import ComparedImageModel, ComparedImageRow
from segstudio.ui.panels.compare_agreement import AgreementMatrix
from segstudio.ui.panels.compare_plots import DeltaBar, DeltaChart, ScatterPlot, ScatterPoint
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import ElidedLabel, icon_button, label

__all__ = ["KAPPA", "SHARE", "ComparePanel"]

KAPPA, SHARE = "Cohen's \N{GREEK SMALL LETTER KAPPA}", "Pixels that agree"
_WORDS = {
    KAPPA: "Cohen's kappa: agreement beyond what the shares of the classes bring by chance; "
    "1 is the same, 0 is chance.",
    SHARE: "Share of the pixels to which both give the same class.",
}


class ComparePanel(QWidget):
    """The pair above; classes, images, agreement and a table below, side by side.

    Attributes
    ----------
    pair_chosen : Signal(str, str)
        Names of a and b.
    sample_chosen : Signal(str)
        An image that is to be shown.
    """

    pair_chosen = Signal(str, str)
    sample_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.a, self.b = QComboBox(), QComboBox()
        self.summary = ElidedLabel("", role="text")
        self.chart = DeltaChart()
        self.scatter = ScatterPlot()
        self.matrix = AgreementMatrix()
        self.measure = QComboBox()
        self.measure.addItems([KAPPA, SHARE])
        self.progress = ElidedLabel("", role="muted")
        self.images = ComparedImageModel(self)
        self.table = QTableView()
        self._consensus: tuple[Sequence[str], NDArray[np.float64], NDArray[np.float64]] | None
        self._consensus = None
        self._scores = _Messages("Scores of two models on the same images appear here.")
        self._points = _Messages("One point per image appears here.")
        self._build()
        self._connect()
        self.set_pair_message("Choose two models of which both have results.")

    # -- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(GRID + 4, 4, GRID, 2)
        head.setSpacing(6)
        for badge, box in (("A", self.a), ("B", self.b)):
            box.setMinimumContentsLength(14)
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setAccessibleName(f"Model {badge}")
            head.addWidget(_Badge(badge))
            head.addWidget(box)
            if badge == "A":
                head.addWidget(icon_button("exchange", "Exchange A and B", self.exchange))
        head.addSpacing(GRID)
        head.addWidget(self.summary, 1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setMinimumWidth(26 * GRID)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        holder = QWidget()
        holder.setObjectName("panel")
        holder.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        inner = QVBoxLayout(holder)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addWidget(self.chart)
        inner.addStretch(1)
        scroll.setWidget(holder)
        self._scores.set_content(scroll)
        self._points.set_content(self.scatter)
        self._build_table()
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.setChildrenCollapsible(False)
        splitter.setHandleWidth(1)
        caption = "IoU by class: B \N{MINUS SIGN} A"
        splitter.addWidget(_section(caption, self._scores))
        splitter.addWidget(_section("mIoU by image", self._points))
        splitter.addWidget(_section("Agreement", self.matrix, self.measure))
        splitter.addWidget(_section("Images", self.table, self.progress))
        splitter.setSizes([345, 230, 250, 465])
        for place, stretch in enumerate((3, 2, 2, 4)):
            splitter.setStretchFactor(place, stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(head)
        layout.addWidget(splitter, 1)

    def _build_table(self) -> None:
        table = self.table
        table.setModel(self.images)
        table.setSortingEnabled(True)
        table.sortByColumn(ComparedImageModel.DISAGREEMENT, Qt.SortOrder.DescendingOrder)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(3 * GRID)
        table.setAccessibleName("Images by disagreement")
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(ComparedImageModel.NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in enumerate((0, 72, 54, 54, 62, 76)):
            if width:
                table.setColumnWidth(column, width)

    def _connect(self) -> None:
        self.a.activated.connect(lambda _index: self._on_pair(self.a))
        self.b.activated.connect(lambda _index: self._on_pair(self.b))
        self.scatter.sample_clicked.connect(self.sample_chosen)
        self.matrix.pair_clicked.connect(self.pair_chosen)
        self.measure.currentIndexChanged.connect(lambda _index: self._show_matrix())
        self.table.selectionModel().selectionChanged.connect(self._on_selected)

    # -- the pair -----------------------------------------------------------------------------

    @property
    def pair(self) -> tuple[str, str]:
        """The names of a and b; empty without any."""
        return self.a.currentText(), self.b.currentText()

    def set_runs(self, runs: Sequence[str], pair: tuple[str, str]) -> None:
        """Offer runs for a and b, telling nobody."""
        for box, run in ((self.a, pair[0]), (self.b, pair[1])):
            if [box.itemText(place) for place in range(box.count())] != list(runs):
                box.clear()
                box.addItems(list(runs))
            box.setCurrentText(run)
            box.setToolTip(run)
        self.matrix.set_pair(*pair)

    def exchange(self) -> None:
        """Make a of b and b of a."""
        a, b = self.pair
        if a and b:
            self.pair_chosen.emit(b, a)

    def _on_pair(self, changed: QComboBox) -> None:
        a, b = self.pair
        if a != b:
            self.pair_chosen.emit(a, b)
            return
        # Who chooses the same twice means to exchange them.
        before = self.matrix.pair
        self.pair_chosen.emit(before[1], before[0])

    def set_pair_message(self, text: str) -> None:
        """Show a sentence instead of the scores of the pair."""
        self.summary.set_text("")
        self._scores.say(text)
        self._points.say("")

    def set_pair(
        self, summary: str, bars: Sequence[DeltaBar], points: Sequence[ScatterPoint]
    ) -> None:
        """Show the scores of the pair."""
        self.summary.set_text(summary)
        self.chart.set_bars(bars)
        self.scatter.set_points(points)
        self._scores.show_content()
        self._points.show_content()

    # -- agreement and images -----------------------------------------------------------------

    def set_consensus(
        self, runs: Sequence[str], kappa: NDArray[np.float64], share: NDArray[np.float64]
    ) -> None:
        """Show both matrices (R, R) of these runs, one at a time."""
        self._consensus = runs, kappa, share
        self._show_matrix()

    def _show_matrix(self) -> None:
        if self._consensus is not None:
            runs, kappa, share = self._consensus
            measure = self.measure.currentText()
            values = kappa if measure == KAPPA else share
            self.matrix.set_matrix(runs, values, _WORDS[measure])

    def set_images(self, rows: Sequence[ComparedImageRow]) -> None:
        """List images; those that are selected stay so."""
        chosen = set(self.selected_samples())
        selection = self.table.selectionModel()
        blocked = selection.blockSignals(True)
        self.images.set_rows(rows)
        again = QItemSelection()
        for place in range(self.images.rowCount()):
            if self.images.row(place).sample_id in chosen:
                last = self.images.columnCount() - 1
                again.select(self.images.index(place, 0), self.images.index(place, last))
        selection.select(again, selection.SelectionFlag.ClearAndSelect)
        selection.blockSignals(blocked)

    def selected_samples(self) -> list[str]:
        """Return the images that are selected in the table, from top to bottom."""
        rows = sorted(index.row() for index in self.table.selectionModel().selectedRows())
        return [self.images.row(row).sample_id for row in rows]

    def set_current(self, sample_id: str) -> None:
        """Mark the image that is shown."""
        self.scatter.set_current(sample_id)
        self.images.set_current(sample_id)

    def _on_selected(self) -> None:
        current: QModelIndex = self.table.selectionModel().currentIndex()
        if current.isValid() and len(self.table.selectionModel().selectedRows()) == 1:
            self.sample_chosen.emit(self.images.row(current.row()).sample_id)


class _Messages(QWidget):
    """A widget, or a sentence in its place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = label(text, style="muted")
        self._text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._text.setWordWrap(True)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(self._text)

    def set_content(self, content: QWidget) -> None:
        self._pages.addWidget(content)

    def say(self, text: str) -> None:
        self._text.setText(text)
        self._pages.setCurrentIndex(0)

    def show_content(self) -> None:
        self._pages.setCurrentIndex(1)


class _Badge(QWidget):
    """The letter of a run, as in the grid."""

    def __init__(self, letter: str) -> None:
        super().__init__()
        self._letter = letter
        self.setFixedSize(20, 22)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(QColor(0, 0, 0, 0))
        paint_badge(painter, 1, self.height() / 2, self._letter)
        painter.end()


def _section(title: str, content: QWidget, beside: QWidget | None = None) -> QWidget:
    """Return a part of the panel under its name."""
    section = QWidget()
    section.setObjectName("panel")
    section.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
    head = QHBoxLayout()
    head.setContentsMargins(GRID + 4, 0, GRID, 0)
    name = label(title, style="section")
    head.addWidget(name)
    if isinstance(beside, QComboBox):
        beside.setProperty("quiet", "true")
        head.addStretch(1)
        head.addWidget(beside)
    elif beside is not None:
        head.addSpacing(GRID)
        head.addWidget(beside, 1)
    column = QVBoxLayout(section)
    column.setContentsMargins(0, 2, 0, 2)
    column.setSpacing(2)
    row = QWidget()
    row.setFixedHeight(3 * GRID + 4)
    row.setLayout(head)
    column.addWidget(row)
    column.addWidget(content, 1)
    return section
