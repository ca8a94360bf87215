"""The uncertainty panel: was the model sure, and had it reason to be? From histograms only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from segstudio.metrics import uncertainty
from segstudio.metrics.definitions import DEFINITIONS
from segstudio.ui.models import number, share
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label
from segstudio.ui.widgets.frames import message_label
from segstudio.ui.widgets.plots import EntropyPlot, ReliabilityPlot, SparsificationPlot

__all__ = ["UncertaintyData", "UncertaintyPanel"]

_FIGURES = (
    ("ece", "ECE", f"Expected calibration error. {DEFINITIONS['ece']}"),
    ("ece_mass", "equal mass", f"Expected calibration error. {DEFINITIONS['ece_mass']}"),
    ("auroc", "AUROC", DEFINITIONS["auroc"]),
    ("auprc", "AUPRC", DEFINITIONS["auprc"]),
    ("fpr95", "FPR95", DEFINITIONS["fpr95"]),
    ("ause", "AUSE", DEFINITIONS["ause"]),
)


@dataclass(frozen=True, slots=True, eq=False)
class UncertaintyData:
    """Histograms of a run by target class.

    Attributes
    ----------
    entropy, confidence : ndarray of shape (C, 2, 256), int64
        Pixels by class, right or wrong, and level.
    edge_ratio : float
        Mean entropy at edges over that elsewhere.
    """

    entropy: NDArray[np.int64]
    confidence: NDArray[np.int64]
    edge_ratio: float


class UncertaintyPanel(QWidget):
    """Three plots, the figures, and what the thresholds say.

    Attributes
    ----------
    regions_requested : Signal(float, float)
        Regions with a mean entropy in this range are wanted.
    """

    regions_requested = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._data: UncertaintyData | None = None
        self._shown: NDArray[np.int64] | None = None
        self.reliability = ReliabilityPlot()
        self.entropy = EntropyPlot()
        self.sparsification = SparsificationPlot()
        self.classes = QComboBox()
        self.classes.setToolTip("Only pixels whose ground truth is this class")
        self.figures: dict[str, QLabel] = {}
        self.confident = label()
        self.unsure = label()
        self._show_confident = QPushButton("Show")
        self._show_unsure = QPushButton("Show")
        self._message = message_label()
        self._arrange()
        self.classes.currentIndexChanged.connect(lambda _index: self._show())
        self.entropy.thresholds_changed.connect(lambda _low, _high: self._show_thresholds())
        self._show_confident.clicked.connect(
            lambda _checked: self.regions_requested.emit(0.0, self.entropy.thresholds[0])
        )
        self._show_unsure.clicked.connect(
            lambda _checked: self.regions_requested.emit(self.entropy.thresholds[1], 1.0)
        )
        self.set_message("How sure a model was appears here when it has run.")

    def _arrange(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(GRID, GRID // 2, GRID, 0)
        head.setSpacing(GRID)
        head.addWidget(self.classes)
        for key, title, hint in (
            *_FIGURES,
            ("edge_ratio", "edges", DEFINITIONS["edge_entropy_ratio"]),
        ):
            caption, value = label(title, style="muted"), label(number(None))
            for widget in (caption, value):
                widget.setToolTip(hint)
            self.figures[key] = value
            head.addWidget(caption)
            head.addWidget(value)
        head.addStretch(1)
        plots = QHBoxLayout()
        plots.setSpacing(GRID)
        plots.addWidget(self.reliability, 5)
        plots.addWidget(self.entropy, 6)
        plots.addWidget(self.sparsification, 5)
        words = QGridLayout()
        words.setContentsMargins(GRID + 4, 0, GRID, GRID // 2)
        words.setHorizontalSpacing(GRID)
        words.setVerticalSpacing(2)
        for row, (text, button) in enumerate(
            ((self.confident, self._show_confident), (self.unsure, self._show_unsure))
        ):
            words.addWidget(text, row, 0)
            words.addWidget(button, row, 1)
            button.setToolTip("List the error regions with such a mean entropy")
        words.setColumnStretch(0, 1)
        full = QWidget()
        column = QVBoxLayout(full)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addLayout(head)
        column.addLayout(plots, 1)
        column.addLayout(words)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(self._message)
        self._pages.addWidget(full)

    def set_message(self, text: str) -> None:
        """Show a sentence instead of plots."""
        self._message.setText(text)
        self._pages.setCurrentIndex(0)

    def set_data(self, data: UncertaintyData, names: Sequence[str]) -> None:
        """Show a run's histograms; the class stays chosen while the classes are the same."""
        wanted = ["All classes", *names]
        if [self.classes.itemText(row) for row in range(self.classes.count())] != wanted:
            blocker = QSignalBlocker(self.classes)
            self.classes.clear()
            self.classes.addItems(wanted)
            del blocker
        self._data = data
        self._pages.setCurrentIndex(1)
        self._show()

    # -- inside -------------------------------------------------------------------------------

    def _show(self) -> None:
        data, chosen = self._data, self.classes.currentIndex() - 1
        if data is None:
            return
        part = slice(None) if chosen < 0 else slice(chosen, chosen + 1)
        entropy = data.entropy[part].sum(0)
        confidence = data.confidence[part].sum(0)
        self._shown = entropy
        self.reliability.set_diagram(uncertainty.reliability(confidence))
        self.entropy.set_histogram(entropy)
        self.sparsification.set_histogram(entropy)
        values = {
            "ece": uncertainty.ece(confidence),
            "ece_mass": uncertainty.ece(confidence, equal_mass=True),
            "auroc": uncertainty.auroc(entropy),
            "auprc": uncertainty.auprc(entropy),
            "fpr95": uncertainty.fpr95(entropy),
            "ause": uncertainty.ause(entropy),
        }
        for key, value in values.items():
            self.figures[key].setText(number(value, 3))
        ratio = number(data.edge_ratio if chosen < 0 else None)
        self.figures["edge_ratio"].setText(f"\N{MULTIPLICATION SIGN} {ratio}")
        self._show_thresholds()

    def _show_thresholds(self) -> None:
        if self._shown is None:
            return
        low, high = self.entropy.thresholds
        right, _ = uncertainty.right_and_wrong(self._shown)
        levels = np.arange(len(right)) / (len(right) - 1)
        whole = float(right.sum())
        sure_right = uncertainty.ratio(float(right[levels < low].sum()), whole)
        unsure_right = uncertainty.ratio(float(right[levels > high].sum()), whole)
        confident = uncertainty.confident_error_share(self._shown, low)
        unsure = uncertainty.unsure_error_share(self._shown, high)
        self.confident.setText(
            f"Confident, below {low:.2f}:  {share(confident)} of the wrong pixels, "
            f"{share(sure_right)} of the right ones"
        )
        self.unsure.setText(
            f"Unsure, above {high:.2f}:  {share(unsure)} of the wrong pixels, "
            f"{share(unsure_right)} of the right ones"
        )
