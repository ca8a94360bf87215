"""The editor of a label mapping: how the classes of one label space are called in another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from segstudio.core.label_space import LabelMapping
from segstudio.ui.models.legend import short_name
from segstudio.ui.models.mapping import MappingModel
from segstudio.ui.palettes import ClassColor
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import SearchField, label
from segstudio.ui.widgets.class_table import SwatchDelegate, number_view
from segstudio.ui.widgets.swatches import swatch_icon

__all__ = ["MappingDialog", "MappingWords"]

MappingWords = tuple[LabelMapping, str, str]
"""A mapping, its description and its provenance."""

_NameRole = Qt.ItemDataRole.UserRole + 1


class MappingDialog(QDialog):
    """Source classes at the left, what the chosen one may be at the right.

    Parameters
    ----------
    model : MappingModel
    known : sequence of MappingWords
        Mappings to start from.
    check : callable
        Returns a sentence on why a mapping cannot be used, "" when it can.

    Attributes
    ----------
    save_requested : Signal(object)
        `MappingWords` to be kept among the user's own.
    load_requested : Signal(Path)
        A file to start from.
    """

    save_requested = Signal(object)
    load_requested = Signal(Path)

    def __init__(
        self,
        model: MappingModel,
        known: Sequence[MappingWords],
        check: Callable[[LabelMapping], str],
        *,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Label mapping")
        self.setMinimumSize(100 * GRID, 60 * GRID)
        self.resize(124 * GRID, 82 * GRID)
        self.model, self._check = model, check
        self._known = list(known)
        self._chosen_class = 0
        self.start_from = QComboBox()
        self.start_from.addItem("Start from…")
        for mapping, _, _ in self._known:
            self.start_from.addItem(mapping.name)
        self.search = SearchField("Find a class of the ground truth")
        self.unmapped = QCheckBox("Only ignored ones")
        self.view = number_view(model, "Classes of the ground truth", row=26)
        self.view.setSortingEnabled(False)
        for column in (MappingModel.CLASS, MappingModel.BECOMES):
            self.view.setItemDelegateForColumn(column, SwatchDelegate(self))
        self.view.set_widths(150, {1: (130, 190), 2: (110, 180), 3: (150, 240)})
        self.target_title = label(style="section")
        self.target_search = SearchField("Find a class of the model")
        self.targets = QListWidget()
        self.targets.setAccessibleName("Classes of the model")
        self.accept_all = QPushButton("")
        self.ignore = QPushButton("Ignore")
        self.ignore.setToolTip("Pixels of the selected class count for nobody")
        self.name = QLineEdit()
        self.description = QLineEdit()
        self.provenance = QLineEdit()
        self.provenance.setPlaceholderText("Who decided it, and by what")
        self.summary = label()
        self.summary.setWordWrap(True)
        self.use = QPushButton("Use")
        self.use.setProperty("primary", "true")
        self.use.setDefault(True)
        self._arrange()
        self._fill_targets()
        self._connect()
        self.name.setText(f"{model.source.name}-to-{model.target.name}-mine")
        self._on_edited()
        self._select(0)

    def _arrange(self) -> None:
        source, target = self.model.source, self.model.target
        title = label(
            f"{source.title or source.name}  \N{RIGHTWARDS ARROW}  {target.title or target.name}",
            style="heading",
        )
        head = QHBoxLayout()
        title.setWordWrap(True)  # the titles of two label spaces can be long
        head.addWidget(title, 1)
        head.addWidget(self.start_from)
        load, save = QPushButton("Load…"), QPushButton("Save")
        load.setToolTip("Start from a JSON file")
        save.setToolTip("Keep it among your own mappings, by its name")
        load.clicked.connect(lambda _checked: self._on_load())
        save.clicked.connect(lambda _checked: self.save_requested.emit(self.words()))
        head.addWidget(load)
        head.addWidget(save)
        left = QVBoxLayout()
        left.setSpacing(GRID)
        bar = QHBoxLayout()
        bar.addWidget(self.search, 1)
        bar.addWidget(self.unmapped)
        bar.addWidget(self.accept_all)
        left.addLayout(bar)
        left.addWidget(self.view, 1)
        right = QVBoxLayout()
        right.setSpacing(GRID)
        row = QHBoxLayout()
        row.addWidget(self.target_title, 1)
        row.addWidget(self.ignore)
        right.addLayout(row)
        right.addWidget(self.target_search)
        right.addWidget(self.targets, 1)
        right.addWidget(label("A double click makes it the one that counts.", style="muted"))
        both = QHBoxLayout()
        both.setSpacing(2 * GRID)
        both.addLayout(left, 5)
        both.addLayout(right, 2)
        words = QGridLayout()
        words.setHorizontalSpacing(2 * GRID)
        for place, (text, field) in enumerate(
            (
                ("Name", self.name),
                ("What it does", self.description),
                ("Provenance", self.provenance),
            )
        ):
            caption = label(text, style="muted")
            caption.setBuddy(field)
            words.addWidget(caption, place, 0)
            words.addWidget(field, place, 1)
        foot = QHBoxLayout()
        foot.setSpacing(GRID)
        foot.addWidget(self.summary, 1)
        cancel = QPushButton("Cancel")
        cancel.clicked.connect(self.reject)
        for button in (cancel, self.use):
            button.setMinimumWidth(11 * GRID)
            foot.addWidget(button)
        layout = QVBoxLayout(self)
        # Words that grow do not move the window's least size while one edits.
        layout.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        layout.setContentsMargins(3 * GRID, 2 * GRID, 3 * GRID, 2 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addLayout(head)
        layout.addLayout(both, 1)
        layout.addLayout(words)
        layout.addLayout(foot)

    def _fill_targets(self) -> None:
        for entry in self.model.target.classes:
            swatch = swatch_icon(ClassColor.of(entry), edge=11, ratio=self.devicePixelRatioF())
            item = QListWidgetItem(swatch, short_name(entry.name))
            item.setToolTip(entry.name)
            item.setData(_NameRole, entry.name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Unchecked)
            self.targets.addItem(item)

    def _connect(self) -> None:
        self.search.textChanged.connect(lambda _text: self._filter())
        self.unmapped.toggled.connect(lambda _checked: self._filter())
        self.target_search.textChanged.connect(self._filter_targets)
        self.view.selectionModel().currentChanged.connect(self._on_current)
        self.targets.itemChanged.connect(self._on_checked)
        self.targets.itemDoubleClicked.connect(self._on_first)
        self.accept_all.clicked.connect(lambda _checked: self.model.accept_suggestions())
        self.ignore.clicked.connect(lambda _checked: self._on_ignore())
        self.start_from.activated.connect(self._on_start_from)
        self.name.textChanged.connect(lambda _text: self._on_edited())
        self.model.edited.connect(self._on_edited)
        self.model.modelReset.connect(self._reselect)
        self.use.clicked.connect(self.accept)

    # -- what is edited -----------------------------------------------------------------------

    def words(self) -> MappingWords:
        """Return the mapping as it stands, with the words about it."""
        mapping = self.model.mapping(self.name.text().strip())
        return mapping, self.description.text().strip(), self.provenance.text().strip()

    def set_words(self, words: MappingWords) -> None:
        """Start from a mapping."""
        mapping, description, provenance = words
        self.model.set_mapping(mapping)
        self.name.setText(mapping.name)
        self.description.setText(description)
        self.provenance.setText(provenance)
        for field in (self.description, self.provenance):
            field.setCursorPosition(0)
        self._select(0)

    def say(self, text: str) -> None:
        """Show a sentence on what was done, or could not be."""
        self.summary.setText(text)

    # -- inside -------------------------------------------------------------------------------

    @property
    def _class(self) -> int:
        return self.model.class_of(self.view.currentIndex().row())

    def _select(self, row: int) -> None:
        if self.model.rowCount():
            flags = QItemSelectionModel.SelectionFlag
            self.view.selectionModel().setCurrentIndex(
                self.model.index(row, 0), flags.ClearAndSelect | flags.Rows
            )
        self._show_targets()

    def _filter(self) -> None:
        self.model.set_filter(self.search.text(), only_unmapped=self.unmapped.isChecked())

    def _reselect(self) -> None:
        """Select the class again that was selected before other rows came."""
        self._select(max(0, self.model.row_of(self._chosen_class)))

    def _filter_targets(self, text: str) -> None:
        words = text.lower().split()
        for place in range(self.targets.count()):
            item = self.targets.item(place)
            name = str(item.data(_NameRole)).lower()
            item.setHidden(not all(word in name for word in words))

    def _on_current(self, now: QModelIndex, _before: QModelIndex) -> None:
        if now.isValid():
            self._chosen_class = self.model.class_of(now.row())
            self._show_targets()

    def _show_targets(self) -> None:
        """Check what the selected class may be; the one that counts is bold."""
        index = self._class
        chosen = self.model.classes(index) if index >= 0 else ()
        name = short_name(self.model.source.classes[index].name) if index >= 0 else "–"
        self.target_title.setText(f"{name} may be")
        self.ignore.setEnabled(bool(chosen))
        blocked = self.targets.blockSignals(True)
        for place in range(self.targets.count()):
            item = self.targets.item(place)
            known = item.data(_NameRole)
            state = Qt.CheckState.Checked if known in chosen else Qt.CheckState.Unchecked
            item.setCheckState(state)
            font = item.font()
            font.setBold(bool(chosen) and known == chosen[0])
            item.setFont(font)
        self.targets.blockSignals(blocked)

    def _on_checked(self, item: QListWidgetItem) -> None:
        if self._class >= 0:
            self.model.toggle(self._class, str(item.data(_NameRole)))

    def _on_first(self, item: QListWidgetItem) -> None:
        if self._class >= 0:
            self.model.make_first(self._class, str(item.data(_NameRole)))

    def _on_ignore(self) -> None:
        if self._class >= 0:
            self.model.set_classes(self._class, ())

    def _on_edited(self) -> None:
        model = self.model
        total, ignored = len(model.source), model.unmapped
        text = f"{total - ignored} of {total} classes have a counterpart"
        if ignored:
            text += f"; {ignored} are ignored: their pixels count for nobody"
        problem = self._check(model.mapping(self.name.text().strip()))
        self.summary.setText(problem or f"{text}.")
        self.use.setEnabled(not problem)
        ideas = model.open_suggestions
        counted = f"{ideas} " if ideas else ""
        self.accept_all.setText(f"Accept {counted}suggestion{'s' if ideas != 1 else ''}")
        self.accept_all.setEnabled(ideas > 0)
        self._show_targets()

    def _on_start_from(self, row: int) -> None:
        if row > 0:
            self.set_words(self._known[row - 1])

    def _on_load(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Load a label mapping", "", "JSON (*.json)")
        if name:
            self.load_requested.emit(Path(name))
