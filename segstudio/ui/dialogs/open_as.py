"""Choosing the format of a folder: what it looks like first, then all others."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QWidget,
)

from segstudio.ui.theme import GRID
from segstudio.ui.widgets.frames import button_row, dialog_layout

__all__ = ["FormatDialog"]


class FormatDialog(QDialog):
    """A list of formats with how sure the look was, and their options.

    Parameters
    ----------
    current : str
        The format it was opened as.
    ranking : sequence of (float, str)
        What it looks like: 0..1 and name, best first.
    formats : dict of str to str
        Description by name of all formats.
    """

    def __init__(
        self,
        current: str,
        ranking: Sequence[tuple[float, str]],
        formats: dict[str, str],
        *,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open as")
        self.resize(78 * GRID, 62 * GRID)
        self.list = QListWidget()
        self.list.setWordWrap(True)
        self.list.setStyleSheet(f"QListWidget::item {{ padding: {GRID - 2}px {GRID}px; }}")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        seen = [name for _, name in ranking]
        best = ranking[0][0] if ranking else 0.0
        for score, name in ranking:
            tied = score == best and sum(other == best for other, _ in ranking) > 1
            how = "fits as well as another" if tied else "fits best" if score == best else "may fit"
            self._add(name, formats.get(name, ""), f"{how} ({score:.2f})", current)
        for name, description in formats.items():
            if name not in seen:
                self._add(name, description, "", current)
        self.options = QLineEdit()
        self.options.setPlaceholderText("Options of the format, for example every=30")
        self._open = QPushButton("Open")
        self._open.setProperty("primary", "true")
        self._open.setDefault(True)
        self._open.clicked.connect(self.accept)
        cancel = QPushButton("Cancel")
        cancel.clicked.connect(self.reject)
        self.list.itemDoubleClicked.connect(lambda _item: self.accept())
        buttons = button_row(cancel, self._open)
        layout = dialog_layout(self, "Open as", spacing=GRID)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.options)
        layout.addLayout(buttons)
        if self.list.currentRow() < 0:
            self.list.setCurrentRow(0)

    def choice(self) -> str:
        """Return the chosen format, with its options behind a colon."""
        item = self.list.currentItem()
        name = str(item.data(Qt.ItemDataRole.UserRole)) if item is not None else ""
        options = self.options.text().strip()
        return f"{name}:{options}" if options else name

    def _add(self, name: str, description: str, how: str, current: str) -> None:
        title = f"{name}  —  {how}" if how else name
        item = QListWidgetItem(f"{title}\n{description}")
        item.setData(Qt.ItemDataRole.UserRole, name)
        item.setData(Qt.ItemDataRole.AccessibleTextRole, title)
        self.list.addItem(item)
        if name == current:
            self.list.setCurrentItem(item)
