"""The confusion panel: what is called what, over the whole run; a click leads to the regions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QInputDialog,
    QMenu,
    QPushButton,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.models.arrangement import Arrangement, ArrangementHistory
from segstudio.ui.models.confusion import (
    ClassOrder,
    ConfusionData,
    Scale,
    merge_classes,
    view_confusion,
)
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import ElidedLabel, icon_button
from segstudio.ui.widgets.frames import message_label
from segstudio.ui.widgets.heat_map import HeatMap

__all__ = ["ConfusionPanel"]

_HINT = (
    "A click on a cell lists its regions, on a name those of the class; Ctrl+click selects classes "
    "to merge; the wheel zooms."
)
Classes = int | tuple[int, ...] | None


class ConfusionPanel(QWidget):
    """The heat map under its choices, over one line that says what is under the pointer.

    Attributes
    ----------
    regions_requested : Signal(object, object)
        Target and prediction as class indices whose regions are wanted; a merged class is a tuple
        of them, None means any.
    arrangement_changed : Signal(object)
        Merged and hidden classes by name, as `arrangement` returns them.
    """

    regions_requested = Signal(object, object)
    arrangement_changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._source: ConfusionData | None = None
        self._data: ConfusionData | None = None
        self._members: tuple[tuple[int, ...], ...] = ()
        self._history = ArrangementHistory()
        self._selected: set[int] = set()  # of the source's classes
        self.map = HeatMap()
        self.scale = QComboBox()
        self.order = QComboBox()
        for scale in Scale:
            self.scale.addItem(scale.value, scale)
        for order in ClassOrder:
            self.order.addItem(order.value, order)
        self.scale.setToolTip("What a cell says; colours follow the square root of it  (S)")
        self.order.setToolTip("Order of the classes  (O)")
        self.diagonal = QCheckBox("Right pixels")
        self.diagonal.setChecked(True)
        self.diagonal.setToolTip(
            "The diagonal; without it errors have the whole range of colours (they are rare)  (R)"
        )
        self.merge = QPushButton("Merge…")
        self.merge.setToolTip("Look at the selected classes as one  (M)")
        self.show_all = QPushButton("Show all")
        for button in (self.merge, self.show_all):
            button.hide()
        self.undo_button = icon_button("undo", "Undo  (Ctrl+Z)", self.undo)
        self.redo_button = icon_button("redo", "Redo  (Ctrl+Shift+Z)", self.redo)
        self.readout = ElidedLabel("", role="muted")
        self._message = message_label()
        self._arrange()
        self._connect()
        self.set_message("Run a model on images with ground truth to see what it confuses.")

    def _arrange(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(GRID, GRID // 2, GRID, 0)
        head.setSpacing(GRID)
        head.addWidget(self.scale)
        head.addWidget(self.order)
        head.addWidget(self.diagonal)
        head.addStretch(1)
        head.addWidget(self.merge)
        head.addWidget(self.show_all)
        head.addWidget(self.undo_button)
        head.addWidget(self.redo_button)
        head.addWidget(icon_button("fit", "Show all cells  (Home)", self.map.fit))
        foot = QHBoxLayout()
        foot.setContentsMargins(GRID, 0, GRID, GRID // 2)
        foot.addWidget(self.readout)
        full = QWidget()
        column = QVBoxLayout(full)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addLayout(head)
        column.addWidget(self.map, 1)
        column.addLayout(foot)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(self._message)
        self._pages.addWidget(full)

    def _connect(self) -> None:
        self.scale.currentIndexChanged.connect(lambda _index: self._show())
        self.order.currentIndexChanged.connect(lambda _index: self._show())
        self.diagonal.toggled.connect(lambda _checked: self._show())
        self.merge.clicked.connect(lambda _checked: self._ask_name())
        self.show_all.clicked.connect(lambda _checked: self.show_all_classes())
        self.map.key_pressed.connect(self._do)
        self.map.hovered.connect(self._on_hovered)
        self.map.cell_clicked.connect(self._on_cell)
        self.map.row_clicked.connect(
            lambda index: self.regions_requested.emit(self._classes(index), None)
        )
        self.map.column_clicked.connect(
            lambda index: self.regions_requested.emit(None, self._classes(index))
        )
        self.map.class_toggled.connect(self._on_toggled)
        self.map.menu_requested.connect(self._on_menu)

    # -- what is shown ------------------------------------------------------------------------

    def set_message(self, text: str) -> None:
        """Show a sentence instead of the matrix."""
        self._data = self._source = None
        self._message.setText(text)
        self._pages.setCurrentIndex(0)

    def set_data(self, data: ConfusionData, arrangement: Mapping[str, Any] | None = None) -> None:
        """Show a run's matrix.

        Parameters
        ----------
        data : ConfusionData
        arrangement : mapping, optional
            What `arrangement` returned for such classes.  Without it merged and hidden classes
            stay as they are while the classes are the same.
        """
        before = self._source
        self._source = data
        if arrangement is not None:
            self._history.reset(Arrangement.from_names(arrangement, data.names))
        elif before is not None and before.names != data.names:
            self._history.reset(Arrangement())
        if before is None or before.names != data.names:
            self._selected.clear()
            self.map.set_chosen(None)
        self._pages.setCurrentIndex(1)
        self._show()

    @property
    def arrangement(self) -> dict[str, Any]:
        """Merged and hidden classes by name, JSON-ready."""
        if self._source is None:
            return {}
        return self._history.now.to_names(self._source.names)

    def set_hidden(self, index: int, hidden: bool) -> None:
        """Hide a class of the matrix shown, or show it again."""
        parts = set(self._parts(index))
        now = self._history.now.hidden
        self._follow(self._history.hide(frozenset(now | parts if hidden else now - parts)))

    def show_all_classes(self) -> None:
        """Show every class again; merged ones stay merged."""
        self._follow(self._history.hide(frozenset()))

    def merge_selected(self, name: str) -> None:
        """Look at the selected classes as one; fewer than two change nothing."""
        merged = self._history.merge(sorted(self._selected), name)
        if merged:
            self._selected.clear()
        self._follow(merged)

    def split(self, index: int) -> None:
        """Show the members of a merged class by themselves again."""
        self._follow(self._history.split(self._parts(index)))

    def undo(self) -> None:
        """Take the last merging or hiding back."""
        self._follow(self._history.undo())

    def redo(self) -> None:
        """Do again what was taken back."""
        self._follow(self._history.redo())

    def set_chosen(self, target: Classes, prediction: Classes) -> None:
        """Mark the cell whose regions are listed; None for either marks none."""
        places = [self._place(target), self._place(prediction)]
        row, column = places
        self.map.set_chosen(None if row is None or column is None else (row, column))

    # -- inside -------------------------------------------------------------------------------

    def _follow(self, changed: bool) -> None:
        """Show the classes as they are arranged now, and tell of it."""
        if changed:
            self._show()
            self.arrangement_changed.emit(self.arrangement)

    def _parts(self, index: int) -> tuple[int, ...]:
        """Return the source's classes behind a class of the matrix shown."""
        if index < len(self._members):
            return self._members[index]
        return (len(self._source.names),) if self._source is not None else ()

    def _classes(self, index: int) -> Classes:
        parts = self._parts(index)
        return parts if len(parts) > 1 else parts[0]

    def _place(self, classes: Classes) -> int | None:
        """Return the class of the matrix shown that stands for the source's."""
        if classes is None or self._source is None:
            return None
        wanted = classes if isinstance(classes, tuple) else (classes,)
        if wanted == (len(self._source.names),):
            return len(self._members)
        return next(
            (place for place, parts in enumerate(self._members) if set(wanted) <= set(parts)), None
        )

    def _show(self) -> None:
        if self._source is None:
            return
        self._data, self._members = merge_classes(self._source, self._history.now.groups)
        hidden = {
            index
            for index in range(len(self._members) + 1)
            if set(self._parts(index)) <= self._history.now.hidden
        }
        view = view_confusion(
            self._data,
            scale=self.scale.currentData(),
            order=self.order.currentData(),
            diagonal=self.diagonal.isChecked(),
            hidden=hidden,
        )
        self.map.set_view(self._data, view)
        count = len(hidden)
        self.show_all.setText(f"Show {count} hidden class{'es' if count != 1 else ''}")
        self.show_all.setVisible(count > 0)
        history = self._history
        for button in (self.undo_button, self.redo_button):
            button.setVisible(history.can_undo or history.can_redo)
        self.undo_button.setEnabled(history.can_undo)
        self.redo_button.setEnabled(history.can_redo)
        self._show_selected()
        self._on_hovered(None)

    def _show_selected(self) -> None:
        places = [
            place for place, parts in enumerate(self._members) if self._selected.intersection(parts)
        ]
        self.map.set_selected(places)
        self.merge.setText(f"Merge {len(places)} classes…")
        self.merge.setVisible(len(places) > 1)

    def _on_hovered(self, cell: tuple[int, int] | None) -> None:
        if cell is None or self._data is None:
            self.readout.set_text(_HINT)
        else:
            self.readout.set_text(self._data.describe(*cell))

    def _on_cell(self, target: int, prediction: int) -> None:
        if target == prediction and len(self._parts(target)) == 1:
            self.readout.set_text("These pixels are right; the other cells hold the errors.")
            return
        # On the diagonal of merged classes: what they are confused with among themselves.
        self.regions_requested.emit(self._classes(target), self._classes(prediction))

    def _on_toggled(self, index: int) -> None:
        if index >= len(self._members):
            return
        self._selected.symmetric_difference_update(self._members[index])
        self._show_selected()

    def _ask_name(self) -> None:
        if self._data is None:
            return
        chosen = [
            self._data.name(place)
            for place, parts in enumerate(self._members)
            if self._selected.intersection(parts)
        ]
        if len(chosen) < 2:
            self.readout.set_text("Select two or more classes first: Ctrl+click on their names.")
            return
        name, accepted = QInputDialog.getText(
            self, "Merge classes", "Merge as", text=" + ".join(chosen)
        )
        if accepted:
            self.merge_selected(name)

    def _on_menu(self, index: int, place: QPoint) -> None:
        if self._data is None:
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)

        def add(text: str, call: Any) -> None:
            menu.addAction(text).triggered.connect(lambda _checked: call())

        if index >= 0:
            name = self._data.name(index)
            add(f"Hide {name}", partial(self.set_hidden, index, True))
        if 0 <= index < len(self._data.names):
            add(
                f"Hide all that {name} is not confused with",
                partial(self._hide_unrelated, index),
            )
            marked = self._selected.issuperset(self._members[index])
            add(f"{'Unselect' if marked else 'Select'} {name}", partial(self._on_toggled, index))
            if len(self._members[index]) > 1:
                add(f"Split {name}", partial(self.split, index))
        if self.merge.isVisibleTo(self):
            add("Merge the selected classes…", self._ask_name)
        if self._history.now.hidden:
            add("Show all classes", self.show_all_classes)
        if not menu.isEmpty():
            menu.popup(place)

    def _hide_unrelated(self, index: int) -> None:
        assert self._data is not None
        counts, classes = self._data.counts, len(self._data.names)
        joint = counts[index, :classes] + counts[:, index]
        # Hundreds of stray pixels join every class with every other.
        least = joint.sum() / 1000
        hidden = {other for other in range(classes) if joint[other] < least} - {index}
        parts = frozenset(part for other in hidden for part in self._parts(other))
        self._follow(self._history.hide(parts))

    # -- keys of the matrix -------------------------------------------------------------------

    def _do(self, deed: str) -> None:
        deeds: dict[str, Any] = {
            "undo": self.undo,
            "redo": self.redo,
            "merge": self._ask_name,
            "hide": self._hide_selected,
            "scale": lambda: _next(self.scale),
            "order": lambda: _next(self.order),
            "diagonal": self.diagonal.toggle,
            "closer": lambda: self.map.zoom_by(1.25),
            "farther": lambda: self.map.zoom_by(0.8),
            "fit": self.map.fit,
            "unselect": self._unselect,
        }
        deeds[deed]()

    def _hide_selected(self) -> None:
        hidden = frozenset(self._history.now.hidden | self._selected)
        self._selected.clear()
        self._follow(self._history.hide(hidden))

    def _unselect(self) -> None:
        self._selected.clear()
        self._show_selected()


def _next(box: QComboBox) -> None:
    box.setCurrentIndex((box.currentIndex() + 1) % box.count())
