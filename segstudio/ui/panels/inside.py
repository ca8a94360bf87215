"""The inside panel: what a network attends to, where it keeps its classes, how stages answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QPushButton,
    QStackedLayout,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.canvas.colormaps import color_map
from segstudio.ui.icons import icon
from segstudio.ui.palettes import ClassColor
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import ElidedLabel, JumpSlider, Segmented, icon_button, label
from segstudio.ui.widgets.color_bar import ColorBar
from segstudio.ui.widgets.distance_plot import DistancePlot
from segstudio.ui.widgets.embedding_plot import EmbeddingPlot
from segstudio.ui.widgets.frames import message_label

__all__ = ["COLORMAP", "OPACITY", "VIEWS", "InsidePanel", "InsideParts"]

VIEWS = ("attention", "classes", "features")
"""What can be looked at, in order."""
COLORMAP, OPACITY = "magma", 75
"""Of the map over the picture; the opacity in per cent, to begin with."""

_TITLES = {"attention": "Attention", "classes": "Classes", "features": "Features"}
_HINTS = {
    "attention": "Click a place in the picture: the map shows what its patch looks at.",
    "classes": "Choose a class, or click a place in the picture: the map shows its probability.",
    "features": "The map shows the norm of a stage's features over the channels.",
}
_LEFT_WIDTH = 34 * GRID


@dataclass(frozen=True, slots=True)
class InsideParts:
    """What a model has that can be looked at; a sentence where it has none.

    Attributes
    ----------
    layers : tuple of (str, int)
        Name and heads of the attention layers.
    outputs : tuple of str
        Class of each output.
    colors : tuple of ClassColor
        Of each output.
    no_attention, no_vectors, no_stages : str or None
        Why there are no attention layers, no vector for each class, no feature maps.
    """

    layers: tuple[tuple[str, int], ...]
    outputs: tuple[str, ...]
    colors: tuple[ClassColor, ...]
    no_attention: str | None
    no_vectors: str | None
    no_stages: str | None


class InsidePanel(QWidget):
    """Model, view, its choices, what the colours mean, and a plot beside them.

    Attributes
    ----------
    model_chosen : Signal(int)
        Place among the models.
    view_changed : Signal(str)
        One of `VIEWS`.
    attention_changed : Signal(int, int or None)
        Another layer or head; a head of None is the mean of all.
    class_chosen, stage_chosen : Signal(int)
        An output of the network; a stage of its encoder.
    distances_requested, stop_requested : Signal
    shown_toggled : Signal(bool)
        Whether the map lies over the picture.
    opacity_changed : Signal(float)
        0..1.
    """

    model_chosen = Signal(int)
    view_changed = Signal(str)
    attention_changed = Signal(int, object)
    class_chosen = Signal(int)
    stage_chosen = Signal(int)
    distances_requested = Signal()
    stop_requested = Signal()
    shown_toggled = Signal(bool)
    opacity_changed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._parts: InsideParts | None = None
        self._view = VIEWS[0]
        self.models = _combo("Model")
        self.layers, self.heads = _combo("Attention layer"), _combo("Attention head")
        self.classes, self.stages = _combo("Class"), _combo("Stage of the encoder")
        self.classes.setPlaceholderText("choose one")
        self.distances, self.embeddings = DistancePlot(), EmbeddingPlot()
        self.measure = QPushButton("Measure distances")
        self.measure.setToolTip("Go through the attention of all patches of this image")
        self.eye: QToolButton = icon_button("visible", "Show the map over the picture")
        self.eye.setIcon(icon("visible", off="hidden", role="text"))
        self.eye.setCheckable(True)
        self.eye.setChecked(True)
        self.eye.setObjectName("quiet")
        self.opacity = JumpSlider(0, 100, OPACITY)
        self.opacity.setAccessibleName("Opacity of the map")
        self.opacity.setToolTip("Opacity of the map")
        self.stop: QToolButton = icon_button("cancel", "Stop looking")
        self.bar = ColorBar()
        self.busy = ElidedLabel(role="muted")
        self.said = label(style="muted")
        self.said.setWordWrap(True)
        self._message = message_label()
        self._build()
        self._connect()
        self.set_busy("")
        self.set_message("Open images first; then you can look inside a model while it sees one.")

    # -- what is shown ------------------------------------------------------------------------

    @property
    def view(self) -> str:
        """One of `VIEWS`."""
        return self._view

    @property
    def parts(self) -> InsideParts | None:
        """What the model has, None before it is known."""
        return self._parts

    @property
    def head(self) -> int | None:
        """The chosen head, None for the mean of all."""
        return self.heads.currentData()

    @property
    def message(self) -> str:
        """The sentence in place of everything, "" without one."""
        return "" if self._pages.currentIndex() else self._message.text()

    def set_message(self, text: str) -> None:
        """Show a sentence in place of the views."""
        self._message.setText(text)
        self._pages.setCurrentIndex(0)

    def set_models(self, titles: Sequence[str], current: int) -> None:
        """Offer models; ``current`` is the place of the chosen one."""
        blocker = QSignalBlocker(self.models)
        self.models.clear()
        self.models.addItems(list(titles))
        self.models.setCurrentIndex(current)
        del blocker
        self._pages.setCurrentIndex(1 if titles else 0)

    def set_parts(self, parts: InsideParts | None) -> None:
        """Offer what a model has; None before it is known."""
        self._parts = parts
        blockers = [QSignalBlocker(box) for box in (self.layers, self.classes, self.stages)]
        for box in (self.layers, self.classes, self.stages):
            box.clear()
        self.distances.set_layers(())
        self.embeddings.set_points((), (), ())
        if parts is not None:
            self.layers.addItems(_numbered([name for name, _ in parts.layers]))
            self.layers.setCurrentIndex(len(parts.layers) - 1)
            self.classes.addItems(list(parts.outputs))
            self.classes.setCurrentIndex(-1)
        del blockers
        self._offer_heads()
        self.clear_picture()

    def set_stages(self, names: Sequence[str], current: int) -> None:
        """Offer the stages of the encoder, known once it has run."""
        with QSignalBlocker(self.stages):
            self.stages.clear()
            self.stages.addItems(_numbered(names))
            self.stages.setCurrentIndex(current)

    def set_view(self, view: str) -> None:
        """Show one of `VIEWS`."""
        self._actions[VIEWS.index(view)].trigger()

    def set_picture(self, low: str, high: str, text: str) -> None:
        """Say what the colours over the picture mean, from ``low`` to ``high``."""
        self.bar.set_scale(color_map(COLORMAP), low, high)
        self.bar.show()
        self.said.setText(text)

    def clear_picture(self, text: str = "") -> None:
        """There is nothing over the picture; say what to do, or ``text``."""
        self.bar.hide()
        missing = self.missing
        self.said.setText(text or missing or _HINTS[self._view])
        usable = missing is None and self._parts is not None
        for view, row in self._rows:
            row.setVisible(usable and view == self._view)
        self._show_plot()

    def set_distances(self, layers: Sequence[tuple[str, tuple[float, ...]]]) -> None:
        """Show mean attention distances; an empty sequence offers to measure them."""
        self.distances.set_layers(layers)
        self.distances.set_chosen(self.layers.currentIndex(), self.head)
        self._show_plot()

    def set_busy(self, text: str) -> None:
        """Say what is being worked on, "" for nothing."""
        self.busy.set_text(text)
        self.stop.setVisible(bool(text))

    @property
    def missing(self) -> str | None:
        """The sentence why the model has nothing for this view, None when it has."""
        if self._parts is None or self._view == "classes":
            return None
        return self._parts.no_attention if self._view == "attention" else self._parts.no_stages

    # -- inside -------------------------------------------------------------------------------

    def _build(self) -> None:
        group = QActionGroup(self)
        self._actions: list[QAction] = []
        for name in VIEWS:
            action = QAction(_TITLES[name], self)
            action.setCheckable(True)
            action.setToolTip(_HINTS[name])
            group.addAction(action)
            self._actions.append(action)
        self._actions[0].setChecked(True)
        head = QHBoxLayout()
        head.setContentsMargins(GRID, GRID // 2, GRID, 0)
        head.setSpacing(GRID)
        self.models.setMinimumWidth(20 * GRID)
        head.addWidget(self.models, 1)
        head.addWidget(Segmented(self._actions))
        head.addWidget(self.busy, 1)
        head.addWidget(self.stop)
        body = QHBoxLayout()
        body.setContentsMargins(GRID, 0, 0, 0)
        body.setSpacing(GRID)
        body.addWidget(self._build_left())
        body.addWidget(self._build_plots(), 1)
        full = QWidget()
        column = QVBoxLayout(full)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addLayout(head)
        column.addLayout(body, 1)
        self._message.setContentsMargins(2 * GRID, 0, 2 * GRID, 0)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(self._message)
        self._pages.addWidget(full)

    def _build_left(self) -> QWidget:
        """Return the choices of the view and what the colours mean."""
        choices = QVBoxLayout()
        choices.setSpacing(GRID // 2)
        self._rows: list[tuple[str, QWidget]] = []
        for view, title, box in (
            ("attention", "Layer", self.layers),
            ("attention", "Head", self.heads),
            ("classes", "Class", self.classes),
            ("features", "Stage", self.stages),
        ):
            holder = QWidget()
            row = QHBoxLayout(holder)
            row.setContentsMargins(0, 0, 0, 0)
            caption = label(title, style="muted")
            caption.setFixedWidth(6 * GRID)
            row.addWidget(caption)
            row.addWidget(box, 1)
            choices.addWidget(holder)
            self._rows.append((view, holder))
        shown = QHBoxLayout()
        shown.setSpacing(GRID // 2)
        shown.addWidget(self.eye)
        shown.addWidget(label("Over the picture", style="muted"))
        shown.addWidget(self.opacity, 1)
        left = QWidget()
        left.setFixedWidth(_LEFT_WIDTH)
        column = QVBoxLayout(left)
        column.setContentsMargins(0, GRID // 2, 0, GRID)
        column.setSpacing(GRID)
        column.addLayout(choices)
        column.addLayout(shown)
        column.addWidget(self.bar)
        column.addWidget(self.said)
        column.addStretch(1)
        return left

    def _build_plots(self) -> QWidget:
        """Return the plot beside the choices, or what stands there without one."""
        self._offer = QWidget()
        QHBoxLayout(self._offer).addWidget(self.measure, 0, Qt.AlignmentFlag.AlignCenter)
        self._no_plot = label(style="muted")
        self._no_plot.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._no_plot.setWordWrap(True)
        self._plots = QStackedWidget()
        for part in (self._no_plot, self._offer, self.distances, self.embeddings):
            self._plots.addWidget(part)
        return self._plots

    def _connect(self) -> None:
        for name, action in zip(VIEWS, self._actions, strict=True):
            action.triggered.connect(lambda _checked, name=name: self._on_view(name))
        self.models.currentIndexChanged.connect(self.model_chosen)
        self.layers.currentIndexChanged.connect(lambda _index: self._on_layer())
        self.heads.currentIndexChanged.connect(lambda _index: self._tell_attention())
        self.classes.currentIndexChanged.connect(self._on_class)
        self.stages.currentIndexChanged.connect(self.stage_chosen)
        self.distances.head_clicked.connect(self._on_head)
        self.embeddings.class_clicked.connect(self.classes.setCurrentIndex)
        self.measure.clicked.connect(lambda _checked: self.distances_requested.emit())
        self.stop.clicked.connect(lambda _checked: self.stop_requested.emit())
        self.eye.toggled.connect(self.shown_toggled)
        self.opacity.valueChanged.connect(lambda value: self.opacity_changed.emit(value / 100))

    def _on_view(self, view: str) -> None:
        if view != self._view:
            self._view = view
            self.clear_picture()
            self.view_changed.emit(view)

    def _show_plot(self) -> None:
        parts = self._parts
        text = ""
        widget: QWidget = self._no_plot
        if parts is not None and self._view == "attention" and parts.no_attention is None:
            widget = self.distances if self.distances.layers else self._offer
        elif parts is not None and self._view == "classes":
            text = parts.no_vectors or ""
            widget = self._no_plot if text else self.embeddings
        self._no_plot.setText(text)
        self._plots.setCurrentWidget(widget)

    def _offer_heads(self) -> None:
        """Offer the heads of the layer; the one chosen stays where the layer has it."""
        before, place = self.head, self.layers.currentIndex()
        blocker = QSignalBlocker(self.heads)
        self.heads.clear()
        if self._parts is not None and place >= 0:
            count = self._parts.layers[place][1]
            self.heads.addItem(f"mean of {count}", None)
            for head in range(count):
                self.heads.addItem(str(head), head)
            self.heads.setCurrentIndex(before + 1 if before is not None and before < count else 0)
        del blocker

    def _on_layer(self) -> None:
        self._offer_heads()
        self._tell_attention()

    def _on_head(self, layer: int, head: int) -> None:
        """Show the attention of the mark that was clicked in the plot."""
        blockers = [QSignalBlocker(box) for box in (self.layers, self.heads)]
        self.layers.setCurrentIndex(layer)
        self._offer_heads()
        self.heads.setCurrentIndex(head + 1)
        del blockers
        self._tell_attention()

    def _tell_attention(self) -> None:
        place = self.layers.currentIndex()
        if place >= 0:
            self.distances.set_chosen(place, self.head)
            self.attention_changed.emit(place, self.head)

    def _on_class(self, output: int) -> None:
        self.embeddings.set_chosen(output)
        if output >= 0:
            self.class_chosen.emit(output)


def _numbered(names: Sequence[str]) -> list[str]:
    return [f"{place}  {name}" for place, name in enumerate(names)]


def _combo(name: str) -> QComboBox:
    box = QComboBox()
    box.setAccessibleName(name)
    box.setToolTip(name)
    box.setMaxVisibleItems(24)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box
