"""The export dialog: what, in which form, with which options, where to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QGridLayout,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QWidget,
)

from segstudio.core.errors import SegStudioError
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label
from segstudio.ui.widgets.frames import button_row, dialog_layout
from segstudio.ui.widgets.options_form import CAPTION_WIDTH, OptionsForm

__all__ = ["ExportChoice", "ExportDialog", "ExporterChoice", "ask_existing"]

Remarks = Callable[[str, str, Any], Sequence[str]]
"""From what, exporter and options to what cannot be expressed."""


@dataclass(frozen=True, slots=True)
class ExporterChoice:
    """An exporter that can be chosen.

    Attributes
    ----------
    name, description : str
    options : type
        Its Options dataclass.
    """

    name: str
    description: str
    options: type


@dataclass(frozen=True, slots=True)
class ExportChoice:
    """What was chosen; ``options`` None takes the exporter's defaults."""

    what: str
    exporter: str
    destination: Path
    options: Any = None


class ExportDialog(QDialog):
    """A few questions, and what the format cannot say.

    Parameters
    ----------
    sources : sequence of (str, str)
        What can be exported: key and title.
    exporters : sequence of ExporterChoice
    destination : Path
        The folder that is proposed.
    remarks : callable
        See `Remarks`; raises a SegStudioError when the label space cannot be expressed.
    exporter : str
        The one that is chosen at first.
    """

    def __init__(
        self,
        sources: Sequence[tuple[str, str]],
        exporters: Sequence[ExporterChoice],
        destination: Path,
        *,
        remarks: Remarks = lambda what, exporter, options: (),
        exporter: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export label maps")
        self.setMinimumWidth(70 * GRID)
        self._remarks = remarks
        self._exporters = {entry.name: entry for entry in exporters}
        self._what = QComboBox()
        for key, title in sources:
            self._what.addItem(title, key)
        self._exporter = QComboBox()
        for entry in exporters:
            self._exporter.addItem(entry.name, entry.name)
        self._exporter.setCurrentIndex(max(0, self._exporter.findData(exporter)))
        self._hint = label(style="muted")
        self._hint.setWordWrap(True)
        self.form = OptionsForm()
        self.note = label(style="muted")
        self.note.setWordWrap(True)
        self._folder = QLineEdit(str(destination))
        self._start = QPushButton("Export")
        self._arrange()
        self._exporter.currentIndexChanged.connect(self._change_exporter)
        self._what.currentIndexChanged.connect(lambda _index: self._follow())
        self._folder.textChanged.connect(lambda _text: self._follow())
        self.form.changed.connect(self._follow)
        self._change_exporter()

    def choice(self) -> ExportChoice:
        """Return what is chosen now."""
        return ExportChoice(
            str(self._what.currentData() or ""),
            str(self._exporter.currentData() or ""),
            Path(self._folder.text().strip()),
            self.form.value(),
        )

    def _arrange(self) -> None:
        browse = QPushButton("Choose…")
        browse.clicked.connect(self._choose)
        self._start.setProperty("primary", "true")
        self._start.setDefault(True)
        self._start.clicked.connect(self.accept)
        cancel = QPushButton("Cancel")
        cancel.clicked.connect(self.reject)
        grid = QGridLayout()
        grid.setHorizontalSpacing(2 * GRID)
        grid.setVerticalSpacing(GRID)
        grid.setColumnStretch(1, 1)
        rows = (("What", self._what), ("Format", self._exporter), ("", self._hint))
        for row, (text, widget) in enumerate(rows):
            caption = label(text, style="muted")
            caption.setBuddy(widget)
            grid.addWidget(caption, row, 0)
            grid.addWidget(widget, row, 1, 1, 2)
        grid.addWidget(self.form, 3, 0, 1, 3)
        folder = label("Folder", style="muted")
        folder.setBuddy(self._folder)
        grid.addWidget(folder, 4, 0)
        grid.addWidget(self._folder, 4, 1)
        grid.addWidget(browse, 4, 2)
        grid.addWidget(self.note, 5, 1, 1, 2)
        grid.setColumnMinimumWidth(0, CAPTION_WIDTH)
        buttons = button_row(cancel, self._start)
        layout = dialog_layout(self, "Export label maps")
        layout.addLayout(grid)
        layout.addStretch(1)
        layout.addLayout(buttons)

    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Export to", self._folder.text())
        if folder:
            self._folder.setText(folder)

    def _change_exporter(self) -> None:
        entry = self._exporters.get(str(self._exporter.currentData()))
        if entry is not None:
            self._hint.setText(entry.description)
            self.form.set_options(entry.options)
        self._follow()

    def _follow(self) -> None:
        """Say what the format cannot express, and let nothing begin that cannot be done."""
        what, exporter = (
            str(self._what.currentData() or ""),
            str(self._exporter.currentData() or ""),
        )
        ready = bool(what and exporter and self._folder.text().strip())
        words: Sequence[str] = ()
        try:
            words = self._remarks(what, exporter, self.form.value()) if what and exporter else ()
        except SegStudioError as error:
            words, ready = (str(error),), False
        self.note.setText("\n".join(words))
        self.note.setVisible(bool(words))
        self._start.setEnabled(ready)
        # New widgets get their style, and so their height, when the event loop runs.
        QTimer.singleShot(0, self, self._fit)

    def _fit(self) -> None:
        """Take the height that the wrapped sentences need at this width."""
        layout = self.layout()
        if layout is not None:
            form = self.form.layout()
            if form is not None:
                width = self.form.width()
                self.form.setMinimumHeight(
                    form.totalHeightForWidth(width) if self.form.isVisible() else 0
                )
            layout.activate()
            self.resize(self.width(), layout.totalHeightForWidth(self.width()))

    def showEvent(self, event: QShowEvent) -> None:
        """Fit once the fonts and the width are known."""
        super().showEvent(event)
        QTimer.singleShot(0, self, self._fit)


def ask_existing(
    parent: QWidget, destination: Path, there: int, total: int, first: str
) -> str | None:
    """Ask what happens to files that are there already.

    Returns
    -------
    str or None
        "keep", "replace", "other" (another folder), or None to leave it.
    """
    box = QMessageBox(parent)
    box.setWindowTitle("Export label maps")
    box.setIcon(QMessageBox.Icon.Question)
    noun = "file" if total == 1 else "files"
    box.setText(f"{there:,} of the {total:,} {noun} of this export are in {destination} already.")
    box.setInformativeText(
        f"{first} is one of them. Skipping them goes on with an export that was stopped."
    )
    skip = box.addButton("Skip them", QMessageBox.ButtonRole.AcceptRole)
    replace = box.addButton("Replace", QMessageBox.ButtonRole.DestructiveRole)
    other = box.addButton("Other folder…", QMessageBox.ButtonRole.ActionRole)
    cancel = box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(skip)
    box.setEscapeButton(cancel)
    box.exec()
    answers = {id(skip): "keep", id(replace): "replace", id(other): "other"}
    return answers.get(id(box.clickedButton()))
