"""What dialogs and panels are framed by: margins, headings, rows of buttons, sentences."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label

__all__ = ["button_row", "dialog_layout", "message_label"]


def dialog_layout(dialog: QDialog, heading: str = "", *, spacing: int = 2 * GRID) -> QVBoxLayout:
    """Return the layout of a dialog: its margins, and its heading on top where there is one."""
    layout = QVBoxLayout(dialog)
    layout.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 2 * GRID)
    layout.setSpacing(spacing)
    if heading:
        layout.addWidget(label(heading, style="heading"))
    return layout


def button_row(*buttons: QPushButton) -> QHBoxLayout:
    """Return buttons of one width at the right end of a row."""
    row = QHBoxLayout()
    row.setSpacing(GRID)
    row.addStretch(1)
    for button in buttons:
        button.setMinimumWidth(11 * GRID)
        row.addWidget(button)
    return row


def message_label() -> QLabel:
    """Return a label for the sentence that stands where there is nothing to show."""
    message = label(style="muted")
    message.setAlignment(Qt.AlignmentFlag.AlignCenter)
    message.setWordWrap(True)
    message.setMargin(2 * GRID)
    return message
