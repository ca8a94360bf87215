"""The second view: the same image beside the first one, under another layer."""

from __future__ import annotations

from collections.abc import Collection

from PySide6.QtCore import QSignalBlocker, QSize, Qt, Signal
from PySide6.QtGui import QHideEvent, QShowEvent, QStandardItemModel
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from segstudio.ui.canvas.image_canvas import ImageCanvas
from segstudio.ui.panels.layers import LAYERS
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label

__all__ = ["PHOTOGRAPH", "SecondViewPanel"]

PHOTOGRAPH = "photograph"
"""The choice of no layer."""


class SecondViewPanel(QWidget):
    """A canvas and which layer it shows.

    Attributes
    ----------
    layer_chosen : Signal(str)
        Name of a layer, or `PHOTOGRAPH`.
    seen_changed : Signal(bool)
        Whether the panel is on the screen.
    """

    layer_chosen = Signal(str)
    seen_changed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.canvas = ImageCanvas()
        self.canvas.set_empty_message("The image is shown here as well")
        self.canvas.setAcceptDrops(False)
        self.canvas.setMinimumSize(20 * GRID, 16 * GRID)
        self.choice = QComboBox()
        self.choice.setAccessibleName("Layer of the second view")
        self.choice.setToolTip("What lies over the photograph here")
        self.choice.addItem("Photograph alone", PHOTOGRAPH)
        for spec in LAYERS:
            self.choice.addItem(spec.title, spec.name)
        row = QHBoxLayout()
        row.setContentsMargins(GRID + 4, GRID // 2, GRID, GRID // 2)
        row.setSpacing(GRID)
        row.addWidget(label("Layer", style="muted"))
        row.addWidget(self.choice, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(row)
        layout.addWidget(self.canvas, 1)
        self.choice.currentIndexChanged.connect(
            lambda _index: self.layer_chosen.emit(self.layer_name)
        )

    @property
    def layer_name(self) -> str:
        """The layer that is wanted, or `PHOTOGRAPH`."""
        return str(self.choice.currentData())

    def set_layer(self, name: str) -> None:
        """Want a layer, without telling anyone; a name that is none is left out."""
        index = self.choice.findData(name)
        if index >= 0:
            with QSignalBlocker(self.choice):
                self.choice.setCurrentIndex(index)

    def set_there(self, names: Collection[str]) -> None:
        """Say which layers there are; the others cannot be chosen."""
        model = self.choice.model()
        assert isinstance(model, QStandardItemModel)
        for index in range(self.choice.count()):
            name = self.choice.itemData(index)
            model.item(index).setEnabled(name == PHOTOGRAPH or name in names)

    def sizeHint(self) -> QSize:
        """Return a size that leaves as much to the first view."""
        return QSize(56 * GRID, 48 * GRID)

    def showEvent(self, event: QShowEvent) -> None:
        """Tell that it is seen."""
        super().showEvent(event)
        self.seen_changed.emit(True)

    def hideEvent(self, event: QHideEvent) -> None:
        """Tell that it is not seen any more."""
        super().hideEvent(event)
        self.seen_changed.emit(False)
