"""The import dialog: where predictions of another program lie, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QGridLayout,
    QLineEdit,
    QPushButton,
    QWidget,
)

from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label
from segstudio.ui.widgets.frames import button_row, dialog_layout

__all__ = ["ImportChoice", "ImportDialog"]

_VALUES = (
    ("indices", "Class indices, 0 is the first class"),
    ("ids", "The ids of the data set's own files"),
    ("colors", "Colours of the classes"),
)
_HELP = (
    "A folder of label maps named like the images, or a COCO results file (JSON). They become a "
    "run: scored, compared and analysed like any other, but without entropy or confidence."
)


@dataclass(frozen=True, slots=True)
class ImportChoice:
    """What was chosen; an empty ``label_space`` is the dataset's, an empty ``mapping`` none."""

    predictions: Path
    name: str
    values: str
    label_space: str
    mapping: str


class ImportDialog(QDialog):
    """Where, what they are called, what their pixels mean.

    Parameters
    ----------
    own_space : str
        Name of the dataset's label space, "" when it has none.
    label_spaces : sequence of str
        Others that can be chosen.
    mappings : sequence of str
    start : Path
        Where the file dialogs begin.
    """

    def __init__(
        self,
        own_space: str,
        label_spaces: Sequence[str],
        mappings: Sequence[str],
        start: Path,
        *,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Import predictions")
        self.setMinimumWidth(70 * GRID)
        self._begin = start
        self.place = QLineEdit()
        self.place.setPlaceholderText("Folder of label maps, or results.json")
        self.name = QLineEdit()
        self.values = QComboBox()
        for key, title in _VALUES:
            self.values.addItem(title, key)
        self.spaces = QComboBox()
        if own_space:
            self.spaces.addItem(f"{own_space} (of the data set)", "")
        for space in label_spaces:
            if space != own_space:
                self.spaces.addItem(space, space)
        self.mappings = QComboBox()
        self.mappings.addItem("None", "")
        for mapping in mappings:
            self.mappings.addItem(mapping, mapping)
        self._hint = label(style="muted")
        self._hint.setWordWrap(True)
        self._start = QPushButton("Import")
        self._own_name = False
        self._arrange()
        self.place.textChanged.connect(lambda _text: self._follow())
        self.name.textEdited.connect(self._on_named)
        self._follow()

    def choice(self) -> ImportChoice:
        """Return what is chosen now."""
        return ImportChoice(
            Path(self.place.text().strip()),
            self.name.text().strip(),
            str(self.values.currentData()),
            str(self.spaces.currentData() or ""),
            str(self.mappings.currentData() or ""),
        )

    def _arrange(self) -> None:
        folder, file = QPushButton("Folder…"), QPushButton("File…")
        folder.clicked.connect(lambda _checked: self._ask_folder())
        file.clicked.connect(lambda _checked: self._ask_file())
        grid = QGridLayout()
        grid.setHorizontalSpacing(2 * GRID)
        grid.setVerticalSpacing(GRID)
        grid.setColumnStretch(1, 1)
        grid.addWidget(self.place, 0, 1)
        grid.addWidget(folder, 0, 2)
        grid.addWidget(file, 0, 3)
        rows = (
            ("Predictions", self.place),
            ("Name of the run", self.name),
            ("Pixels hold", self.values),
            ("Label space", self.spaces),
            ("Mapping", self.mappings),
        )
        for row, (text, widget) in enumerate(rows):
            caption = label(text, style="muted")
            caption.setBuddy(widget)
            grid.addWidget(caption, row, 0)
            if row:
                grid.addWidget(widget, row, 1, 1, 3)
        self._start.setProperty("primary", "true")
        self._start.setDefault(True)
        self._start.clicked.connect(self.accept)
        cancel = QPushButton("Cancel")
        cancel.clicked.connect(self.reject)
        buttons = button_row(cancel, self._start)
        help_ = label(_HELP, style="muted")
        help_.setWordWrap(True)
        layout = dialog_layout(self, "Import predictions")
        layout.addWidget(help_)
        layout.addLayout(grid)
        layout.addWidget(self._hint)
        layout.addLayout(buttons)

    def _ask_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Folder of predictions", str(self._begin))
        if found:
            self.place.setText(found)

    def _ask_file(self) -> None:
        found, _ = QFileDialog.getOpenFileName(
            self, "COCO results", str(self._begin), "COCO results (*.json);;All files (*)"
        )
        if found:
            self.place.setText(found)

    def _on_named(self, text: str) -> None:
        self._own_name = bool(text.strip())

    def _follow(self) -> None:
        text = self.place.text().strip()
        path = Path(text)
        there = bool(text) and path.exists()
        if not self._own_name:
            self.name.setText(path.stem if there else "")
        is_file = there and path.is_file()
        self.values.setEnabled(not is_file)
        missing = f"There is no {path}." if text and not there else ""
        self._hint.setText(
            "Instances of higher score lie on top; their category ids are those of the label space."
            if is_file
            else missing
        )
        self._hint.setVisible(bool(self._hint.text()))
        self._start.setEnabled(there and self.spaces.count() > 0)
