"""The canvas: a photograph, overlays on it, and a pointer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QColor, QDragEnterEvent, QDragLeaveEvent, QDropEvent
from PySide6.QtWidgets import QGraphicsItem, QStackedLayout, QWidget

from segstudio.core.errors import UnknownNameError, UsageError
from segstudio.core.types import BBox, Image, Mask
from segstudio.ui.canvas.brush_preview import BrushPreview, BrushShape
from segstudio.ui.canvas.drop_frame import DropFrame
from segstudio.ui.canvas.empty_state import EmptyState
from segstudio.ui.canvas.layers import Overlay, PhotoLayer
from segstudio.ui.canvas.pointer_input import Interaction, PointerInput
from segstudio.ui.canvas.region_outline import RegionOutline
from segstudio.ui.canvas.viewport import CanvasView, ViewState
from segstudio.ui.widgets.basic import dropped_paths

__all__ = ["ImageCanvas"]

_GREY_DARK, _GREY_LIGHT = QColor(44, 44, 44), QColor(196, 196, 196)
"""What surrounds a photograph: neutral, or the eye would see its colours shifted."""


class ImageCanvas(QWidget):
    """Shows one image with overlays, zooms, pans and hands on what the pointer does.

    The order for another image is `set_image`, then each overlay's own ``set_...``: `set_image`
    empties the overlays, so that no overlay is ever seen over an image that it does not belong to.

    Parameters
    ----------
    parent : QWidget, optional
        Qt's parent.

    Attributes
    ----------
    scale_changed : Signal(float)
        The zoom in per cent; 100 is one image pixel per pixel of the screen.
    view_changed : Signal(ViewState)
        The view moved or zoomed.
    hovered : Signal(int or None, int or None)
        Row and column under the cursor, None and None outside; at most once a frame.
    clicked : Signal(int, int)
        Row and column of a click without a drag, in "pan".
    pointer : Signal(PointerEvent)
        Press, every move, release or cancel of a stroke, in "paint".
    brush_size_step : Signal(int)
        Notches that the wheel turned with Alt held; positive is larger.
    hand_changed : Signal()
        What the left button does, or the brush at the cursor, is another.
    link_activated : Signal(str)
        Target of a link of the empty canvas.
    paths_dropped : Signal(list of Path)
        Files or folders dropped on the canvas.
    """

    scale_changed = Signal(float)
    view_changed = Signal(object)
    hovered = Signal(object, object)
    clicked = Signal(int, int)
    pointer = Signal(object)
    brush_size_step = Signal(int)
    hand_changed = Signal()
    link_activated = Signal(str)
    paths_dropped = Signal(list)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view = CanvasView()
        self._empty = EmptyState()
        self._photo = PhotoLayer()
        self._overlays: list[Overlay] = []
        self._percent = 0.0
        self._brush: tuple[float, BrushShape] | None = None
        self._preview = BrushPreview()
        self._outline = RegionOutline()
        self._drop_frame = DropFrame(self)
        self._view.add_layer_item(self._photo.item, 0.0)
        self._view.addItem(self._preview)
        self._view.add_layer_item(self._outline, 1e5)
        self._input = PointerInput(self._view)
        self._pages = QStackedLayout(self)
        self._pages.setContentsMargins(0, 0, 0, 0)
        self._pages.addWidget(self._empty)
        self._pages.addWidget(self._view)
        self.setFocusProxy(self._view)
        self.setAcceptDrops(True)
        self.setAutoFillBackground(True)
        self._connect()
        self._follow_theme()

    # --- what is shown -------------------------------------------------------------------------

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width of the image, None without one."""
        return self._view.image_shape

    @property
    def photo(self) -> PhotoLayer:
        """The photograph's layer, for its visibility."""
        return self._photo

    @property
    def layers(self) -> tuple[Overlay, ...]:
        """The overlays, lowest first."""
        return tuple(self._overlays)

    def set_image(self, image: Image | None, levels: Sequence[Image] = ()) -> None:
        """Show another photograph; zoom and place stay if it has the size of the one before.

        Overlays stay with their settings but lose their data.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8, or None
            RGB, not copied and not to be changed; None shows the empty canvas.
        levels : sequence of ndarray
            The image and its halves, see `segstudio.datasets.levels.build_levels`.
        """
        shape = None if image is None else (image.shape[0], image.shape[1])
        self._outline.set_region(None)
        for overlay in self._overlays:
            overlay.clear()
            overlay.bind(shape)
        if image is None:
            self._photo.clear()
        else:
            self._photo.set_image(image, levels)
        self._view.set_image_shape(shape)
        self._pages.setCurrentWidget(self._empty if image is None else self._view)
        self._input.refresh_hover()

    def set_outline(self, mask: Mask | None, top: int = 0, left: int = 0) -> None:
        """Outline the pixels of a mask whose first pixel is at ``top``, ``left``; None ends it."""
        self._outline.set_region(mask, top, left)

    def set_layers(self, layers: Sequence[Overlay]) -> None:
        """Show these overlays and no others.

        Parameters
        ----------
        layers : sequence of Overlay
            Lowest first.

        Raises
        ------
        SizeMismatchError
            If one holds data of another size than the image; the overlays stay as they were.
        UsageError
            If two have the same name.
        """
        names = [layer.name for layer in layers]
        if len(set(names)) != len(names):
            raise UsageError(f"Two layers have the same name among {', '.join(names)}.")
        for layer in layers:
            layer.bind(self.image_shape)
        for layer in self._overlays:
            if layer not in layers:
                self._view.box.removeItem(layer.item)
        for index, layer in enumerate(layers):
            if layer not in self._overlays:
                self._view.add_layer_item(layer.item, 0.0)
            layer.item.setZValue(1.0 + index)
        self._overlays = list(layers)

    def layer(self, name: str) -> Overlay:
        """Return the overlay of that name.

        Raises
        ------
        UnknownNameError
            If there is none.
        """
        for overlay in self._overlays:
            if overlay.name == name:
                return overlay
        raise UnknownNameError(f"The canvas has no layer named {name!r}.")

    def add_preview(self, item: QGraphicsItem) -> None:
        """Put an item that paints in image coordinates (x = col, y = row) above the overlays."""
        self._view.add_layer_item(item, 1e5)

    def set_empty_message(
        self, title: str, lines: Sequence[str] = (), links: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Say what to do while there is no image.

        Parameters
        ----------
        title : str
            One friendly sentence.
        lines : sequence of str
            Quieter lines below it.
        links : sequence of (str, str)
            What a link says and the target that `link_activated` tells.
        """
        self._empty.set_message(title, lines, links)

    # --- the view ------------------------------------------------------------------------------

    @property
    def scale(self) -> float:
        """Screen pixels per image pixel."""
        return self._view.state.scale

    @property
    def view_state(self) -> ViewState:
        """Centre and scale of what is shown."""
        return self._view.state

    def fit(self) -> None:
        """Show the whole image, also when the window changes its size."""
        self._view.fit()

    def set_scale(self, scale: float, anchor: QPointF | None = None) -> None:
        """Zoom to ``scale`` screen pixels per image pixel; ``anchor`` keeps its image pixel."""
        self._view.set_scale(scale, anchor)

    def zoom_by(self, factor: float, anchor: QPointF | None = None) -> None:
        """Zoom by a factor; ``anchor``, a point of the widget, keeps its image pixel."""
        self._view.set_scale(self.scale * factor, anchor)

    def center_on(self, row: float, col: float) -> None:
        """Bring an image position to the middle."""
        self._view.center_on(row, col)

    def reveal(self, box: BBox, *, maximum_scale: float = 8.0) -> None:
        """Bring a box to the middle and zoom so that it fills half of the canvas."""
        self._view.reveal(box, maximum_scale=maximum_scale)

    def set_view_state(self, state: ViewState) -> None:
        """Show what ``state`` says, as far as this image and widget allow."""
        self._view.follow(state)

    def link_view(self, other: ImageCanvas) -> None:
        """Move and zoom together with another canvas from now on, and do what its pointer does."""
        self.set_view_state(other.view_state)
        self.view_changed.connect(other.set_view_state)
        other.view_changed.connect(self.set_view_state)
        other.hand_changed.connect(partial(self._take_hand, other))
        self._take_hand(other)

    def image_position(self, point: QPointF) -> tuple[float, float]:
        """Return the image (row, col) at a point of the widget."""
        return self._view.image_position(point)

    def widget_position(self, row: float, col: float) -> QPointF:
        """Return the point of the widget at an image position."""
        return self._view.view_position(row, col)

    # --- the pointer ---------------------------------------------------------------------------

    @property
    def interaction(self) -> Interaction:
        """What the left button does: "pan" or "paint"."""
        return self._input.interaction

    def set_interaction(self, interaction: Interaction) -> None:
        """Choose what the left button does.

        Parameters
        ----------
        interaction : {"pan", "paint"}
            Drag the image, or emit `pointer`.  The middle button and Space always drag it.
        """
        self._input.set_interaction(interaction)
        self.hand_changed.emit()

    def set_brush_preview(self, diameter: float | None, shape: BrushShape = "circle") -> None:
        """Show the brush's outline at the cursor, in "paint".

        Parameters
        ----------
        diameter : float or None
            Image pixels; None shows none.
        shape : {"circle", "square"}
            Of the brush.
        """
        self._brush = None if diameter is None else (diameter, shape)
        self._resize_preview()
        self._show_cursor()
        self.hand_changed.emit()

    # --- inside --------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._view.view_changed.connect(self._on_view_changed)
        self._input.pointer.connect(self.pointer)
        self._input.hovered.connect(self.hovered)
        self._input.clicked.connect(self.clicked)
        self._input.brush_size_step.connect(self.brush_size_step)
        self._input.moved.connect(self._move_preview)
        self._input.cursor_changed.connect(self._show_cursor)
        self._empty.link_activated.connect(self.link_activated)

    def _take_hand(self, other: ImageCanvas) -> None:
        self.set_interaction(other.interaction)
        self.set_brush_preview(*other._brush or (None,))

    def _on_view_changed(self, state: ViewState) -> None:
        self._resize_preview()
        self.view_changed.emit(state)
        percent = 100.0 * state.scale
        if percent != self._percent:
            self._percent = percent
            self.scale_changed.emit(percent)

    def _resize_preview(self) -> None:
        if self._brush is not None:
            diameter, shape = self._brush
            self._preview.set_outline(diameter * self._view.logical_scale, shape)

    def _move_preview(self, point: QPointF | None) -> None:
        if point is not None:
            # Also while it is hidden: a key may show it where the cursor rests.
            self._preview.setPos(point)
        self._preview.setVisible(point is not None and self._paints_brush())

    def _paints_brush(self) -> bool:
        return self._brush is not None and self._input.interaction == "paint"

    def _show_cursor(self) -> None:
        shape = self._input.cursor_shape
        if shape is None and self._input.interaction == "paint":
            # The outline is the cursor: an arrow on top would hide the pixels to be painted.
            brush = self._paints_brush()
            shape = Qt.CursorShape.BlankCursor if brush else Qt.CursorShape.CrossCursor
        if shape is None:
            self._view.viewport().unsetCursor()
        else:
            self._view.viewport().setCursor(shape)
        if not self._paints_brush():
            self._preview.setVisible(False)
        elif self._view.viewport().underMouse():
            self._preview.setVisible(True)

    def _follow_theme(self) -> None:
        dark = self.palette().window().color().lightness() < 128
        self._view.set_background_color(_GREY_DARK if dark else _GREY_LIGHT)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_view"):
            self._follow_theme()

    def show_drop_frame(self, shown: bool) -> None:
        """Show that what is dragged can be dropped, here or anywhere in the window."""
        self._drop_frame.setGeometry(self.rect())
        self._drop_frame.setVisible(shown)
        self._drop_frame.raise_()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take what is a local file or folder."""
        if dropped_paths(event):
            event.acceptProposedAction()
            self.show_drop_frame(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Take the frame away."""
        self.show_drop_frame(False)

    def dropEvent(self, event: QDropEvent) -> None:
        """Hand on the paths."""
        self.show_drop_frame(False)
        paths = dropped_paths(event)
        if paths:
            event.acceptProposedAction()
            self.paths_dropped.emit(paths)
