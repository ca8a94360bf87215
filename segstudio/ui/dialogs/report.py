"""The report dialog: which runs, where to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QWidget,
)

from segstudio.ui.models import images_text
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label
from segstudio.ui.widgets.frames import dialog_layout

__all__ = ["ReportDialog"]

_RunRole = Qt.ItemDataRole.UserRole + 1


class ReportDialog(QDialog):
    """Runs to check, and a folder.

    Parameters
    ----------
    runs : sequence of (str, int)
        Names and how many images they have finished.
    chosen : str
        The run that is checked at first; "" checks all.
    folder : Path
    """

    def __init__(
        self,
        runs: Sequence[tuple[str, int]],
        *,
        chosen: str,
        folder: Path,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Write report")
        self.setMinimumWidth(66 * GRID)
        self._runs = QListWidget()
        self._runs.setAccessibleName("Runs")
        self._runs.setMaximumHeight(22 * GRID)
        self._runs.setSpacing(3)
        for name, count in runs:
            item = QListWidgetItem(f"{name}   ({images_text(count)})")
            item.setData(_RunRole, name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            checked = name == chosen or not chosen
            item.setCheckState(Qt.CheckState.Checked if checked else Qt.CheckState.Unchecked)
            self._runs.addItem(item)
        self._folder = QLineEdit(str(folder))
        self._write = QPushButton("Write")
        self._write.setProperty("primary", "true")
        self._write.setDefault(True)
        self._write.clicked.connect(self.accept)
        self._arrange()
        self._runs.itemChanged.connect(lambda _item: self._follow())
        self._folder.textChanged.connect(lambda _text: self._follow())
        self._follow()

    def _arrange(self) -> None:
        browse, cancel = QPushButton("Choose…"), QPushButton("Cancel")
        browse.clicked.connect(lambda _checked: self._choose())
        cancel.clicked.connect(self.reject)
        words = label(
            "report.html is one page that opens anywhere: scores with intervals, plots, failures "
            "with crops, definitions. Beside it: report.json, classes.csv, samples.csv, "
            "confusion.csv. Error regions that were not found yet are found first.",
            style="muted",
        )
        words.setWordWrap(True)
        place = QHBoxLayout()
        place.addWidget(label("Folder", style="muted"))
        place.addWidget(self._folder, 1)
        place.addWidget(browse)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        for button in (cancel, self._write):
            button.setMinimumWidth(11 * GRID)
            buttons.addWidget(button)
        layout = dialog_layout(self, "Write report")
        layout.addWidget(words)
        layout.addWidget(self._runs)
        layout.addLayout(place)
        layout.addLayout(buttons)

    @property
    def runs(self) -> list[str]:
        """The checked runs."""
        items = [self._runs.item(row) for row in range(self._runs.count())]
        return [
            str(item.data(_RunRole)) for item in items if item.checkState() == Qt.CheckState.Checked
        ]

    @property
    def folder(self) -> Path:
        """Where to."""
        return Path(self._folder.text().strip()).expanduser()

    def _follow(self) -> None:
        self._write.setEnabled(bool(self.runs and self._folder.text().strip()))

    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder for the report", str(self.folder))
        if folder:
            self._folder.setText(folder)
