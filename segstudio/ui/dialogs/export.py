"""The export dialog: what, in which form, where to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label

__all__ = ["ExportChoice", "ExportDialog"]


@dataclass(frozen=True, slots=True)
class ExportChoice:
    """What was chosen."""

    what: str
    exporter: str
    destination: Path


class ExportDialog(QDialog):
    """Three questions."""

    def __init__(
        self,
        sources: Sequence[tuple[str, str]],
        exporters: Sequence[tuple[str, str]],
        destination: Path,
        *,
        exporter: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export label maps")
        self.setMinimumWidth(62 * GRID)
        self._what = QComboBox()
        for key, title in sources:
            self._what.addItem(title, key)
        self._exporter = QComboBox()
        self._descriptions = dict(exporters)
        for name, _ in exporters:
            self._exporter.addItem(name, name)
        self._exporter.setCurrentIndex(max(0, self._exporter.findData(exporter)))
        self._hint = label(style="muted")
        self._hint.setWordWrap(True)
        self._folder = QLineEdit(str(destination))
        browse = QPushButton("Choose…")
        browse.clicked.connect(self._choose)
        self._start = QPushButton("Export")
        self._start.setProperty("primary", "true")
        self._start.setDefault(True)
        self._start.clicked.connect(self.accept)
        cancel = QPushButton("Cancel")
        cancel.clicked.connect(self.reject)
        grid = QGridLayout()
        grid.setHorizontalSpacing(2 * GRID)
        grid.setVerticalSpacing(GRID)
        grid.setColumnStretch(1, 1)
        for row, (text, widget) in enumerate(
            (("What", self._what), ("Format", self._exporter), ("", self._hint))
        ):
            caption = label(text, style="muted")
            caption.setBuddy(widget)
            grid.addWidget(caption, row, 0)
            grid.addWidget(widget, row, 1, 1, 2)
        grid.addWidget(label("Folder", style="muted"), 3, 0)
        grid.addWidget(self._folder, 3, 1)
        grid.addWidget(browse, 3, 2)
        buttons = QHBoxLayout()
        buttons.setSpacing(GRID)
        buttons.addStretch(1)
        for button in (cancel, self._start):
            button.setMinimumWidth(11 * GRID)
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 2 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(label("Export label maps", style="heading"))
        layout.addLayout(grid)
        layout.addLayout(buttons)
        self._exporter.currentIndexChanged.connect(self._follow)
        self._folder.textChanged.connect(self._follow)
        self._follow()

    def choice(self) -> ExportChoice:
        """Return what is chosen now."""
        return ExportChoice(
            str(self._what.currentData() or ""),
            str(self._exporter.currentData() or ""),
            Path(self._folder.text().strip()),
        )

    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Export to", self._folder.text())
        if folder:
            self._folder.setText(folder)

    def _follow(self) -> None:
        self._hint.setText(self._descriptions.get(self._exporter.currentData() or "", ""))
        ready = self._what.count() and self._exporter.count() and self._folder.text().strip()
        self._start.setEnabled(bool(ready))
