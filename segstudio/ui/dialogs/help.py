"""The about box."""

from __future__ import annotations

import platform

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from segstudio.ui.icons import icon
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label
from segstudio.ui.widgets.frames import dialog_layout

__all__ = ["AboutDialog"]


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
        layout = dialog_layout(self)
        layout.addLayout(top)
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)
        self.setFixedWidth(56 * GRID)
