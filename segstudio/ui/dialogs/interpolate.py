"""What frames between two corrected ones would look like, before they are written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QImage, QPixmap, QResizeEvent
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QWidget

from segstudio.core.types import Image
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import ElidedLabel, JumpSlider, label
from segstudio.ui.widgets.frames import dialog_layout

__all__ = ["InterpolateDialog"]


class InterpolateDialog(QDialog):
    """Shows one frame between at a time; Accept writes them all.

    Parameters
    ----------
    first, last : str
        The corrected frames.
    between : sequence of str
        Those between them.

    Attributes
    ----------
    frame_wanted : Signal(int)
        A frame's picture is wanted, 0 for the first one between.
    """

    frame_wanted = Signal(int)

    def __init__(
        self, first: str, last: str, between: Sequence[str], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Interpolate between corrected frames")
        self._between = tuple(between)
        self._pixmap = QPixmap()
        self.picture = QLabel("Making a preview …")
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setMinimumSize(60 * GRID, 40 * GRID)
        self.picture.setAccessibleName("Preview")
        self.slider = JumpSlider(0, len(between) - 1, (len(between) - 1) // 2)
        self.slider.setAccessibleName("Frame")
        self.slider.setEnabled(len(between) > 1)
        self.name = ElidedLabel("", mode=Qt.TextElideMode.ElideMiddle)
        count = len(between)
        self.ok = QPushButton(f"Write {count} frame{'' if count == 1 else 's'}")
        self.ok.setProperty("primary", "true")
        self.ok.setDefault(True)
        cancel = QPushButton("Cancel")
        words = label(
            f"The shapes of each class are interpolated between {first} and {last}. "
            "The frames are entered as in progress; one step takes them back.",
            style="muted",
        )
        words.setWordWrap(True)
        row = QHBoxLayout()
        row.setSpacing(GRID)
        row.addWidget(self.name, 1)
        row.addWidget(cancel)
        row.addWidget(self.ok)
        layout = dialog_layout(self, "Interpolate between corrected frames", spacing=GRID + 4)
        layout.addWidget(words)
        layout.addWidget(self.picture, 1)
        layout.addWidget(self.slider)
        layout.addLayout(row)
        self.ok.clicked.connect(self.accept)
        cancel.clicked.connect(self.reject)
        self.slider.valueChanged.connect(self._follow)
        self.resize(84 * GRID, 76 * GRID)

    @property
    def number(self) -> int:
        """The frame shown, 0 for the first one between."""
        return self.slider.value()

    def ask(self) -> None:
        """Ask for the picture of the frame chosen."""
        self._follow(self.number)

    def _follow(self, number: int) -> None:
        name = self._between[number].rpartition("/")[2]
        self.name.set_text(f"{name}   ({number + 1} of {len(self._between)})")
        self.frame_wanted.emit(number)

    def set_picture(self, number: int, picture: Image) -> None:
        """Show a frame's picture, (H, W, 3) uint8 RGB, unless another is wanted by now."""
        if number != self.number:
            return
        pixels = np.ascontiguousarray(picture)
        height, width = pixels.shape[:2]
        image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        self._pixmap = QPixmap.fromImage(image.copy())
        self._fit()

    def set_problem(self, text: str) -> None:
        """Say why there is no picture."""
        self.picture.setText(text)
        self.picture.setWordWrap(True)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the picture."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if not self._pixmap.isNull():
            ratio = self.devicePixelRatioF()
            scaled = self._pixmap.scaled(
                self.picture.size() * ratio,
                Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
            scaled.setDevicePixelRatio(ratio)
            self.picture.setPixmap(scaled)
