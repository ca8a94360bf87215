"""Painting: pointer events become strokes, strokes become patches, patches repaint their box."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QColor

from segstudio.core.errors import SegStudioError
from segstudio.core.options import build_options, option_fields
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.tool import TOOLS
from segstudio.session.corrections import GROUND_TRUTH, Correction
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk, Shown
from segstudio.ui.controllers.score import ScoreController
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models.legend import short_name

__all__ = ["EditController"]

_TOOLS = ("brush", "eraser", "fill", "pick", "pan")
_SHAPES = {"circle": "round", "square": "square"}
_LIVE_MS = 50


class EditController(QObject):
    """Joins canvas, tools and classes with the session's corrections.

    Attributes
    ----------
    opened : Signal(Correction)
        The sample shown can be painted.
    saved : Signal(str)
        A sample's correction is on the disk.
    """

    opened = Signal(object)
    saved = Signal(str)

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        tasks: Tasks,
        desk: Desk,
        scores: ScoreController,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._desk, self._scores = desk, scores
        self.correction: Correction | None = None
        self._driver: StrokeDriver | None = None
        self._last_event: PointerEvent | None = None
        self._tool = "brush"
        self._prediction_was_visible = True
        self._live = QTimer(self)
        self._live.setSingleShot(True)
        self._live.setInterval(_LIVE_MS)
        self._live.timeout.connect(self._show_live)
        self._connect()

    def _connect(self) -> None:
        window, actions = self._window, self._window.actions_
        for name in _TOOLS:
            actions[f"tool_{name}"].triggered.connect(
                lambda _checked, name=name: self._choose_tool(name)
            )
        actions["tool_brush"].setChecked(True)
        for digit in range(1, 10):
            actions[f"favourite_{digit}"].triggered.connect(
                lambda _checked, digit=digit: self._choose_favourite(digit)
            )
        actions["undo"].triggered.connect(lambda _checked: self._travel("undo"))
        actions["redo"].triggered.connect(lambda _checked: self._travel("redo"))
        actions["save"].triggered.connect(lambda _checked: self.save())
        window.workspace_changed.connect(self._on_workspace)
        window.canvas.pointer.connect(self._on_pointer)
        window.tool_strip.size_changed.connect(lambda _size: self._follow_tool())
        window.tool_strip.shape_changed.connect(lambda _shape: self._follow_tool())
        window.classes_panel.class_chosen.connect(self.choose_class)
        window.classes_panel.favourite_requested.connect(window.legend.set_favourite)
        window.classes_panel.view.digit_pressed.connect(window.legend.set_favourite)
        self._desk.leaving.connect(self._on_leaving)
        self._desk.shown_changed.connect(self._on_shown)
        self._desk.space_changed.connect(lambda _space: self._show_class())
        self._follow_state()

    # -- workspace and sample ---------------------------------------------------------------

    @property
    def is_correcting(self) -> bool:
        """Whether the Correct workspace is shown."""
        return self._window.workspace == "correct"

    def _on_workspace(self, name: str) -> None:
        panel = self._window.layers_panel
        if name == "correct":
            self._prediction_was_visible = panel.is_visible("prediction")
            panel.set_visible("prediction", False)
            panel.set_visible("correction", True)
            self._choose_tool(self._tool)
            self._on_shown(self._desk.shown)
        else:
            panel.set_visible("prediction", self._prediction_was_visible)
            self._window.canvas.set_interaction("pan")
            self._window.canvas.set_brush_preview(None)
            self.save_if_dirty()

    def _on_shown(self, shown: Shown | None) -> None:
        if shown is None or not self.is_correcting:
            return
        if self.correction is not None and self.correction.sample_id == shown.sample_id:
            return
        source: str | None = None
        if shown.prediction is not None:
            source = shown.run
        elif shown.target is not None:
            source = GROUND_TRUTH
        sample_id = shown.sample_id
        self._tasks.start(
            "correction",
            lambda: self._session.open_correction(sample_id, source=source),
            self._on_opened,
            self._on_failed,
            priority=2,
        )

    def _on_opened(self, correction: Correction) -> None:
        if correction.sample_id != self._desk.sample_id:
            self._session.corrections.release(correction.sample_id)
            return
        self.correction = correction
        document = correction.document
        document.changed.connect(self._on_changed)
        document.state_changed.connect(self._follow_state)
        self._desk.corrected = document.label_map
        if self._desk.space is None or self._desk.space.names != correction.label_space.names:
            self._desk.space = correction.label_space
            self._desk.space_changed.emit(correction.label_space)
        self._desk.lay()
        self._follow_state()
        self._show_class()
        self._show_live()
        if correction.recovered_strokes:
            count = correction.recovered_strokes
            self._window.show_notice(
                "recovered",
                f"{count} stroke{'s' if count > 1 else ''} that had not been saved "
                f"{'are' if count > 1 else 'is'} back; Ctrl+Z takes them away one by one.",
                kind="done",
            )
        self.opened.emit(correction)

    def _on_failed(self, error: Exception) -> None:
        self._window.show_notice("correct", sentence(error), kind="warning")

    def _on_leaving(self, sample_id: str) -> None:
        correction = self.correction
        if correction is None:
            return
        self.save_if_dirty()
        document = correction.document
        document.changed.disconnect(self._on_changed, missing_ok=True)
        document.state_changed.disconnect(self._follow_state, missing_ok=True)
        self.correction = None
        self._desk.corrected = None
        try:
            self._session.corrections.release(correction.sample_id)
        except SegStudioError as error:
            self._window.show_notice("save", str(error), kind="error")
        self._follow_state()

    # -- strokes ----------------------------------------------------------------------------

    def _on_pointer(self, event: PointerEvent) -> None:
        correction = self.correction
        if correction is None:
            return
        if self._tool == "pick":
            if event.kind is PointerKind.PRESS:
                self._pick(event)
            return
        self._last_event = event
        try:
            if event.kind is PointerKind.PRESS:
                self._driver = self._new_driver(correction)
            if self._driver is not None:
                self._driver.handle(event)
        except SegStudioError as error:
            self._window.show_notice("correct", str(error), kind="error")
        if event.kind in (PointerKind.RELEASE, PointerKind.CANCEL):
            self._driver = None

    def _new_driver(self, correction: Correction) -> StrokeDriver:
        tool = TOOLS.get(self._tool)
        return StrokeDriver(
            correction.document,
            tool(),
            active_class=self._window.legend.active,
            options=self._options(tool.Options),
            source=correction.source_map,
        )

    def _options(self, options_class: type) -> Any:
        strip = self._window.tool_strip
        values = {"size": strip.brush_size, "shape": _SHAPES[strip.brush_shape]}
        known = {field.name for field in option_fields(options_class)}
        return build_options(options_class, {key: values[key] for key in values if key in known})

    def _pick(self, event: PointerEvent) -> None:
        assert self.correction is not None
        label_map = self.correction.document.label_map
        row, col = math.floor(event.row), math.floor(event.col)
        if 0 <= row < label_map.shape[0] and 0 <= col < label_map.shape[1]:
            value = int(label_map[row, col])
            if value < self._window.legend.rowCount():
                self.choose_class(value)
                self._window.classes_panel.reveal(value)

    def _finish_stroke(self) -> None:
        """End a stroke where the pointer was seen last, as if it were released there."""
        driver, self._driver = self._driver, None
        if driver is None or not driver.is_active or self._last_event is None:
            return
        try:
            driver.handle(replace(self._last_event, kind=PointerKind.RELEASE))
        except SegStudioError as error:
            self._window.show_notice("correct", str(error), kind="error")

    def _on_changed(self, patch: MaskPatch) -> None:
        self._desk.labels["correction"].update_box(patch.box)
        self._desk.errors.update_box(patch.box)
        if not self._live.isActive():
            self._live.start()

    def _show_live(self) -> None:
        correction = self.correction
        if correction is not None:
            confusion = None if correction.live is None else correction.live.confusion
            self._scores.show_live(confusion, correction.label_space)

    def _travel(self, way: str) -> None:
        correction = self.correction
        if correction is None or correction.document.in_stroke:
            return
        try:
            getattr(correction.document, way)()
        except SegStudioError as error:
            self._window.show_notice("correct", str(error), kind="error")

    # -- saving -----------------------------------------------------------------------------

    def save_if_dirty(self) -> None:
        """Save when there is something to save; a stroke that goes on is finished first."""
        self._finish_stroke()
        if self.correction is not None and self.correction.document.is_dirty:
            self.save()

    def save(self) -> None:
        """Save the correction of the sample shown."""
        if self.correction is None:
            return
        sample_id = self.correction.sample_id
        try:
            self._session.save_correction(sample_id)
        except SegStudioError as error:
            self._window.show_notice(
                "save", f"{error} The strokes are kept in the journal.", kind="error"
            )
            return
        self._window.notices.dismiss("save")
        self._window.samples.set_status(sample_id, "corrected")
        self._follow_state()
        self.saved.emit(sample_id)

    def _follow_state(self) -> None:
        """Enable undo, redo and save, and say what the correction is."""
        actions, correction = self._window.actions_, self.correction
        document = None if correction is None else correction.document
        actions["undo"].setEnabled(document is not None and document.history.can_undo)
        actions["redo"].setEnabled(document is not None and document.history.can_redo)
        actions["save"].setEnabled(document is not None and document.is_dirty)
        if correction is None or document is None:
            self._window.tool_strip.set_state("")
            return
        source = {None: "an empty map", GROUND_TRUTH: "ground truth"}.get(
            correction.source, correction.source
        )
        if document.is_dirty:
            self._window.samples.set_status(correction.sample_id, "in progress")
        state = "not saved yet" if document.is_dirty else "saved"
        self._window.tool_strip.set_state(f"{state.capitalize()}  ·  from {source}")

    # -- tool and class ---------------------------------------------------------------------

    def _choose_tool(self, name: str) -> None:
        self._finish_stroke()
        self._tool = name
        self._window.actions_[f"tool_{name}"].setChecked(True)
        if not self.is_correcting and name != "pan":
            self._window.set_workspace("correct")
            return
        self._follow_tool()

    def _follow_tool(self) -> None:
        canvas, strip = self._window.canvas, self._window.tool_strip
        if not self.is_correcting:
            return
        canvas.set_interaction("pan" if self._tool == "pan" else "paint")
        if self._tool in ("brush", "eraser"):
            shape: Any = strip.brush_shape
            canvas.set_brush_preview(float(strip.brush_size), shape)
        else:
            canvas.set_brush_preview(None)

    def choose_class(self, class_index: int) -> None:
        """Paint with a class from now on."""
        self._window.legend.set_active(class_index)
        self._show_class()

    def _choose_favourite(self, digit: int) -> None:
        favourites = self._window.legend.favourites
        if digit <= len(favourites) and favourites[digit - 1] >= 0:
            self.choose_class(favourites[digit - 1])

    def _show_class(self) -> None:
        space, active = self._desk.space, self._window.legend.active
        if space is not None and active < len(space):
            entry = space.classes[active]
            self._window.tool_strip.set_class(short_name(entry.name), QColor(*entry.color))
