"""Which regions to accept together: of this image or all, below a size or an entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QSpinBox,
    QWidget,
)

from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label
from segstudio.ui.widgets.frames import dialog_layout

__all__ = ["AcceptDialog"]


class AcceptDialog(QDialog):
    """Asks for a threshold and says how many regions lie below it.

    Parameters
    ----------
    noun : str
        What kind of region: "uncertain" or "error".
    by_entropy : bool
        Whether their mean entropy is a criterion too.
    """

    def __init__(self, noun: str, by_entropy: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Accept regions")
        self._here: list[Any] = []
        self._all: list[Any] = []
        self.scope = QComboBox()
        self.scope.addItems(["This image", "All images"])
        self.criterion = QComboBox()
        self.criterion.addItem("Area below")
        if by_entropy:
            self.criterion.addItem("Mean entropy below")
        self.area = QSpinBox()
        self.area.setRange(1, 10_000_000)
        self.area.setValue(50)
        self.area.setSuffix(" px")
        self.entropy = QDoubleSpinBox()
        self.entropy.setRange(0.0, 1.0)
        self.entropy.setSingleStep(0.05)
        self.entropy.setValue(0.6)
        self.count = label("Counting …", style="muted")
        self.ok = QPushButton("Accept")
        self.ok.setProperty("primary", "true")
        self.ok.setDefault(True)
        self.cancel = QPushButton("Cancel")
        self.ok.setEnabled(False)
        self._arrange(noun)
        self.scope.currentIndexChanged.connect(self._follow)
        self.criterion.currentIndexChanged.connect(self._follow)
        self.area.valueChanged.connect(self._follow)
        self.entropy.valueChanged.connect(self._follow)
        self.ok.clicked.connect(self.accept)
        self.cancel.clicked.connect(self.reject)
        self._follow()  # hides a row
        self.resize(52 * GRID, self.sizeHint().height())

    def _arrange(self, noun: str) -> None:
        words = label(
            f"Accepted {noun} regions stay as they are and are not offered again. "
            "Nothing is painted; one step takes it all back.",
            style="muted",
        )
        words.setWordWrap(True)
        form = QFormLayout()
        form.setHorizontalSpacing(2 * GRID)
        form.setVerticalSpacing(GRID)
        form.addRow("Where", self.scope)
        form.addRow("Which", self.criterion)
        form.addRow("", self.area)
        form.addRow("", self.entropy)
        layout = dialog_layout(self, f"Accept {noun} regions")
        layout.addWidget(words)
        layout.addLayout(form)
        row = QHBoxLayout()
        row.setSpacing(GRID)
        row.addWidget(self.count, 1)
        row.addWidget(self.cancel)
        row.addWidget(self.ok)
        layout.addLayout(row)

    def set_regions(self, here: Sequence[Any], everywhere: Sequence[Any]) -> None:
        """Say which regions there are: of the image shown, and of all images.

        Each has ``area`` in pixels and ``mean_entropy``, 0..1 or None.
        """
        self._here, self._all = list(here), list(everywhere)
        self.ok.setEnabled(True)
        self._follow()

    def set_problem(self, text: str) -> None:
        """Say why there is nothing to accept."""
        self.count.setText(text)
        self.count.setWordWrap(True)

    def chosen(self) -> list[Any]:
        """Return the regions below the threshold."""
        regions = self._all if self.scope.currentIndex() else self._here
        if self.criterion.currentIndex():
            limit = self.entropy.value()
            return [
                region
                for region in regions
                if region.mean_entropy is not None and region.mean_entropy < limit
            ]
        return [region for region in regions if region.area < self.area.value()]

    def _follow(self) -> None:
        by_entropy = self.criterion.currentIndex() == 1
        self.area.setVisible(not by_entropy)
        self.entropy.setVisible(by_entropy)
        if not self.ok.isEnabled() and not (self._here or self._all):
            return
        total = len(self._all if self.scope.currentIndex() else self._here)
        chosen = len(self.chosen())
        words = f"{chosen} of {total} open regions"
        if not total and self.scope.currentIndex():
            words = "None found yet: Review ▸ Find the uncertain regions of all images."
        self.count.setWordWrap(not total)
        self.count.setText(words)
        self.ok.setEnabled(chosen > 0)
