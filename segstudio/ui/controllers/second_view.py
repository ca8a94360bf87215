"""The second view: moved, zoomed and painted in together with the first."""

from __future__ import annotations

from PySide6.QtCore import QObject, QSignalBlocker, Qt, QTimer

from segstudio.core.patch import MaskPatch
from segstudio.core.types import Image
from segstudio.session.corrections import Correction
from segstudio.session.session import Session
from segstudio.ui.canvas.layers import Overlay
from segstudio.ui.canvas.overlays import ErrorOverlay, LabelOverlay, ScalarOverlay
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.edit import EditController
from segstudio.ui.dock_layouts import LAYERS_WIDTH
from segstudio.ui.main_window import MainWindow
from segstudio.ui.palettes import style_news

__all__ = ["SecondViewController"]

_SETTING = "second_view"


class SecondViewController(QObject):
    """Joins the panel with the desk; while the panel is not seen it holds nothing.

    Attributes
    ----------
    labels, scalar, errors : Overlay
        What is laid over the photograph here; the one that is wanted holds data.
    """

    def __init__(
        self, window: MainWindow, session: Session, desk: Desk, edit: EditController
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._desk, self._edit = window, session, desk, edit
        self._panel, self._canvas = window.second_view, window.second_view.canvas
        self._image: Image | None = None
        self.labels, self.scalar = LabelOverlay("labels"), ScalarOverlay("scalar")
        self.errors = ErrorOverlay("errors")
        self._overlays: tuple[Overlay, ...] = (self.labels, self.scalar, self.errors)
        self._canvas.set_layers(self._overlays)
        kept = session.settings.get(_SETTING)
        if isinstance(kept, str):
            self._panel.set_layer(kept)
        self._connect()

    def _connect(self) -> None:
        window, panel, canvas = self._window, self._panel, self._canvas
        canvas.link_view(window.canvas)
        # What a hand does here is done to the picture in the middle.
        canvas.pointer.connect(window.canvas.pointer)
        canvas.clicked.connect(window.canvas.clicked)
        canvas.hovered.connect(window.canvas.hovered)
        canvas.brush_size_step.connect(window.canvas.brush_size_step)
        panel.seen_changed.connect(self._on_seen)
        panel.layer_chosen.connect(self._on_layer)
        self._desk.shown_changed.connect(lambda _shown: self.show_image())
        self._edit.opened.connect(self._on_opened)
        for changed in (
            self._desk.space_changed,
            style_news().changed,
            window.legend.visibility_changed,
            window.layers_panel.opacity_changed,
            window.classes_panel.class_hovered,
            window.actions_["toggle_outlines"].toggled,
        ):
            changed.connect(self._lay)
        window.overlays_held.connect(self._on_held)

    def _on_seen(self, seen: bool) -> None:
        self.show_image()
        if seen:
            QTimer.singleShot(0, self, self._widen)  # when the docks have their places

    def _widen(self) -> None:
        """Give both views as much when this one would be a strip."""
        window, dock = self._window, self._window.docks["second"]
        room = window.canvas.width() + dock.width()
        if dock.isFloating() or not self._is_seen or 3 * dock.width() >= room:
            return
        beside, middle = window.docks["layers"], window.centralWidget()
        assert middle is not None
        widths = {dock: room // 2}
        if not beside.isHidden() and not beside.isFloating():
            # More than there is would be taken from the layers, whose names would be cut.
            there = middle.width() + dock.width() + beside.width()
            most = there - LAYERS_WIDTH - middle.minimumSizeHint().width()
            widths = {dock: min(room // 2, most), beside: LAYERS_WIDTH}
        window.resizeDocks(list(widths), list(widths.values()), Qt.Orientation.Horizontal)

    @property
    def _is_seen(self) -> bool:
        return self._panel.isVisible()

    def show_image(self) -> None:
        """Show the image on the desk, or nothing while nobody looks."""
        shown = self._desk.shown if self._is_seen else None
        image = None if shown is None else shown.image
        if image is not self._image:
            self._image = image
            # It would fit another image, and take the first view along.
            with QSignalBlocker(self._canvas):
                self._canvas.set_image(image, () if shown is None else shown.levels)
        self._canvas.set_view_state(self._window.canvas.view_state)
        self._lay()

    def _lay(self) -> None:
        """Lay the layer that is chosen over the photograph, as the first view shows it."""
        if self._image is None:
            return
        sources = self._desk.overlays
        self._panel.set_there([name for name, layer in sources.items() if layer.shape])
        source = sources.get(self._panel.layer_name)
        laid: Overlay | None = None
        if isinstance(source, LabelOverlay):
            laid = self.labels
            self.labels.mirror(source)
        elif isinstance(source, ScalarOverlay):
            laid = self.scalar
            self.scalar.mirror(source)
        elif isinstance(source, ErrorOverlay):
            laid = self.errors
            self.errors.mirror(source)
        for overlay in self._overlays:
            if overlay is not laid:
                overlay.clear()

    def _on_held(self, held: bool) -> None:
        for overlay in self._overlays:
            overlay.visible = not held

    def _on_layer(self, name: str) -> None:
        self._session.settings.set(_SETTING, name)
        self._lay()

    def _on_opened(self, correction: Correction) -> None:
        correction.document.changed.connect(self._on_painted)
        self._lay()

    def _on_painted(self, patch: MaskPatch) -> None:
        """Show a stroke here too."""
        if self._image is None:
            return
        if self._panel.layer_name == "correction":
            self.labels.update_box(patch.box)
        elif self._panel.layer_name == "errors":
            self.errors.update_box(patch.box)
