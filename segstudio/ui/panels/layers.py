"""The layers panel: what lies over the photograph, and how strongly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.icons import icon
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import DoubleClickReset, ElidedLabel, JumpSlider, icon_button, label

__all__ = ["LAYERS", "LayerSpec", "LayersPanel"]


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """A layer that the window can show.

    Attributes
    ----------
    name : str
        How the canvas calls it.
    title : str
        How a person reads it.
    opacity : int
        Per cent to begin with.
    visible : bool
        Whether it is shown to begin with.
    of_run : bool
        Whether it belongs to the chosen run.
    hint : str
        What it shows.
    rare : bool
        Whether it is left out of the list while there is none.
    """

    name: str
    title: str
    opacity: int
    visible: bool
    of_run: bool = False
    hint: str = ""
    rare: bool = False


LAYERS: tuple[LayerSpec, ...] = (
    LayerSpec("correction", "Correction", 55, True, False, "Your label map; painting changes it"),
    LayerSpec(
        "errors", "Errors", 75, False, False, "Where the prediction differs from the ground truth"
    ),
    LayerSpec("prediction", "Prediction", 55, True, True, "The most probable class of each pixel"),
    LayerSpec(
        "entropy",
        "Entropy",
        80,
        False,
        True,
        "How undecided the model is: black sure, white unsure",
    ),
    LayerSpec("confidence", "Confidence", 80, False, True, "Probability of the class that won"),
    LayerSpec(
        "disagreement",
        "Disagreement",
        80,
        False,
        True,
        "Where the models of an ensemble contradict each other: black agreed, white at odds",
        rare=True,
    ),
    LayerSpec("ground_truth", "Ground truth", 55, False, False, "The dataset's own labels"),
)
"""From the top of the stack to its bottom."""


class _LayerRow(QWidget):
    """Eye, title, opacity."""

    visible_changed = Signal(bool)
    opacity_changed = Signal(float)

    def __init__(self, spec: LayerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.eye: QToolButton = icon_button("visible", f"Show {spec.title.lower()}")
        self.eye.setIcon(icon("visible", off="hidden", role="text"))
        self.eye.setCheckable(True)
        self.eye.setObjectName("quiet")
        self.eye.setChecked(spec.visible)
        self.title = ElidedLabel(spec.title)
        self.title.setMinimumWidth(11 * GRID)
        self.slider = JumpSlider(0, 100, spec.opacity)
        self.slider.setAccessibleName(f"Opacity of {spec.title.lower()}")
        self.slider.setToolTip("Opacity; double click for the usual one")
        self.slider.setMinimumWidth(7 * GRID)
        DoubleClickReset(self.slider, spec.opacity)
        self.percent = QLabel(f"{spec.opacity} %")
        self.percent.setFixedWidth(5 * GRID)
        self.percent.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.percent.setProperty("muted", "true")
        self.setToolTip(spec.hint)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(4, 0, GRID, 0)
        layout.setSpacing(4)
        layout.addWidget(self.eye)
        layout.addWidget(self.title, 3)
        layout.addWidget(self.slider, 2)
        layout.addWidget(self.percent)
        self.eye.toggled.connect(self.visible_changed)
        self.eye.toggled.connect(lambda _on: self._shade())
        self.slider.valueChanged.connect(self._on_slider)
        self._shade()

    def set_available(self, available: bool, reason: str = "") -> None:
        """Say whether there is anything to show, or why not."""
        self.setEnabled(available)
        self.setToolTip(self.spec.hint if available else reason)

    def _on_slider(self, value: int) -> None:
        self.percent.setText(f"{value} %")
        self.opacity_changed.emit(value / 100)

    def _shade(self) -> None:
        self.slider.setEnabled(self.eye.isChecked())
        self.percent.setEnabled(self.eye.isChecked())


class LayersPanel(QWidget):
    """One row per layer, and the choice of the run that prediction, entropy, confidence show."""

    visibility_changed = Signal(str, bool)
    opacity_changed = Signal(str, float)
    run_selected = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._run = QComboBox()
        self._run.setAccessibleName("Run shown")
        self._run.setToolTip("The run that prediction, entropy, confidence and errors show")
        self._run.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._run.setMinimumContentsLength(8)
        self._run_row = QWidget()
        run_layout = QHBoxLayout(self._run_row)
        run_layout.setContentsMargins(GRID + 4, 0, GRID, 4)
        run_layout.setSpacing(GRID)
        run_layout.addWidget(label("Run", style="muted"))
        run_layout.addWidget(self._run, 1)
        self._rows = {spec.name: _LayerRow(spec) for spec in LAYERS}
        body = QWidget()
        body.setObjectName("panel")
        rows = QVBoxLayout(body)
        rows.setContentsMargins(0, 0, 0, GRID)
        rows.setSpacing(0)
        rows.addWidget(self._run_row)
        for row in self._rows.values():
            row.setFixedHeight(28)
            rows.addWidget(row)
        rows.addStretch(1)
        area = QScrollArea()
        area.setWidget(body)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(area)
        self._connect()
        self.set_runs([])
        self.set_available({})

    def _connect(self) -> None:
        for name, row in self._rows.items():
            row.visible_changed.connect(
                lambda visible, name=name: self.visibility_changed.emit(name, visible)
            )
            row.opacity_changed.connect(
                lambda opacity, name=name: self.opacity_changed.emit(name, opacity)
            )
        self._run.currentIndexChanged.connect(
            lambda _row: self.run_selected.emit(self._run.currentData() or "")
        )

    def set_runs(self, runs: Sequence[tuple[str, str]], current: str | None = None) -> None:
        """Offer runs as (name, title); without any the choice is hidden."""
        with QSignalBlocker(self._run):
            self._run.clear()
            for name, title in runs:
                self._run.addItem(title, name)
            if current is not None:
                self._run.setCurrentIndex(max(0, self._run.findData(current)))
        self._run_row.setVisible(bool(runs))

    def set_available(self, reasons: dict[str, str | None]) -> None:
        """Say which layers there are: None for those that are, else why not.

        Layers that are not named have nothing to show either.
        """
        for name, row in self._rows.items():
            reason = reasons.get(name, "Nothing to show yet")
            row.set_available(reason is None, reason or "")
            row.setVisible(reason is None or not row.spec.rare)

    def set_visible(self, name: str, visible: bool) -> None:
        """Show or hide a layer as if its eye were clicked."""
        self._rows[name].eye.setChecked(visible)

    def set_opacity(self, name: str, opacity: float) -> None:
        """Set a layer's opacity, 0..1, as if its slider were moved."""
        self._rows[name].slider.setValue(round(100 * opacity))

    def is_visible(self, name: str) -> bool:
        """Whether a layer's eye is open."""
        return self._rows[name].eye.isChecked()

    def opacity(self, name: str) -> float:
        """Return a layer's opacity, 0..1."""
        return self._rows[name].slider.value() / 100

    def step_opacity(self, by: int) -> None:
        """Make every layer that is shown stronger or weaker by some per cent."""
        for row in self._rows.values():
            if row.eye.isChecked() and row.isEnabled():
                row.slider.setValue(row.slider.value() + by)
