"""Naming the colours that were found in masks."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from segstudio.core.errors import SegStudioError
from segstudio.datasets.color_naming import ColorName, MaskColor, name_colors
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label
from segstudio.ui.widgets.frames import dialog_layout

__all__ = ["ColorsDialog"]

_HELP = (
    "Nothing beside the images says what the colours of the masks mean. Name them; a colour "
    "without a name is ignored. The names are saved as label_space.json beside the images."
)
_NAME = 2


class ColorsDialog(QDialog):
    """A row per colour: the colour, how much of the masks it is, its name."""

    def __init__(self, colors: Sequence[MaskColor], *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Name the colours")
        self.resize(70 * GRID, 62 * GRID)
        self._colors = list(colors)
        self.table = QTableWidget(len(self._colors), 3)
        self.table.setHorizontalHeaderLabels(["Colour", "Share", "Class"])
        self.table.verticalHeader().hide()
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.AllEditTriggers)
        for row, entry in enumerate(self._colors):
            self._fill(row, entry)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        self.table.setColumnWidth(0, 20 * GRID)
        self._hint = label(style="muted")
        self._hint.setWordWrap(True)
        self._save = QPushButton("Save and open")
        self._save.setProperty("primary", "true")
        self._save.clicked.connect(self.accept)
        cancel = QPushButton("Cancel")
        cancel.clicked.connect(self.reject)
        buttons = QHBoxLayout()
        buttons.setSpacing(GRID)
        buttons.addWidget(self._hint, 1)
        for button in (cancel, self._save):
            button.setMinimumWidth(11 * GRID)
            buttons.addWidget(button)
        words = label(_HELP, style="muted")
        words.setWordWrap(True)
        layout = dialog_layout(self, "Name the colours", spacing=GRID)
        layout.addWidget(words)
        layout.addWidget(self.table, 1)
        layout.addLayout(buttons)
        self.table.itemChanged.connect(lambda _item: self._follow())
        self.table.setCurrentCell(0, _NAME)
        self._follow()

    def names(self) -> list[ColorName]:
        """Return what was typed, in the order of the rows."""
        found = []
        for row, entry in enumerate(self._colors):
            item = self.table.item(row, _NAME)
            found.append(ColorName(entry.color, item.text() if item is not None else ""))
        return found

    def _fill(self, row: int, entry: MaskColor) -> None:
        picture = QPixmap(2 * GRID, 2 * GRID)
        picture.fill(QColor(*entry.color))
        swatch = QTableWidgetItem(QIcon(picture), ", ".join(map(str, entry.color)))
        share = QTableWidgetItem(f"{100 * entry.share:.2f} %")
        share.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for column, item in enumerate((swatch, share)):
            item.setFlags(Qt.ItemFlag.ItemIsEnabled)
            self.table.setItem(row, column, item)
        self.table.setItem(row, _NAME, QTableWidgetItem(""))

    def _follow(self) -> None:
        try:
            name_colors(self.names(), "colours")
        except SegStudioError as error:
            self._hint.setText(str(error))
            self._save.setEnabled(False)
            return
        self._hint.setText("")
        self._save.setEnabled(True)
