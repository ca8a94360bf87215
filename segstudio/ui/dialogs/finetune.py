"""Fine-tuning on corrections: what to learn from, and what came of it, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDialog,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label

__all__ = ["FinetuneChoice", "FinetuneDialog", "FinetuneResultDialog", "ResultRow"]

_PIXELS = (
    ("weighted", "Corrected pixels, and others as far as the model was sure"),
    ("corrected", "Corrected pixels only"),
    ("all", "Every pixel: I have looked at the whole images"),
)
_FREEZE = (
    ("norms", "The statistics of batch normalisation"),
    ("encoder", "The encoder and its statistics"),
    ("none", "Nothing"),
)


@dataclass(frozen=True, slots=True)
class FinetuneChoice:
    """What was chosen."""

    model: str
    output: Path
    pixels: str
    freeze: str
    epochs: int


class FinetuneDialog(QDialog):
    """Model, pixels, what stays as it is, how long, and where the result goes.

    Parameters
    ----------
    models : sequence of (str, str)
        Name and title of the models that know the corrections' classes.
    learned, judging : int
        Images to learn from, and those that judge the result.
    output : Path
        Proposed file.
    problem : str
        Why nothing can be learned yet; empty when something can.
    chosen : str
        Name of the model that is proposed.
    epochs : int
        Passes that are proposed.
    """

    def __init__(
        self,
        models: Sequence[tuple[str, str]],
        *,
        learned: int,
        judging: int,
        output: Path,
        problem: str = "",
        chosen: str = "",
        epochs: int = 10,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Fine-tune on corrections")
        self.setMinimumWidth(68 * GRID)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 2 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(label("Fine-tune on corrections", style="heading"))
        text = problem or (
            f"The model learns from {learned} corrected or checked images. {judging} others judge "
            "the result: it is kept only when it is better on these."
        )
        self._text = label(text, style="muted")
        self._text.setWordWrap(True)
        layout.addWidget(self._text)
        self._model = QComboBox()
        for name, title in models:
            self._model.addItem(title, name)
        self._model.setCurrentIndex(max(0, self._model.findData(chosen)))
        self._pixels = _choices(_PIXELS)
        self._freeze = _choices(_FREEZE)
        self._epochs = QSpinBox()
        self._epochs.setRange(1, 500)
        self._epochs.setValue(epochs)
        self._epochs.setMaximumWidth(14 * GRID)
        # The number stands below the texts of the other fields.
        self._epochs.lineEdit().setTextMargins(GRID // 2, 0, 0, 0)
        self._epochs.setToolTip("Passes over the corrected images")
        self._output = QLineEdit(str(output))
        self._output.textChanged.connect(self._follow)
        layout.addLayout(self._form())
        layout.addLayout(self._buttons())
        self._possible = not problem and bool(models)
        self._follow()

    def choice(self) -> FinetuneChoice:
        """Return what is chosen now."""
        return FinetuneChoice(
            str(self._model.currentData()),
            Path(self._output.text()).expanduser(),
            str(self._pixels.currentData()),
            str(self._freeze.currentData()),
            self._epochs.value(),
        )

    @property
    def summary(self) -> str:
        """The sentence that says what will be done, or why nothing can be."""
        return self._text.text()

    def _form(self) -> QGridLayout:
        browse = QPushButton("Choose…")
        browse.setAutoDefault(False)
        browse.clicked.connect(lambda _checked=False: self._ask_file())
        file = QHBoxLayout()
        file.setSpacing(GRID)
        file.addWidget(self._output, 1)
        file.addWidget(browse)
        grid = QGridLayout()
        grid.setHorizontalSpacing(2 * GRID)
        grid.setVerticalSpacing(GRID)
        grid.setColumnStretch(1, 1)
        rows = (
            ("Model", self._model),
            ("Learn from", self._pixels),
            ("Leave as it is", self._freeze),
            ("Passes", self._epochs),
        )
        for row, (text, widget) in enumerate(rows):
            caption = label(text, style="muted")
            caption.setBuddy(widget)
            grid.addWidget(caption, row, 0)
            grid.addWidget(widget, row, 1)
        caption = label("Write to", style="muted")
        caption.setBuddy(self._output)
        grid.addWidget(caption, len(rows), 0)
        grid.addLayout(file, len(rows), 1)
        return grid

    def _buttons(self) -> QHBoxLayout:
        cancel = QPushButton("Cancel")
        cancel.clicked.connect(self.reject)
        self._start = QPushButton("Fine-tune")
        self._start.setProperty("primary", "true")
        self._start.setDefault(True)
        self._start.clicked.connect(self.accept)
        row = QHBoxLayout()
        row.setSpacing(GRID)
        row.addStretch(1)
        row.addWidget(cancel)
        row.addWidget(self._start)
        for button in (cancel, self._start):
            button.setMinimumWidth(11 * GRID)
        return row

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Write the model to", self._output.text(), "Checkpoints (*.safetensors)"
        )
        if path:
            self._output.setText(str(Path(path).with_suffix(".safetensors")))

    def _follow(self) -> None:
        named = self._output.text().endswith(".safetensors")
        self._start.setEnabled(self._possible and named)
        tip = "" if named else "The name of the file has to end in .safetensors"
        self._start.setToolTip(tip)


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A class, its IoU before and after in 0..1, and the interval of the difference."""

    name: str
    before: float | None
    after: float | None
    interval: tuple[float, float] | None


class FinetuneResultDialog(QDialog):
    """IoU before and after on the held-out images, with the interval of each difference."""

    def __init__(
        self, sentence: str, rows: Sequence[ResultRow], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Fine-tuned model")
        self.setMinimumSize(72 * GRID, 76 * GRID)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 2 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(label("Before and after, on the held-out images", style="heading"))
        text = label(sentence, style="muted")
        text.setWordWrap(True)
        layout.addWidget(text)
        self.table = _result_table(rows)
        layout.addWidget(self.table, 1)
        note = label(
            "Gain: in points of IoU, with its 95 % interval (paired bootstrap over the images).",
            style="faint",
        )
        note.setWordWrap(True)
        layout.addWidget(note)
        close = QPushButton("Close")
        close.setMinimumWidth(11 * GRID)
        close.setDefault(True)
        close.clicked.connect(self.accept)
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)


def _result_table(rows: Sequence[ResultRow]) -> QTableWidget:
    right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
    left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
    table = QTableWidget(len(rows), 5)
    for column, text in enumerate(("Class", "Before", "After", "Gain", "95 %")):
        head = QTableWidgetItem(text)
        head.setTextAlignment(right if column else left)
        table.setHorizontalHeaderItem(column, head)
    table.verticalHeader().hide()
    table.setShowGrid(False)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    for index, row in enumerate(rows):
        gain = None if row.before is None or row.after is None else row.after - row.before
        span = row.interval
        texts = (
            row.name,
            _points(row.before),
            _points(row.after),
            "–" if gain is None else f"{100 * gain:+.1f}",
            "–" if span is None else f"{100 * span[0]:+.1f} … {100 * span[1]:+.1f}",
        )
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            if column:
                item.setTextAlignment(right)
            if index == len(rows) - 1:
                font = item.font()
                font.setBold(True)
                item.setFont(font)
            table.setItem(index, column, item)
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    return table


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _choices(entries: Sequence[tuple[str, str]]) -> QComboBox:
    box = QComboBox()
    for value, text in entries:
        box.addItem(text, value)
    return box
