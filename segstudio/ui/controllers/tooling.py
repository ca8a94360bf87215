"""What a stroke needs beside the pointer: options, layers, rules of painting, superpixels."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray
from PySide6.QtCore import QObject, QPointF, QTimer, Signal

from segstudio.core.errors import UsageError
from segstudio.core.options import build_options, option_fields
from segstudio.core.types import BBox
from segstudio.datasets.scratch import is_large
from segstudio.editing.driver import StrokeDriver, Surroundings
from segstudio.editing.rules import PaintRules
from segstudio.editing.superpixels import Segments, find_segments
from segstudio.editing.tool import TOOLS, EditingTool
from segstudio.session.corrections import Correction
from segstudio.session.session import Session
from segstudio.ui.canvas.previews import SegmentsPreview
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models.legend import short_name

__all__ = ["Tooling"]

_CLASSLESS = ("copy", "eraser", "holes", "islands", "reshape")
"""Tools that paint another class than the active one."""

_PEN = ("pressure", "lightest")
"""Options that belong to the hand: every tool that has them shares them, and they are kept."""

_SHAPES = {"circle": "round", "square": "square"}
_WINDOW_EDGE = 8192
"""Rows and columns of a very large map that a slow tool is shown at most."""

_STILL_MS = 250
"""The view has to stand still so long before superpixels are looked for."""


class Tooling(QObject):
    """Knows which tool is chosen and makes the drivers of its strokes.

    Attributes
    ----------
    changed : Signal
        The tool or its options are others.
    finding : Signal(bool)
        Superpixels are being looked for in a thread, or no longer.
    """

    changed = Signal()
    finding = Signal(bool)

    def __init__(self, window: MainWindow, session: Session, tasks: Tasks, desk: Desk) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks, self._desk = window, session, tasks, desk
        self.tool: type[EditingTool] | None = None
        self._values: dict[str, dict[str, Any]] = {}
        self._pen: dict[str, Any] = _kept_pen(session.settings.get("pen"))
        self._segments: Segments | None = None
        self._found_for: tuple[Any, ...] = ()
        self._asked_for: tuple[Any, ...] = ()
        self._borders = SegmentsPreview()
        window.canvas.add_preview(self._borders)
        self._still = QTimer(self)
        self._still.setSingleShot(True)
        self._still.setInterval(_STILL_MS)
        self._still.timeout.connect(self._find_segments)
        window.canvas.view_changed.connect(lambda _state: self._want_segments())
        window.tool_strip.option_changed.connect(self._on_option)
        desk.shown_changed.connect(lambda _shown: self._want_segments())
        protect, legend = window.tool_strip.protect, window.legend
        legend.locks_changed.connect(lambda: protect.set_locks(len(legend.locked)))
        legend.modelReset.connect(protect.reset)
        protect.unlock_requested.connect(self._unlock)
        protect.over_class_requested.connect(self._paint_over_active)

    # -- tool and options -------------------------------------------------------------------

    def choose(self, name: str | None) -> None:
        """Use another tool; None for none that paints."""
        self.tool = None if name is None else TOOLS.get(name)
        self._show_options()
        self._want_segments()

    def _show_options(self) -> None:
        tool = self.tool
        if tool is None:
            self._window.tool_strip.set_fields([], {})
            return
        fields = option_fields(tool.Options)
        if any(field.name == "size" for field in fields) and not self.has_brush():
            fields = [field for field in fields if field.name not in ("size", "shape")]
        values = self._chosen()
        if values.get("pressure", "off") == "off":
            fields = [field for field in fields if field.name != "lightest"]
        self._window.tool_strip.set_fields(fields, values)

    def _chosen(self) -> dict[str, Any]:
        """Return what was chosen for the tool in use, size and shape aside."""
        return {**self._pen, **({} if self.tool is None else self._values.get(self.tool.name, {}))}

    def options(self) -> Any:
        """Return the options of the tool in use."""
        assert self.tool is not None
        strip = self._window.tool_strip
        values = {
            "size": strip.brush_size,
            "shape": _SHAPES[strip.brush_shape],
            **self._chosen(),
        }
        known = {field.name for field in option_fields(self.tool.Options)}
        return build_options(
            self.tool.Options, {key: values[key] for key in values if key in known}
        )

    def has_brush(self) -> bool:
        """Whether the tool in use paints with a brush of a size."""
        if self.tool is None:
            return False
        sized = any(field.name == "size" for field in option_fields(self.tool.Options))
        return sized and not self.tool().is_slow(self.options())

    def driver(self, correction: Correction) -> StrokeDriver:
        """Return the driver of one stroke.

        Raises
        ------
        SegStudioError
            When a rule or the tool cannot be used here.
        """
        assert self.tool is not None
        tool = self.tool()
        return StrokeDriver(
            correction.document,
            tool,
            window=self._window_for(correction) if tool.is_slow(self.options()) else None,
            active_class=self._window.legend.active,
            options=self.options(),
            surroundings=self._surroundings(correction),
            rules=self.rules(correction),
            stroke_name=self._stroke_name(correction),
        )

    def _stroke_name(self, correction: Correction) -> str | None:
        """Return the tool with the class that it paints, for the history list."""
        assert self.tool is not None
        active, space = self._window.legend.active, correction.label_space
        if self.tool.name in _CLASSLESS or active >= len(space):
            return None
        return f"{self.tool.title}: {short_name(space.classes[active].name)}"

    def _window_for(self, correction: Correction) -> BBox | None:
        """Return what a slow tool is shown of a map that is too large for memory; None for all.

        What is in view with as much around it on each side, as far as that is not too much.
        """
        region, shape = self._region(), correction.document.shape
        if region is None or not is_large(*shape):
            return None
        edge = _WINDOW_EDGE
        rows, columns = min(3 * region.height, edge), min(3 * region.width, edge)
        top = (region.top + region.bottom - rows) // 2
        left = (region.left + region.right - columns) // 2
        self._window.show_notice(
            "correct",
            f"This image is so large that {self.tool.title if self.tool else 'the tool'} works on "
            f"{rows:,} x {columns:,} pixels around the middle of the view.",
            seconds=6,
        )
        return BBox(top, left, top + rows, left + columns).clipped(*shape)

    def _on_option(self, name: str, value: Any) -> None:
        if self.tool is not None:
            had_brush = self.has_brush()
            if name in _PEN:
                self._pen[name] = value
                self._session.settings.set("pen", dict(self._pen))
            else:
                self._values.setdefault(self.tool.name, {})[name] = value
            if self.has_brush() != had_brush or name == "pressure":
                self._show_options()
            self._want_segments()
            self.changed.emit()

    # -- layers and rules -------------------------------------------------------------------

    def _surroundings(self, correction: Correction) -> Surroundings:
        shown = self._desk.shown
        if shown is None or shown.sample_id != correction.sample_id:
            return Surroundings(correction.source_map)
        names = correction.label_space.names
        layers: dict[str, NDArray[Any] | None] = {"entropy": shown.entropy}
        # An index of another label space would be another class.
        if shown.run_space is not None and shown.run_space.names == names:
            layers["prediction"], layers["runner_up"] = shown.prediction, shown.runner_up
        dataset = self._session.dataset
        space = None if dataset is None else dataset.label_space
        if space is None or space.names == names:
            layers["ground_truth"] = shown.target
        return Surroundings(
            None if correction.source is None else correction.source_map,
            shown.image,
            {name: layer for name, layer in layers.items() if layer is not None},
            self._segments if self._found_for == self._question() else None,
            self._region(),
        )

    def rules(self, correction: Correction) -> PaintRules:
        """Return what may be painted over, as the locks and the Protect button say."""
        protect = self._window.tool_strip.protect
        over = protect.only_over
        only: frozenset[int] | None = None
        if over == "unlabelled":
            only = frozenset({correction.document.ignore_index})
        elif isinstance(over, int):
            only = frozenset({over})
        return PaintRules(self._window.legend.locked, only, protect.entropy_above)

    def _unlock(self) -> None:
        for class_index in self._window.legend.locked:
            self._window.legend.set_locked(class_index, False)

    def _paint_over_active(self) -> None:
        space, active = self._desk.space, self._window.legend.active
        if space is not None and active < len(space):
            name = short_name(space.classes[active].name)
            self._window.tool_strip.protect.set_over_class(active, name)

    def _region(self) -> BBox | None:
        """Return what is in view."""
        canvas = self._window.canvas
        if canvas.image_shape is None:
            return None
        top, left = canvas.image_position(QPointF(0, 0))
        bottom, right = canvas.image_position(QPointF(canvas.width(), canvas.height()))
        box = BBox(math.floor(top), math.floor(left), math.ceil(bottom), math.ceil(right))
        return box.clipped(*canvas.image_shape)

    # -- superpixels ------------------------------------------------------------------------

    def _question(self) -> tuple[Any, ...]:
        """Return what superpixels are wanted of; empty when they are not."""
        shown, region = self._desk.shown, self._region()
        wanted = self.tool is not None and self.tool.needs_segments
        if not wanted or shown is None or region is None or region.is_empty:
            return ()
        if self._window.workspace != "correct":
            return ()
        options = self.options()
        return shown.sample_id, region, options.segment_size, options.compactness

    def _want_segments(self) -> None:
        question = self._question()
        if question and question == self._found_for:
            return
        self._borders.clear()
        if question:
            self._still.start()
        else:
            self._still.stop()

    def _find_segments(self) -> None:
        question, shown = self._question(), self._desk.shown
        if not question or question in (self._found_for, self._asked_for) or shown is None:
            return
        image = shown.image
        _, region, size, compactness = question
        self._asked_for = question
        self.finding.emit(True)
        self._tasks.start(
            "superpixels",
            lambda: find_segments(
                image, region, size=size, compactness=compactness, levels=shown.levels
            ),
            lambda segments: self._on_found(question, segments),
            self._on_failed,
        )

    def _on_found(self, question: tuple[Any, ...], segments: Segments) -> None:
        self._segments, self._found_for, self._asked_for = segments, question, ()
        self.finding.emit(False)
        if self._question() == question:
            self._borders.show_borders(segments.box, segments.borders)
        else:
            self._want_segments()

    def _on_failed(self, error: Exception) -> None:
        self._asked_for = ()
        self.finding.emit(False)
        self._window.show_notice("correct", sentence(error), kind="error")


def _kept_pen(kept: object) -> dict[str, Any]:
    """Return the pen's options as they were kept, none when somebody else wrote them."""
    values = {name: kept[name] for name in _PEN if name in kept} if isinstance(kept, dict) else {}
    try:
        build_options(TOOLS.get("brush").Options, values)
    except UsageError:
        return {}
    return values
