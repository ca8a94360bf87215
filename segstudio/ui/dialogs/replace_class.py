"""Replacing a class in many images: which one by which, where, and how many pixels that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QProgressBar,
    QPushButton,
    QTableView,
    QWidget,
)

from segstudio.core.label_space import LabelSpace
from segstudio.ui.models.legend import short_name
from segstudio.ui.palettes import ClassColor
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label
from segstudio.ui.widgets.frames import dialog_layout
from segstudio.ui.widgets.swatches import swatch_icon

__all__ = ["ReplaceChoice", "ReplaceClassDialog", "ReplaceRow"]

Index = QModelIndex | QPersistentModelIndex
_CAPTION = 88


@dataclass(frozen=True, slots=True)
class ReplaceRow:
    """What would be replaced in one image; ``remark`` says what one should know of it."""

    sample_id: str
    pixels: int
    remark: str
    ready: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class ReplaceChoice:
    """What was chosen; ``maps`` is "" for corrections only, else the name of a run."""

    before: str
    after: str
    images: str
    maps: str


class _Rows(QAbstractTableModel):
    """The images with the class, those with the most pixels first."""

    changed = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.rows: list[ReplaceRow] = []
        self.chosen: set[str] = set()

    def set_rows(self, rows: Sequence[ReplaceRow]) -> None:
        self.beginResetModel()
        self.rows = sorted(rows, key=lambda row: (-row.pixels, row.sample_id))
        self.chosen = {row.sample_id for row in rows if row.ready and row.chosen}
        self.endResetModel()
        self.changed.emit()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """Return how many images are listed."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """Return 3: image, pixels, remark."""
        return 0 if parent.isValid() else 3

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Return the columns' titles."""
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return ("Image", "Pixels", "")[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section == 1 else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Return texts, alignment and ticks."""
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            pixels = f"{row.pixels:,}".replace(",", "\u202f")
            return (row.sample_id, pixels, row.remark)[column]
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.remark or row.sample_id
        if role == Qt.ItemDataRole.TextAlignmentRole and column == 1:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.CheckStateRole and column == 0 and row.ready:
            ticked = row.sample_id in self.chosen
            return Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked
        return None

    def setData(self, index: Index, value: object, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Tick an image or not."""
        if role != Qt.ItemDataRole.CheckStateRole:
            return False
        sample_id = self.rows[index.row()].sample_id
        if Qt.CheckState(value) is Qt.CheckState.Checked:
            self.chosen.add(sample_id)
        else:
            self.chosen.discard(sample_id)
        self.dataChanged.emit(index, index)
        self.changed.emit()
        return True

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Let ticks be set where something can be done."""
        flags = Qt.ItemFlag.ItemIsSelectable
        if self.rows[index.row()].ready:
            flags |= Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable
        return flags


class ReplaceClassDialog(QDialog):
    """Asks, shows what would happen, and lets it begin; it counts and changes nothing itself.

    Parameters
    ----------
    space : LabelSpace
        Whose classes are offered.
    images : sequence of (str, str)
        Which images can be meant: key and title.
    runs : sequence of str
        Runs whose predictions can become corrections.
    active : int
        The class that is painted with: it is proposed as the new one.

    Attributes
    ----------
    asked : Signal(ReplaceChoice)
        Count anew for this.
    """

    asked = Signal(object)

    def __init__(
        self,
        space: LabelSpace,
        images: Sequence[tuple[str, str]],
        runs: Sequence[str],
        *,
        active: int = 0,
        unlabelled: str = "unlabelled",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Replace a class")
        self.setMinimumSize(80 * GRID, 70 * GRID)
        self._before, self._after = (self._classes(space, unlabelled) for _ in range(2))
        self._after.setCurrentIndex(active)
        self._before.setCurrentIndex(1 if active == 0 else 0)
        self._images, self._maps = QComboBox(), QComboBox()
        for key, title in images:
            self._images.addItem(title, key)
        self._maps.addItem("Corrected label maps", "")
        for run in reversed(list(runs)):
            self._maps.addItem(f"Corrected label maps, else the prediction of {run}", run)
        self._rows = _Rows(self)
        self._note = label(style="muted")
        self._note.setWordWrap(True)
        self._progress = QProgressBar()
        self._progress.setTextVisible(False)
        self._start = QPushButton("Replace")
        self._arrange()
        for box in (self._before, self._after, self._images, self._maps):
            box.currentIndexChanged.connect(lambda _index: self.ask())
        self._rows.changed.connect(self._follow)
        self._counting = False
        self._follow()

    def choice(self) -> ReplaceChoice:
        """Return what is chosen now."""
        before, after = self._before.currentData(), self._after.currentData()
        images, maps = self._images.currentData(), self._maps.currentData()
        return ReplaceChoice(str(before), str(after), str(images), str(maps))

    def chosen(self) -> list[str]:
        """Return the images that are ticked, in the order shown."""
        return [row.sample_id for row in self._rows.rows if row.sample_id in self._rows.chosen]

    def rows(self) -> list[ReplaceRow]:
        """Return the images that are listed."""
        return list(self._rows.rows)

    def ask(self) -> None:
        """Ask for the numbers of what is chosen now."""
        self._counting = True
        self._rows.set_rows([])
        self._progress.setRange(0, 0)
        self.asked.emit(self.choice())

    def show_progress(self, done: int, total: int) -> None:
        """Say how many images were counted."""
        if self._counting:
            self._progress.setRange(0, total)
            self._progress.setValue(done)

    def show_rows(self, rows: Sequence[ReplaceRow], note: str = "") -> None:
        """Show what was counted; ``note`` is said instead of a summary."""
        self._counting = False
        self._rows.set_rows(rows)
        if note:
            self._note.setText(note)

    def _classes(self, space: LabelSpace, unlabelled: str) -> QComboBox:
        box = QComboBox()
        box.setMaxVisibleItems(24)
        for entry in space.classes:
            swatch = swatch_icon(ClassColor.of(entry), ratio=self.devicePixelRatioF())
            box.addItem(swatch, short_name(entry.name), entry.name)
        box.addItem("unlabelled", unlabelled)
        return box

    def _arrange(self) -> None:
        grid = QGridLayout()
        grid.setHorizontalSpacing(2 * GRID)
        grid.setVerticalSpacing(GRID)
        grid.setColumnMinimumWidth(0, _CAPTION)
        grid.setColumnStretch(1, 1)
        lines = (
            ("Replace", self._before),
            ("by", self._after),
            ("in", self._images),
            ("of these", self._maps),
        )
        for row, (text, widget) in enumerate(lines):
            caption = label(text, style="muted")
            caption.setBuddy(widget)
            widget.setAccessibleName(text)
            grid.addWidget(caption, row, 0)
            grid.addWidget(widget, row, 1)
        table = QTableView()
        table.setModel(self._rows)
        table.setAccessibleName("Images with the class")
        table.setShowGrid(False)
        table.setSelectionMode(QTableView.SelectionMode.NoSelection)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(26)
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(1, 14 * GRID)
        header.resizeSection(2, 30 * GRID)
        self._progress.setFixedHeight(4)
        self._start.setProperty("primary", "true")
        self._start.setDefault(True)
        self._start.clicked.connect(self.accept)
        cancel = QPushButton("Cancel")
        cancel.clicked.connect(self.reject)
        buttons = QHBoxLayout()
        buttons.setSpacing(GRID)
        buttons.addWidget(self._note, 1)
        for button in (cancel, self._start):
            button.setMinimumWidth(11 * GRID)
            buttons.addWidget(button)
        layout = dialog_layout(self, "Replace a class in many images")
        layout.addLayout(grid)
        layout.addWidget(self._progress)
        layout.addWidget(table, 1)
        layout.addLayout(buttons)

    def _follow(self) -> None:
        """Say what would happen, and let nothing begin that does nothing."""
        policy = self._progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self._progress.setSizePolicy(policy)
        self._progress.setVisible(self._counting)
        chosen = [row for row in self._rows.rows if row.sample_id in self._rows.chosen]
        self._start.setEnabled(bool(chosen) and not self._counting)
        images = f"{len(chosen):,} image{'' if len(chosen) == 1 else 's'}"
        self._start.setText(f"Replace in {images}".replace(",", "\u202f") if chosen else "Replace")
        if self._counting:
            self._note.setText("Counting; nothing is changed yet.")
        elif not self._rows.rows:
            self._note.setText("None of these images holds the class.")
        else:
            pixels = f"{sum(row.pixels for row in chosen):,}".replace(",", "\u202f")
            self._note.setText(
                f"{pixels} pixels. Each image is saved as a new revision and can be undone."
            )
