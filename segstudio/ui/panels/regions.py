"""The region panel: where the errors are, the largest and most confident first."""

from __future__ import annotations

from PySide6.QtCore import (
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QSignalBlocker,
    Qt,
    Signal,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QSpinBox,
    QStackedLayout,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from segstudio.analysis.definitions import ERROR_DEFINITIONS
from segstudio.analysis.regions import IGNORED, ErrorRegion, RegionFilter
from segstudio.analysis.taxonomy import ErrorKind
from segstudio.ui.models import images_text
from segstudio.ui.models.regions import RegionModel, kind_title
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import ElidedLabel, label
from segstudio.ui.widgets.class_table import SwatchDelegate
from segstudio.ui.widgets.frames import message_label

__all__ = ["RegionsPanel"]

Index = QModelIndex | QPersistentModelIndex
Classes = int | tuple[int, ...] | None
_WIDTHS = {
    RegionModel.TARGET: 110,
    RegionModel.PREDICTION: 110,
    RegionModel.AREA: 72,
    RegionModel.ENTROPY: 62,
    RegionModel.CONFIDENCE: 82,
    RegionModel.RUNNER_UP: 78,
    RegionModel.KIND: 80,
    RegionModel.FIXED: 76,
}


class _NameDelegate(QStyledItemDelegate):
    """An image's name without its beginning: names of video frames differ at their end."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        super().initStyleOption(option, index)
        option.textElideMode = Qt.TextElideMode.ElideLeft


class RegionsPanel(QWidget):
    """The list with its filters.

    Attributes
    ----------
    filter_changed : Signal
        Other regions are wanted; see `wanted`.
    region_selected : Signal(ErrorRegion)
        To be looked at.
    region_activated : Signal(ErrorRegion)
        To be corrected: Enter or a double click.
    analysis_requested : Signal
        Regions are missing and wanted.
    """

    filter_changed = Signal()
    region_selected = Signal(object)
    region_activated = Signal(object)
    analysis_requested = Signal()

    def __init__(self, model: RegionModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._model = model
        self._pair: tuple[Classes, Classes] = (None, None)
        self._pair_text = ""
        self._sample_id = ""
        self.summary = ElidedLabel("", role="muted")
        self.pair = QPushButton("")
        self.pair.setToolTip("Show regions of all classes again")
        self.kind = QComboBox()
        self.kind.addItem("All kinds", None)
        for kind in ErrorKind:
            self.kind.addItem(kind_title(kind), kind)
            self.kind.setItemData(
                self.kind.count() - 1,
                ERROR_DEFINITIONS[kind.name.lower()],
                Qt.ItemDataRole.ToolTipRole,
            )
        self.minimal_area = QSpinBox()
        self.minimal_area.setRange(1, 10_000_000)
        self.minimal_area.setSuffix(" px")
        self.minimal_area.setToolTip("Smallest area that is listed")
        self.minimal_area.setKeyboardTracking(False)
        self.minimal_area.setFixedWidth(11 * GRID)
        self.entropy = (_share_box(0.0), _share_box(1.0))
        for box, words in zip(self.entropy, ("Lowest", "Highest"), strict=True):
            box.setToolTip(f"{words} mean entropy that is listed, as a share of log C")
        self.this_image = QCheckBox("This image")
        self.this_image.setToolTip("Only regions of the image shown")
        self.view = self._table()
        self.missing = ElidedLabel("", role="text")
        self.find_missing = QPushButton("Find them")
        self._message = message_label()
        self._arrange()
        self._connect()
        self.set_missing(0)
        self.set_pair(None, None, "")
        self.set_message(
            "Error regions appear here when a model has run on images with ground truth."
        )

    def _table(self) -> QTableView:
        view = QTableView()
        view.setModel(self._model)
        view.setShowGrid(False)
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        view.setTabKeyNavigation(False)
        view.setWordWrap(False)
        view.verticalHeader().hide()
        view.verticalHeader().setDefaultSectionSize(24)
        view.setAccessibleName("Error regions")
        view.setItemDelegateForColumn(RegionModel.IMAGE, _NameDelegate(self))
        for column in (RegionModel.TARGET, RegionModel.PREDICTION):
            view.setItemDelegateForColumn(column, SwatchDelegate(self))
        header = view.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(48)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for column in range(self._model.columnCount()):
            stretched = column == RegionModel.IMAGE
            mode = QHeaderView.ResizeMode
            header.setSectionResizeMode(column, mode.Stretch if stretched else mode.Interactive)
            if not stretched:
                header.resizeSection(column, _WIDTHS[column])
        header.setSortIndicatorClearable(True)
        # -1: as they are ranked.
        header.setSortIndicator(-1, Qt.SortOrder.DescendingOrder)
        view.setSortingEnabled(True)
        return view

    def _arrange(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(GRID, GRID // 2, GRID, 0)
        head.setSpacing(GRID)
        for widget in (self.pair, self.kind, label("from", style="muted"), self.minimal_area):
            head.addWidget(widget)
        head.addWidget(label("entropy", style="muted"))
        head.addWidget(self.entropy[0])
        head.addWidget(label("to", style="muted"))
        head.addWidget(self.entropy[1])
        head.addWidget(self.this_image)
        head.addStretch(1)
        self._strip = QWidget()
        strip = QHBoxLayout(self._strip)
        strip.setContentsMargins(GRID, 0, GRID, 0)
        strip.addWidget(self.missing, 1)
        strip.addWidget(self.find_missing)
        foot = QHBoxLayout()
        foot.setContentsMargins(GRID, 0, GRID, GRID // 2)
        foot.addWidget(self.summary)
        full = QWidget()
        column = QVBoxLayout(full)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addLayout(head)
        column.addWidget(self._strip)
        column.addWidget(self.view, 1)
        column.addLayout(foot)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(self._message)
        self._pages.addWidget(full)

    def _connect(self) -> None:
        self.kind.currentIndexChanged.connect(lambda _index: self.filter_changed.emit())
        self.minimal_area.valueChanged.connect(lambda _value: self.filter_changed.emit())
        for box in self.entropy:
            box.valueChanged.connect(lambda _value: self.filter_changed.emit())
        self.this_image.toggled.connect(lambda _checked: self.filter_changed.emit())
        self.pair.clicked.connect(lambda _checked: self._drop_pair())
        self.find_missing.clicked.connect(lambda _checked: self.analysis_requested.emit())
        self.view.selectionModel().currentChanged.connect(self._on_current)
        self.view.clicked.connect(self._on_current)
        self.view.activated.connect(self._on_activated)

    # -- what is shown ------------------------------------------------------------------------

    def set_message(self, text: str) -> None:
        """Show a sentence instead of the list."""
        self._message.setText(text)
        self._pages.setCurrentIndex(0)

    def show_list(self, summary: str) -> None:
        """Show the list, and how much of everything it is."""
        self.summary.set_text(summary)
        self._pages.setCurrentIndex(1)

    def set_missing(self, count: int, *, done: int | None = None, total: int = 0) -> None:
        """Say of how many images regions are missing, or how far the search for them is."""
        if done is not None:
            self.missing.set_text(f"Finding error regions: {done} of {images_text(total)} …")
        elif count:
            self.missing.set_text(f"The regions of {images_text(count)} have not been found yet.")
        self._strip.setVisible(bool(count) or done is not None)
        self.find_missing.setVisible(done is None)

    def set_pair(self, target: Classes, prediction: Classes, text: str) -> None:
        """Want only regions of these classes; None means any.  Tells nobody."""
        self._pair = target, prediction
        self.pair.setText(f"{text}   \N{MULTIPLICATION SIGN}")
        self.pair.setVisible(self._pair != (None, None))

    def set_kind(self, kind: ErrorKind | None) -> None:
        """Want only regions of a kind."""
        self.kind.setCurrentIndex(self.kind.findData(kind))

    def set_entropy(self, low: float, high: float) -> None:
        """Want only regions whose mean entropy lies between these."""
        blockers = [QSignalBlocker(box) for box in self.entropy]
        for box, value in zip(self.entropy, (low, high), strict=True):
            box.setValue(value)
        del blockers
        self.filter_changed.emit()

    def set_sample(self, sample_id: str) -> None:
        """Say which image is shown."""
        if sample_id != self._sample_id:
            self._sample_id = sample_id
            if self.this_image.isChecked():
                self.filter_changed.emit()

    def wanted(self, classes: int) -> RegionFilter:
        """Return the filter as it is set; ``classes`` is C."""
        target, prediction = self._pair
        low, high = (box.value() for box in self.entropy)
        return RegionFilter(
            sample_id=self._sample_id if self.this_image.isChecked() else None,
            target=target,
            prediction=IGNORED if prediction == classes else prediction,
            kind=self.kind.currentData(),
            minimal_area=self.minimal_area.value(),
            entropy=None if (low, high) == (0.0, 1.0) else (low, high),
        )

    def select_row(self, row: int) -> None:
        """Select a row as if it were clicked."""
        flags = QItemSelectionModel.SelectionFlag
        self.view.selectionModel().setCurrentIndex(
            self._model.index(row, 0), flags.ClearAndSelect | flags.Rows
        )
        self.view.scrollTo(self._model.index(row, 0))

    def step(self, by: int) -> None:
        """Select the next or the previous row, the first when none is selected."""
        current = self.view.currentIndex()
        row = current.row() + by if current.isValid() else 0
        if 0 <= row < self._model.rowCount():
            self.select_row(row)

    # -- inside -------------------------------------------------------------------------------

    def _drop_pair(self) -> None:
        self.set_pair(None, None, "")
        self.filter_changed.emit()

    def _on_current(self, index: QModelIndex, _before: QModelIndex | None = None) -> None:
        if index.isValid():
            self.region_selected.emit(self._model.region(index.row()))

    def _on_activated(self, index: QModelIndex) -> None:
        region: ErrorRegion = self._model.region(index.row())
        self.region_activated.emit(region)


def _share_box(value: float) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0.0, 1.0)
    box.setSingleStep(0.05)
    box.setDecimals(2)
    box.setValue(value)
    box.setKeyboardTracking(False)
    box.setFixedWidth(6 * GRID)
    return box
