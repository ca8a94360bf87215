"""From which entropy on a pixel counts as uncertain."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker
from PySide6.QtWidgets import (
    QDialog,
    QDoubleSpinBox,
    QHBoxLayout,
    QPushButton,
    QWidget,
)

from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import JumpSlider, label
from segstudio.ui.widgets.frames import button_row, dialog_layout

__all__ = ["LEAST_LEVEL", "UncertainLevelDialog"]

LEAST_LEVEL = 0.05
"""A lower level would make nearly every pixel uncertain."""


class UncertainLevelDialog(QDialog):
    """Asks for the level.

    Parameters
    ----------
    level : float
        The present one, `LEAST_LEVEL`..1.
    """

    def __init__(self, level: float, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Uncertain regions")
        self.number = QDoubleSpinBox()
        self.number.setRange(LEAST_LEVEL, 1.0)
        self.number.setDecimals(2)
        self.number.setSingleStep(0.05)
        self.number.setFixedWidth(9 * GRID)
        self.number.setAccessibleName("Entropy, a share of the largest possible")
        self.slider = JumpSlider(round(100 * LEAST_LEVEL), 100, 50)
        self.slider.setAccessibleName("Entropy")
        self.slider.valueChanged.connect(lambda value: self.number.setValue(value / 100))
        self.number.valueChanged.connect(self._on_number)
        self.number.setValue(level)
        words = label(
            "A region is uncertain where the entropy of its pixels is at least this share of the "
            "largest possible. Regions of all images have to be found again after a change.",
            style="muted",
        )
        words.setWordWrap(True)
        choice = QHBoxLayout()
        choice.setSpacing(2 * GRID)
        choice.addWidget(label("Uncertain from", style="muted"))
        choice.addWidget(self.slider, 1)
        choice.addWidget(self.number)
        cancel, use = QPushButton("Cancel"), QPushButton("Use")
        use.setProperty("primary", "true")
        use.setDefault(True)
        cancel.clicked.connect(self.reject)
        use.clicked.connect(self.accept)
        buttons = button_row(cancel, use)
        layout = dialog_layout(self, "Uncertain regions")
        layout.addWidget(words)
        layout.addLayout(choice)
        layout.addLayout(buttons)
        self.setFixedWidth(56 * GRID)

    @property
    def level(self) -> float:
        """The level that was chosen."""
        return self.number.value()

    def _on_number(self, value: float) -> None:
        with QSignalBlocker(self.slider):
            self.slider.setValue(round(100 * value))
