"""The run dialog: which models, where, how exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QWidget,
)

from segstudio.ui.models import count_text, number
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label
from segstudio.ui.widgets.frames import dialog_layout

__all__ = ["ModelChoice", "RunChoice", "RunDialog"]

_TITLE_WIDTH = 40 * GRID
_PRECISIONS = (
    ("auto", "Automatic"),
    ("fp32", "32-bit float"),
    ("bf16", "bfloat16"),
    ("fp16", "16-bit float"),
)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that can run.

    Attributes
    ----------
    name, title, architecture, label_space : str
        Identifier and what a person reads of it.
    miou : float or None
        As its card says, 0..1.
    parameters : int or None
        Trained numbers.
    finished : int
        Images of the open dataset that a former run of it has finished; they are not done again.
    """

    name: str
    title: str
    architecture: str
    label_space: str
    miou: float | None = None
    parameters: int | None = None
    finished: int = 0


@dataclass(frozen=True, slots=True)
class RunChoice:
    """What was chosen."""

    models: tuple[str, ...]
    device: str
    precision: str
    limit: int | None
    restart: bool
    ensemble: bool = False

    @property
    def runs(self) -> tuple[str, ...]:
        """What to run: each model, or all of them together under one name."""
        return ("+".join(self.models),) if self.ensemble else self.models


class RunDialog(QDialog):
    """Models with check boxes, then device, precision and how many images."""

    more_models_requested = Signal()

    def __init__(
        self,
        models: Sequence[ModelChoice],
        devices: Sequence[str],
        images: int,
        *,
        chosen: Sequence[str] = (),
        device: str = "auto",
        precision: str = "auto",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Run models")
        self.setMinimumWidth(68 * GRID)
        self._images = images
        self._models = {model.name: model for model in models}
        wanted = set(chosen) & set(self._models) or set(list(self._models)[:1])
        self._boxes: dict[str, QCheckBox] = {}
        layout = dialog_layout(self, "Run models")
        layout.addWidget(self._model_list(wanted))
        layout.addLayout(self._options(devices, device, precision))
        self._summary = label(style="muted")
        self._summary.setWordWrap(True)
        layout.addWidget(self._summary)
        layout.addLayout(self._buttons())
        self._follow()

    def choice(self) -> RunChoice:
        """Return what is chosen now."""
        models = tuple(name for name, box in self._boxes.items() if box.isChecked())
        limit = self._limit.value() or None
        return RunChoice(
            models,
            str(self._device.currentText()),
            str(self._precision.currentData()),
            limit,
            self._restart.isChecked(),
            self._ensemble.isEnabled() and self._ensemble.isChecked(),
        )

    @property
    def summary(self) -> str:
        """The sentence that says what will be done."""
        return self._summary.text()

    def set_devices(self, devices: Sequence[str]) -> None:
        """Offer other devices, once the worker has answered."""
        current = self._device.currentText()
        self._device.clear()
        self._device.addItems(list(devices))
        self._device.setCurrentText(current)

    def _model_list(self, wanted: set[str]) -> QWidget:
        body = QWidget()
        grid = QGridLayout(body)
        grid.setContentsMargins(0, 0, 2 * GRID, 0)  # room for the scroll bar
        grid.setHorizontalSpacing(2 * GRID)
        grid.setVerticalSpacing(GRID)
        grid.setColumnStretch(0, 1)
        heads = ("Model", "Network", "Classes", "Size", "mIoU")
        for column, text in enumerate(heads):
            head = label(text, style="muted")
            if column >= 3:
                head.setAlignment(Qt.AlignmentFlag.AlignRight)
            grid.addWidget(head, 0, column)
        for row, model in enumerate(self._models.values(), start=1):
            title = model.title or model.name
            fitting = body.fontMetrics().elidedText(
                title, Qt.TextElideMode.ElideRight, _TITLE_WIDTH
            )
            box = QCheckBox(fitting)
            box.setToolTip(f"{title}\n{model.name}")
            box.setChecked(model.name in wanted)
            box.toggled.connect(self._follow)
            self._boxes[model.name] = box
            grid.addWidget(box, row, 0)
            grid.addWidget(label(model.architecture, style="muted"), row, 1)
            grid.addWidget(label(model.label_space, style="muted"), row, 2)
            size = "" if model.parameters is None else count_text(model.parameters)
            for column, text in ((3, size), (4, number(_percent(model.miou)))):
                cell = QLabel(text)
                cell.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                grid.addWidget(cell, row, column)
            if model.miou is not None:
                cell.setToolTip("Mean IoU on the test images that its card names")
        if not self._models:
            grid.addWidget(label("There is no model here yet.", style="muted"), 1, 0)
        grid.setRowStretch(len(self._models) + 1, 1)
        area = QScrollArea()
        area.setWidget(body)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setMinimumWidth(body.sizeHint().width() + 2 * GRID)
        area.setMaximumHeight(40 * GRID)
        area.setMinimumHeight(min(40 * GRID, 32 * (len(self._models) + 1) + GRID))
        return area

    def _options(self, devices: Sequence[str], device: str, precision: str) -> QGridLayout:
        self._device = QComboBox()
        self._device.addItems(list(devices))
        self._device.setCurrentText(device)
        self._precision = QComboBox()
        for value, text in _PRECISIONS:
            self._precision.addItem(text, value)
        self._precision.setCurrentIndex(max(0, self._precision.findData(precision)))
        self._limit = QSpinBox()
        self._limit.setRange(0, max(self._images, 1))
        self._limit.setSpecialValueText("all")
        self._limit.setToolTip("Only the first so many images; empty or 0 for all")
        self._limit.valueChanged.connect(self._follow)
        self._restart = QCheckBox("Do finished images again")
        self._restart.toggled.connect(self._follow)
        self._ensemble = QCheckBox("As one ensemble")
        self._ensemble.setToolTip(
            "Average the chosen models into one run that also keeps where they disagree"
        )
        self._ensemble.toggled.connect(self._follow)
        grid = QGridLayout()
        grid.setHorizontalSpacing(2 * GRID)
        grid.setVerticalSpacing(GRID)
        for column, (text, widget) in enumerate(
            (("Device", self._device), ("Precision", self._precision), ("Images", self._limit))
        ):
            caption = label(text, style="muted")
            caption.setBuddy(widget)
            grid.addWidget(caption, 0, column)
            grid.addWidget(widget, 1, column)
            grid.setColumnStretch(column, 1)
        grid.addWidget(self._restart, 2, 0, 1, 2)
        grid.addWidget(self._ensemble, 2, 2)
        return grid

    def _buttons(self) -> QHBoxLayout:
        cancel = QPushButton("Cancel")
        cancel.clicked.connect(self.reject)
        self._start = QPushButton("Run")
        self._start.setProperty("primary", "true")
        self._start.setDefault(True)
        self._start.clicked.connect(self.accept)
        more = QPushButton("More models…")
        more.setAutoDefault(False)
        more.setToolTip("Search all published models, or add a file of yours")
        more.clicked.connect(lambda _checked=False: self.more_models_requested.emit())
        row = QHBoxLayout()
        row.setSpacing(GRID)
        row.addWidget(more)
        row.addStretch(1)
        row.addWidget(cancel)
        row.addWidget(self._start)
        for button in (cancel, self._start):
            button.setMinimumWidth(11 * GRID)
        return row

    def _follow(self) -> None:
        self._ensemble.setEnabled(sum(box.isChecked() for box in self._boxes.values()) > 1)
        choice = self.choice()
        self._start.setEnabled(bool(choice.models) and self._images > 0)
        if not choice.models:
            self._summary.setText("Choose at least one model.")
            return
        count = min(choice.limit or self._images, self._images)
        images = "1 image" if count == 1 else f"{count} images"
        models = "1 model" if len(choice.models) == 1 else f"{len(choice.models)} models"
        if choice.ensemble:
            self._summary.setText(f"An ensemble of {models} on {images}.")
            return
        kept = [
            f"{min(done, count)} of {self._models[name].title or name}"
            for name in choice.models
            if (done := self._models[name].finished) and not choice.restart
        ]
        tail = f" Already finished and kept: {', '.join(kept)}." if kept else ""
        self._summary.setText(f"{models} on {images}.{tail}")


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value if value <= 1 else value
