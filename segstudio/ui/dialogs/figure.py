"""The figure dialog: which images, in which form, where to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QGridLayout,
    QLineEdit,
    QPushButton,
    QWidget,
)

from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import ElidedLabel, label
from segstudio.ui.widgets.frames import button_row, dialog_layout

__all__ = ["FigureChoice", "FigureDialog", "figure_path"]

_TITLES = {
    "png": "PNG: pixels, for slides and the web",
    "pdf": "PDF: for papers",
    "svg": "SVG: to be edited",
}
_RESOLUTIONS = (100, 150, 200, 300)


@dataclass(frozen=True, slots=True)
class FigureChoice:
    """What was chosen.

    Attributes
    ----------
    samples : tuple of str
        The images, at least one.
    targets : tuple of Path
        A file for each.
    format : str
        "png", "pdf" or "svg".
    dpi : int
        Pixels per inch of a PNG.
    in_view : bool
        Whether only the part in view is drawn.
    """

    samples: tuple[str, ...]
    targets: tuple[Path, ...]
    format: str
    dpi: int
    in_view: bool


def figure_path(folder: Path, sample_id: str, form: str) -> Path:
    """Return where a sample's figure goes: its own folders below ``folder``, its own name."""
    return (folder / sample_id).with_suffix(f".{form}")


class FigureDialog(QDialog):
    """Which images, how much of them, format, resolution, folder."""

    def __init__(
        self,
        current: str,
        selected: Sequence[str],
        folder: Path,
        *,
        zoomed: bool,
        form: str = "png",
        dpi: int = 200,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export figure")
        self.setMinimumWidth(64 * GRID)
        self._current, self._selected = current, tuple(selected)
        self._images, self._part = QComboBox(), QComboBox()
        self._images.addItem("The image shown", False)
        if len(self._selected) > 1:
            self._images.addItem(f"The {len(self._selected)} images selected below", True)
        self._part.addItem("The whole image", False)
        if zoomed:
            self._part.addItem("The part in view", True)
            self._part.setCurrentIndex(1)
        self._format, self._dpi = QComboBox(), QComboBox()
        for name, title in _TITLES.items():
            self._format.addItem(title, name)
        self._format.setCurrentIndex(max(0, self._format.findData(form)))
        for value in _RESOLUTIONS:
            self._dpi.addItem(f"{value} pixels per inch", value)
        self._dpi.setCurrentIndex(max(0, self._dpi.findData(dpi)))
        self._folder = QLineEdit(str(folder))
        self._hint = ElidedLabel("", mode=Qt.TextElideMode.ElideMiddle, role="muted")
        self._start = QPushButton("Export")
        self._build()
        for box in (self._images, self._format):
            box.currentIndexChanged.connect(lambda _index: self._follow())
        self._folder.textChanged.connect(lambda _text: self._follow())
        self._follow()

    def _build(self) -> None:
        browse = QPushButton("Choose…")
        browse.clicked.connect(self._choose)
        cancel = QPushButton("Cancel")
        cancel.clicked.connect(self.reject)
        self._start.setProperty("primary", "true")
        self._start.setDefault(True)
        self._start.clicked.connect(self.accept)
        grid = QGridLayout()
        grid.setHorizontalSpacing(2 * GRID)
        grid.setVerticalSpacing(GRID)
        grid.setColumnStretch(1, 1)
        fields = (
            ("Images", self._images),
            ("Part", self._part),
            ("Format", self._format),
            ("Resolution", self._dpi),
        )
        for row, (text, widget) in enumerate(fields):
            caption = label(text, style="muted")
            caption.setBuddy(widget)
            grid.addWidget(caption, row, 0)
            grid.addWidget(widget, row, 1, 1, 2)
        grid.addWidget(label("Folder", style="muted"), 4, 0)
        grid.addWidget(self._folder, 4, 1)
        grid.addWidget(browse, 4, 2)
        grid.addWidget(self._hint, 5, 1, 1, 2)
        buttons = button_row(cancel, self._start)
        words = label("The grid as it is: its models, columns and legend.", style="muted")
        layout = dialog_layout(self, "Export figure")
        layout.addWidget(words)
        layout.addLayout(grid)
        layout.addLayout(buttons)

    @property
    def folder(self) -> str:
        """The folder that is named."""
        return self._folder.text().strip()

    def choice(self) -> FigureChoice:
        """Return what is chosen now."""
        several = bool(self._images.currentData())
        samples = self._selected if several else (self._current,)
        form, folder = str(self._format.currentData()), Path(self._folder.text().strip())
        return FigureChoice(
            samples,
            tuple(figure_path(folder, sample_id, form) for sample_id in samples),
            form,
            int(self._dpi.currentData()),
            bool(self._part.currentData()),
        )

    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Export to", self._folder.text())
        if folder:
            self._folder.setText(folder)

    def _follow(self) -> None:
        choice = self.choice()
        self._dpi.setEnabled(choice.format == "png")
        there = bool(self._folder.text().strip())
        self._start.setEnabled(there)
        more = len(choice.targets) - 1
        rest = f"  and {more} more" if more else ""
        self._hint.set_text(f"{choice.targets[0]}{rest}" if there else "Choose a folder.")
