"""The confusion panel: what is called what, over the whole run; a click leads to the regions."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.models.confusion import ClassOrder, ConfusionData, Scale, view_confusion
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import ElidedLabel, icon_button, label
from segstudio.ui.widgets.heat_map import HeatMap

__all__ = ["ConfusionPanel"]

_HINT = (
    "A click on a cell lists its regions, on a name those of the class; the wheel zooms, "
    "the right button hides a class."
)


class ConfusionPanel(QWidget):
    """The heat map under its choices, over one line that says what is under the pointer.

    Attributes
    ----------
    regions_requested : Signal(object, object)
        Target and prediction as class indices whose regions are wanted; None means any.
    """

    regions_requested = Signal(object, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._data: ConfusionData | None = None
        self._hidden: set[int] = set()
        self.map = HeatMap()
        self.scale = QComboBox()
        self.order = QComboBox()
        for scale in Scale:
            self.scale.addItem(scale.value, scale)
        for order in ClassOrder:
            self.order.addItem(order.value, order)
        self.scale.setToolTip("What a cell says; colours follow the square root of it")
        self.order.setToolTip("Order of the classes")
        self.diagonal = QCheckBox("Right pixels")
        self.diagonal.setChecked(True)
        self.diagonal.setToolTip(
            "The diagonal; without it errors have the whole range of colours (they are rare)"
        )
        self.show_all = QPushButton("Show all")
        self.show_all.hide()
        self.readout = ElidedLabel("", role="muted")
        self._message = label(style="muted")
        self._message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._message.setWordWrap(True)
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
        head.addWidget(self.show_all)
        head.addWidget(icon_button("fit", "Show all cells", self.map.fit))
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
        self.show_all.clicked.connect(lambda _checked: self.show_all_classes())
        self.map.hovered.connect(self._on_hovered)
        self.map.cell_clicked.connect(self._on_cell)
        self.map.row_clicked.connect(lambda index: self.regions_requested.emit(index, None))
        self.map.column_clicked.connect(lambda index: self.regions_requested.emit(None, index))
        self.map.menu_requested.connect(self._on_menu)

    # -- what is shown ------------------------------------------------------------------------

    def set_message(self, text: str) -> None:
        """Show a sentence instead of the matrix."""
        self._data = None
        self._message.setText(text)
        self._pages.setCurrentIndex(0)

    def set_data(self, data: ConfusionData) -> None:
        """Show a run's matrix; hidden classes stay hidden while the classes are the same."""
        if self._data is None or self._data.names != data.names:
            self._hidden.clear()
            self.map.set_chosen(None)
        self._data = data
        self._pages.setCurrentIndex(1)
        self._show()

    def set_hidden(self, index: int, hidden: bool) -> None:
        """Hide a class, or show it again."""
        (self._hidden.add if hidden else self._hidden.discard)(index)
        self._show()

    def show_all_classes(self) -> None:
        """Show every class again."""
        self._hidden.clear()
        self._show()

    def set_chosen(self, target: int | None, prediction: int | None) -> None:
        """Mark the cell whose regions are listed; None for either marks none."""
        both = target is not None and prediction is not None
        self.map.set_chosen((target, prediction) if both else None)  # type: ignore[arg-type]

    # -- inside -------------------------------------------------------------------------------

    def _show(self) -> None:
        if self._data is None:
            return
        view = view_confusion(
            self._data,
            scale=self.scale.currentData(),
            order=self.order.currentData(),
            diagonal=self.diagonal.isChecked(),
            hidden=self._hidden,
        )
        self.map.set_view(self._data, view)
        count = len(self._hidden)
        self.show_all.setText(f"Show {count} hidden class{'es' if count > 1 else ''}")
        self.show_all.setVisible(count > 0)
        self._on_hovered(None)

    def _on_hovered(self, cell: tuple[int, int] | None) -> None:
        if cell is None or self._data is None:
            self.readout.set_text(_HINT)
        else:
            self.readout.set_text(self._data.describe(*cell))

    def _on_cell(self, target: int, prediction: int) -> None:
        if target == prediction:
            self.readout.set_text("These pixels are right; the other cells hold the errors.")
            return
        self.regions_requested.emit(target, prediction)

    def _on_menu(self, index: int, place: QPoint) -> None:
        if self._data is None:
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if index >= 0:
            name = self._data.name(index)
            hide = menu.addAction(f"Hide {name}")
            hide.triggered.connect(partial(self._hide, index))
        if 0 <= index < len(self._data.names):
            only = menu.addAction(f"Hide all that {self._data.name(index)} is not confused with")
            only.triggered.connect(partial(self._hide_unrelated, index))
        if self._hidden:
            everything = menu.addAction("Show all classes")
            everything.triggered.connect(lambda _checked: self.show_all_classes())
        if not menu.isEmpty():
            menu.popup(place)

    def _hide(self, index: int, _checked: bool = False) -> None:
        self.set_hidden(index, True)

    def _hide_unrelated(self, index: int, _checked: bool = False) -> None:
        assert self._data is not None
        counts, classes = self._data.counts, len(self._data.names)
        joint = counts[index, :classes] + counts[:, index]
        # Hundreds of stray pixels join every class with every other.
        least = joint.sum() / 1000
        self._hidden = {other for other in range(classes) if joint[other] < least} - {index}
        self._show()
