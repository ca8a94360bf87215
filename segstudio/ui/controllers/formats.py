"""What a folder is opened as, when the first guess is not the user's: format, colours."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QDialog

from segstudio.datasets.base import FORMATS, Dataset
from segstudio.datasets.color_naming import ColorName, MaskColor, count_colors, save_named_colors
from segstudio.datasets.formats.rgb import FOUND_COLORS
from segstudio.datasets.opening import sniff
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.dialogs.colors import ColorsDialog
from segstudio.ui.dialogs.open_as import FormatDialog
from segstudio.ui.main_window import MainWindow

__all__ = ["FormatsController", "has_unnamed_colors"]


def has_unnamed_colors(dataset: Dataset) -> bool:
    """Return whether the classes are colours that nobody named."""
    return dataset.label_space is not None and dataset.label_space.source == FOUND_COLORS


class FormatsController(QObject):
    """Asks for another format, and for the names of colours.

    Attributes
    ----------
    reopen : Signal(Path, str)
        The folder is to be opened again, as this format ("" is the best guess).
    """

    reopen = Signal(object, str)

    def __init__(self, window: MainWindow, tasks: Tasks) -> None:
        super().__init__(window)
        self._window, self._tasks = window, tasks

    def ask_format(self, path: Path, current: str) -> None:
        """Look at a folder in a thread, then offer what it may be."""
        self._tasks.start(
            "formats",
            lambda: sniff(path),
            lambda ranking: self._choose(path, current, ranking),
            self._on_failed,
        )

    def _choose(self, path: Path, current: str, ranking: list[tuple[float, str]]) -> None:
        formats = {name: entry.description for name, entry in FORMATS.items()}
        dialog = FormatDialog(current, ranking, formats, parent=self._window)
        if dialog.exec() == QDialog.DialogCode.Accepted and dialog.choice():
            self.reopen.emit(path, dialog.choice())

    def ask_colors(self, dataset: Dataset) -> None:
        """Count the masks' colours in a thread, then ask for their names."""
        self._tasks.start(
            "formats",
            lambda: count_colors(dataset),
            lambda colors: self._name(dataset.root, colors),
            self._on_failed,
        )

    def _name(self, root: Path, colors: list[MaskColor]) -> None:
        dialog = ColorsDialog(colors, parent=self._window)
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return
        names: list[ColorName] = dialog.names()
        self._tasks.start(
            "formats",
            lambda: save_named_colors(root, names),
            lambda _path: self.reopen.emit(root, "rgb"),
            self._on_failed,
        )

    def _on_failed(self, error: Exception) -> None:
        self._window.show_notice("opened", sentence(error), kind="error")
