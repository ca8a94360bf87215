"""The slices panel: which images a model fails on, by any column, the worst first."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QSignalBlocker, QSortFilterProxyModel, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QPushButton,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.models import images_text
from segstudio.ui.models.slices import SliceRow, SliceTableModel
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import ElidedLabel, label
from segstudio.ui.widgets.class_table import number_view
from segstudio.ui.widgets.frames import message_label
from segstudio.ui.widgets.score_bars import BarDelegate

__all__ = ["SLICE_COLUMNS", "SlicesPanel"]

SLICE_COLUMNS = (
    ("folder", "Folder", "The folder that holds the image"),
    ("split", "Split", "train, val, test"),
    ("status", "Review state", "Corrected or not, or what was noted by hand"),
    ("class", "Class present", "Whether the ground truth holds a class"),
    ("score", "Score", "The image's own mean IoU, in four bins"),
    ("entropy", "Entropy", "The image's mean entropy, in four bins"),
    ("size", "Size", "Pixels of the image, in four bins"),
    ("brightness", "Brightness", "Mean grey value, in four bins"),
    ("contrast", "Contrast", "Standard deviation of the grey values, in four bins"),
)
"""Columns that every dataset has: name, title, what it means."""

_WIDTHS = {
    SliceTableModel.SAMPLES: (60, 64),
    SliceTableModel.MIOU: (104, 220),
    SliceTableModel.MIOU_RANGE: (98, 108),
    SliceTableModel.ACCURACY: (104, 220),
    SliceTableModel.ACCURACY_RANGE: (98, 108),
    SliceTableModel.CONFIDENT: (112, 118),
    SliceTableModel.ECE: (62, 70),
    SliceTableModel.PIXELS: (92, 104),
}
"""Least and wanted width."""


class SlicesPanel(QWidget):
    """A column to choose, over the table of its slices.

    Attributes
    ----------
    column_changed : Signal(str)
        Slices by another column are wanted; see `column`.
    slice_selected : Signal(str)
        The images of a slice are wanted; "" wants all images again.
    """

    column_changed = Signal(str)
    slice_selected = Signal(str)

    def __init__(self, model: SliceTableModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._model = model
        self._tags: tuple[str, ...] = ()
        self.by = QComboBox()
        self.by.setAccessibleName("Slice by")
        self.classes = QComboBox()
        self.classes.setAccessibleName("Class that is present")
        self.show_all = QPushButton("Show all images")
        self.show_all.setToolTip("Take the slice off the list of images")
        self.readout = ElidedLabel("", role="muted")
        self._proxy = QSortFilterProxyModel(self)
        self._proxy.setSourceModel(model)
        self._proxy.setSortRole(SliceTableModel.SortRole)
        self.view = number_view(self._proxy, "Slices", row=26)
        for place in (SliceTableModel.MIOU, SliceTableModel.ACCURACY):
            self.view.setItemDelegateForColumn(place, BarDelegate(self))
        self.view.set_widths(150, _WIDTHS)
        self.view.sortByColumn(SliceTableModel.MIOU, Qt.SortOrder.AscendingOrder)
        self._message = message_label()
        self._arrange()
        self.set_tags(())
        self.set_chosen("")
        self.by.currentIndexChanged.connect(lambda _index: self._on_column())
        self.classes.currentIndexChanged.connect(lambda _index: self._on_column())
        self.show_all.clicked.connect(lambda _checked: self.slice_selected.emit(""))
        self.view.clicked.connect(self._on_row)
        self.view.activated.connect(self._on_row)
        self.set_message("Run a model on images with ground truth; then its slices appear here.")

    def _arrange(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(GRID, GRID // 2, GRID, 0)
        head.setSpacing(GRID)
        head.addWidget(label("Slice by", style="muted"))
        head.addWidget(self.by)
        head.addWidget(self.classes)
        head.addWidget(self.readout, 1)
        head.addWidget(self.show_all)
        full = QWidget()
        column = QVBoxLayout(full)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addWidget(self.view, 1)
        pages = QWidget()
        self._pages = QStackedLayout(pages)
        self._pages.addWidget(self._message)
        self._pages.addWidget(full)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID // 2)
        layout.addLayout(head)
        layout.addWidget(pages, 1)

    # -- what is shown ------------------------------------------------------------------------

    @property
    def column(self) -> str:
        """The column that is chosen: "folder", ..., "class:NAME" or "tag:NAME"."""
        chosen = str(self.by.currentData())
        return f"class:{self.classes.currentData()}" if chosen == "class" else chosen

    def set_column(self, name: str) -> None:
        """Choose a column; an unknown one changes nothing."""
        kind, _, rest = name.partition(":")
        if kind == "class" and rest:
            self.classes.setCurrentIndex(max(0, self.classes.findData(rest)))
        place = self.by.findData(kind if kind == "class" else name)
        if place >= 0:
            self.by.setCurrentIndex(place)

    def set_tags(self, tags: Sequence[str]) -> None:
        """Offer the dataset's own columns too; the chosen one stays where it can."""
        chosen = self.by.currentData()
        if tuple(tags) == self._tags and self.by.count():
            return
        self._tags = tuple(tags)
        blocker = QSignalBlocker(self.by)
        self.by.clear()
        for name, title, hint in SLICE_COLUMNS:
            self.by.addItem(title, name)
            self.by.setItemData(self.by.count() - 1, hint, Qt.ItemDataRole.ToolTipRole)
        for tag in tags:
            self.by.addItem(tag, f"tag:{tag}")
        self.by.setCurrentIndex(max(0, self.by.findData(chosen)))
        del blocker
        self._show_classes()

    def set_classes(self, names: Sequence[tuple[str, str]]) -> None:
        """Offer classes as (name, what a person reads)."""
        if [self.classes.itemData(row) for row in range(self.classes.count())] == [
            name for name, _ in names
        ]:
            return
        blocker = QSignalBlocker(self.classes)
        self.classes.clear()
        for name, title in names:
            self.classes.addItem(title, name)
        del blocker

    def set_message(self, text: str) -> None:
        """Show a sentence instead of the table."""
        self._message.setText(text)
        self._pages.setCurrentIndex(0)

    def set_rows(self, rows: Sequence[SliceRow], whole: SliceRow) -> None:
        """Show slices, and what all of them together are."""
        self._model.set_rows(rows)
        noun = "slice" if len(rows) == 1 else "slices"
        self.readout.set_text(
            f"{len(rows)} {noun} of {images_text(whole.samples)}  ·  all: mIoU {whole.miou:.2f}, "
            f"pixel accuracy {whole.accuracy:.2f}  ·  a row selects its images"
        )
        self._pages.setCurrentIndex(1)

    def set_chosen(self, name: str) -> None:
        """Say which slice the list of images is restricted to."""
        self.show_all.setVisible(bool(name))
        if not name:
            self.view.clearSelection()

    # -- inside -------------------------------------------------------------------------------

    def _show_classes(self) -> None:
        self.classes.setVisible(self.by.currentData() == "class")

    def _on_column(self) -> None:
        self._show_classes()
        self.column_changed.emit(self.column)

    def _on_row(self, index: QModelIndex) -> None:
        if index.isValid():
            row = self._proxy.mapToSource(index).row()
            self.slice_selected.emit(self._model.rows[row].name)
