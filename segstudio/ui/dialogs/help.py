"""The shortcut sheet and the about box."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.actions import HELD_KEYS, ActionSpec
from segstudio.ui.icons import icon
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label

__all__ = ["AboutDialog", "ShortcutsDialog"]


def _sheet(specs: Sequence[ActionSpec]) -> dict[str, list[tuple[str, list[str]]]]:
    """Return heading -> (words, keys) from the table of actions."""
    sheet: dict[str, list[tuple[str, list[str]]]] = {}
    for spec in specs:
        if not spec.keys or spec.action_id.startswith("favourite_"):
            continue
        keys = [
            QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
            for key in spec.keys
        ]
        sheet.setdefault(spec.scope, []).append((spec.title.rstrip("…"), keys))
    sheet.setdefault("Correct", []).append(("Paint with a favourite class", ["1 … 9"]))
    for keys_text, words, scope in HELD_KEYS:
        sheet.setdefault(scope, []).append((words, [keys_text]))
    return sheet


class ShortcutsDialog(QDialog):
    """Every key, made from the same table that the menus are made from."""

    def __init__(self, specs: Sequence[ActionSpec], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keyboard shortcuts")
        self.resize(860, 620)
        columns = QHBoxLayout()
        columns.setSpacing(5 * GRID)
        left, right = QVBoxLayout(), QVBoxLayout()
        sheet = _sheet(specs)
        for scope in ("View", "Browse", "Run"):
            left.addWidget(self._group(scope, sheet.get(scope, [])))
        for scope in ("Correct", "File", "Window"):
            right.addWidget(self._group(scope, sheet.get(scope, [])))
        for column in (left, right):
            column.setSpacing(2 * GRID)
            column.addStretch(1)
            columns.addLayout(column, 1)
        body = QWidget()
        body.setLayout(columns)
        area = QScrollArea()
        area.setWidget(body)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 2 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(label("Keyboard shortcuts", style="heading"))
        layout.addWidget(area, 1)

    def _group(self, scope: str, lines: list[tuple[str, list[str]]]) -> QWidget:
        group = QWidget()
        grid = QGridLayout(group)
        grid.setContentsMargins(0, 0, GRID, 0)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(0, 1)
        grid.addWidget(label(scope, style="section"), 0, 0)
        for row, (words, keys) in enumerate(lines, start=1):
            text = QLabel(words)
            text.setWordWrap(True)
            grid.addWidget(text, row, 0)
            caps = QHBoxLayout()
            caps.setSpacing(4)
            caps.addStretch(1)
            for key in keys:
                cap = QLabel(key)
                cap.setObjectName("keycap")
                caps.addWidget(cap)
            grid.addLayout(caps, row, 1)
        return group


class AboutDialog(QDialog):
    """What this is, which version, under which licence."""

    def __init__(self, version: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("About SegStudio")
        from PySide6.QtCore import qVersion

        picture = QLabel()
        picture.setPixmap(icon("app", role="accent").pixmap(QSize(48, 48)))
        words = QLabel(
            "Run, correct and understand semantic segmentation on your own machine. "
            "Nothing leaves it."
        )
        words.setWordWrap(True)
        versions = label(
            f"Version {version}  ·  Qt {qVersion()}  ·  Python {platform.python_version()}",
            style="muted",
        )
        versions.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        licence = label(
            "Apache License 2.0. Models carry the note of the data they were trained on.",
            style="muted",
        )
        licence.setWordWrap(True)
        close = QPushButton("Close")
        close.clicked.connect(self.accept)
        text = QVBoxLayout()
        text.setSpacing(GRID)
        text.addWidget(label("SegStudio", style="heading"))
        for widget in (words, versions, licence):
            text.addWidget(widget)
        top = QHBoxLayout()
        top.setSpacing(3 * GRID)
        top.addWidget(picture, 0, Qt.AlignmentFlag.AlignTop)
        top.addLayout(text, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 2 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addLayout(top)
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)
        self.setFixedWidth(56 * GRID)
