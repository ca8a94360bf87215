"""Painting: what the pointer does becomes strokes of the tool in use."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication

from segstudio.core.errors import SegStudioError
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.driver import StrokeDriver
from segstudio.session.corrections import Correction
from segstudio.session.plugins import PluginInfo, load_plugins
from segstudio.session.session import Session
from segstudio.ui.canvas.previews import OutlinePreview
from segstudio.ui.controllers.allowed import AllowedPreview
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.shapes import ShapeGesture
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.controllers.tool_actions import ToolActions
from segstudio.ui.controllers.tooling import Tooling
from segstudio.ui.main_window import MainWindow

__all__ = ["Painter"]

_NOT_PAINTING = ("pick", "pan")
_SLICE = 0.008
"""Seconds of a large change that are painted before the window breathes."""

_BUSY_MS = 120
"""Work that takes longer shows a busy pointer."""


class Painter(QObject):
    """Joins canvas and tools.

    Attributes
    ----------
    correction : Correction or None
        What is painted; its owner sets it.
    class_picked : Signal(int)
        The class under the pointer is wanted, or the ignore index.
    """

    class_picked = Signal(int)

    def __init__(self, window: MainWindow, session: Session, tasks: Tasks, desk: Desk) -> None:
        super().__init__(window)
        self._window, self._tasks = window, tasks
        self.correction: Correction | None = None
        self._tools = Tooling(window, session, tasks, desk)
        self._tool = "brush"
        self._driver: StrokeDriver | None = None
        self._way: list[PointerEvent] | None = None
        self._last_event: PointerEvent | None = None
        self._working: StrokeDriver | None = None
        self._parts: Generator[None, None, Any] | None = None
        self._after_parts: Callable[[], None] = self._finish_in_thread
        self._waiting: list[Callable[[], None]] | None = None
        self._breath = QTimer(self)
        self._breath.setSingleShot(True)
        self._breath.setInterval(0)
        self._breath.timeout.connect(self._paint_part)
        self._is_finding = False
        self._outline = OutlinePreview()
        window.canvas.add_preview(self._outline)
        self._shape = ShapeGesture(window.canvas, window.actions_, self._outline)
        self._allowed = AllowedPreview(
            window, desk, self._tools.rules, lambda: self.correction, self
        )
        self._busy = QTimer(self)
        self._busy.setSingleShot(True)
        self._busy.setInterval(_BUSY_MS)
        self._busy.timeout.connect(self._show_busy)
        self._actions = ToolActions(window, self._on_choice)
        self._actions.refresh()
        self._connect()
        # Plugins import what they like, so not while the window waits.
        tasks.start("plugins", load_plugins, self._on_plugins)

    @property
    def is_working(self) -> bool:
        """Whether a slow tool is at work, or a large stroke is finished, undone or redone."""
        return self._working is not None or self._parts is not None or self._waiting is not None

    def _connect(self) -> None:
        window = self._window
        for name in _NOT_PAINTING:
            self._on_choice(name)
        window.actions_["tool_brush"].setChecked(True)
        window.canvas.pointer.connect(self._on_pointer)
        window.canvas.view_changed.connect(lambda state: self._outline.set_scale(state.scale))
        window.tool_strip.size_changed.connect(lambda _size: self._follow_tool())
        window.tool_strip.shape_changed.connect(lambda _shape: self._follow_tool())
        self._shape.finished.connect(self._on_shape)
        self._tools.changed.connect(self._follow_tool)
        self._tools.finding.connect(self._on_finding)

    # -- tools ------------------------------------------------------------------------------

    def resume(self) -> None:
        """Paint again with the tool that was used last."""
        self._actions.refresh()
        self._choose_tool(self._tool)

    def rest(self) -> None:
        """Paint no longer: the pointer moves the picture."""
        self._shape.cancel()
        self._tools.choose(None)
        self._window.canvas.set_interaction("pan")
        self._window.canvas.set_brush_preview(None)

    def give_up(self) -> None:
        """Forget a figure that is not finished and what a slow tool looks for."""
        self._shape.cancel()
        self._commit()
        self._stop_working()

    def _on_plugins(self, found: list[PluginInfo]) -> None:
        self._actions.refresh()
        for plugin in found:
            if plugin.error is not None:
                self._window.show_notice("plugins", plugin.error, kind="warning")

    def _on_choice(self, name: str) -> None:
        self._window.actions_[f"tool_{name}"].triggered.connect(
            lambda _checked: self._choose_tool(name)
        )

    def _choose_tool(self, name: str) -> None:
        self.finish_stroke()
        self._shape.cancel()
        self._tool = name
        self._window.actions_[f"tool_{name}"].setChecked(True)
        if not self._is_correcting() and name != "pan":
            self._window.set_workspace("correct")
            return
        self._tools.choose(None if name in _NOT_PAINTING else name)
        self._follow_tool()

    def _follow_tool(self) -> None:
        canvas, strip = self._window.canvas, self._window.tool_strip
        if not self._is_correcting():
            return
        canvas.set_interaction("pan" if self._tool == "pan" else "paint")
        if self._tools.has_brush():
            shape: Any = strip.brush_shape
            canvas.set_brush_preview(float(strip.brush_size), shape)
        else:
            canvas.set_brush_preview(None)

    def _is_correcting(self) -> bool:
        return self._window.workspace == "correct"

    # -- strokes ----------------------------------------------------------------------------

    def travel(self, way: str) -> None:
        """Undo or redo, a large stroke a part at a time."""
        if self._waiting is not None:
            self._waiting.append(partial(self.travel, way))
            return
        if self.correction is None or self.is_working or self.correction.document.in_stroke:
            return
        document = self.correction.document
        self._parts = document.undo_parts() if way == "undo" else document.redo_parts()
        self._waiting, self._after_parts = [], self._commit
        self._busy.start()
        self._paint_part()

    def finish_stroke(self) -> None:
        """End a stroke where the pointer was seen last, as if it were released there."""
        self._commit()
        driver, self._driver = self._driver, None
        if self._way is not None:
            # A slow tool has changed nothing yet, and what it would is not known in time.
            self._way = None
            self._outline.clear()
            return
        if driver is None or not driver.is_active or self._last_event is None:
            return
        try:
            driver.handle(replace(self._last_event, kind=PointerKind.RELEASE))
        except SegStudioError as error:
            self._window.show_notice("correct", str(error), kind="error")

    def _on_pointer(self, event: PointerEvent) -> None:
        correction, tool = self.correction, self._tools.tool
        if correction is None:
            return
        if self._waiting is not None:
            # The stroke before is being finished, undone or redone.
            self._waiting.append(partial(self._on_pointer, event))
            return
        if self.is_working:
            return
        if self._tool == "pick":
            if event.kind is PointerKind.PRESS:
                self._pick(event)
            return
        if tool is None:
            return
        if tool.gesture == "clicks":
            self._shape.handle(event, tool.outline)
            return
        self._last_event = event
        try:
            if event.kind is PointerKind.PRESS:
                self._driver = self._tools.driver(correction)
                self._way = [] if tool().is_slow(self._tools.options()) else None
            self._stroke(event)
        except SegStudioError as error:
            self._window.show_notice("correct", str(error), kind="error")
        if event.kind in (PointerKind.RELEASE, PointerKind.CANCEL):
            self._driver, self._way = None, None
            self._outline.clear()

    def _stroke(self, event: PointerEvent) -> None:
        """Hand an event of a stroke to the tool, or keep it until the way is whole."""
        driver, tool = self._driver, self._tools.tool
        if driver is None or tool is None:
            return
        if self._way is None:
            if event.kind is not PointerKind.RELEASE:
                driver.handle(event)
            elif driver.end(event):
                self._finish(driver)
            return
        self._way.append(event)
        if tool.outline != "none":
            self._outline.show_way([(at.row, at.col) for at in self._way], tool.outline)
        if event.kind is PointerKind.RELEASE:
            self._work(driver, self._way)

    def _on_shape(self, events: list[PointerEvent]) -> None:
        """Paint a figure whose corners were clicked."""
        correction, tool = self.correction, self._tools.tool
        if correction is None or tool is None:
            return
        try:
            driver = self._tools.driver(correction)
            if tool().is_slow(self._tools.options()):
                self._work(driver, events)
                return
            for event in events[:-1]:
                driver.handle(event)
            if driver.end(events[-1]):
                self._finish(driver)
        except SegStudioError as error:
            self._window.show_notice("correct", str(error), kind="error")

    def _finish(self, driver: StrokeDriver) -> None:
        """Finish a stroke that was painted, a large one in a thread; what comes meanwhile waits."""
        assert self.correction is not None
        document = self.correction.document
        if not document.is_large_stroke:
            if document.commit_stroke() is None:
                self._say_protected(driver)
            return
        self._waiting = []
        self._busy.start()
        self._finish_in_thread()

    def _finish_in_thread(self) -> None:
        """Compress the open stroke in a thread, then finish it."""
        assert self.correction is not None
        document = self.correction.document

        def commit(_result: object = None) -> None:
            if self.correction is not None and self.correction.document is document:
                self._commit()

        self._tasks.start("tool", document.prepare_commit, commit, commit, priority=3)

    # -- slow tools -------------------------------------------------------------------------

    def _work(self, driver: StrokeDriver, events: list[PointerEvent]) -> None:
        """Let a slow tool find its patch in a thread; nothing can be painted meanwhile."""
        self._working = driver
        self._busy.start()
        self._tasks.start(
            "tool",
            lambda: driver.find(events),
            lambda patch: self._on_found(driver, patch),
            lambda error: self._on_found(driver, None, error),
            priority=3,
        )

    def _on_found(
        self, driver: StrokeDriver, patch: MaskPatch | None, error: Exception | None = None
    ) -> None:
        if self._working is not driver:
            return  # the image was left meanwhile
        if error is not None:
            self._window.show_notice("correct", sentence(error), kind="error")
        if patch is None:
            self._stop_working()
            self._say_protected(driver)
            return
        self._parts = driver.paint_parts(patch)
        self._after_parts = self._finish_in_thread
        self._paint_part()

    def _paint_part(self) -> None:
        """Do the next parts of a large change, then let the window breathe."""
        if self._parts is None or self.correction is None:
            return
        until = time.perf_counter() + _SLICE
        try:
            next(self._parts)
            while time.perf_counter() < until:
                next(self._parts)
        except StopIteration:
            self._after_parts()
        except SegStudioError as failure:
            self._window.show_notice("correct", str(failure), kind="error")
            self._parts = None
            self._commit()  # goes on with what waits
            if self._working is not None:
                self._stop_working()
        else:
            self._breath.start()

    def _commit(self) -> None:
        """Finish what is under way, with the parts of it that were not applied yet."""
        parts, self._parts = self._parts, None
        waiting, self._waiting = self._waiting, None
        if self.correction is None or (parts is None and waiting is None):
            return
        document = self.correction.document
        try:
            for _ in parts or ():
                pass
            if document.in_stroke:
                document.commit_stroke()
        except SegStudioError as failure:
            self._window.show_notice("correct", str(failure), kind="error")
        self._stop_working()
        for deed in waiting or ():
            deed()

    def _stop_working(self) -> None:
        self._working = self._parts = None
        self._show_busy()

    def _on_finding(self, finding: bool) -> None:
        self._is_finding = finding
        if finding:
            self._busy.start()
        else:
            self._show_busy()

    def _show_busy(self) -> None:
        """Show the busy pointer while something is worked on."""
        busy = self.is_working or self._is_finding
        if not busy:
            self._busy.stop()
        shown = QApplication.overrideCursor() is not None
        if busy and not shown:
            QApplication.setOverrideCursor(Qt.CursorShape.BusyCursor)
        elif shown and not busy:
            QApplication.restoreOverrideCursor()

    def _say_protected(self, driver: StrokeDriver) -> None:
        if driver.held_back:
            self._window.show_notice(
                "correct",
                "Nothing was painted: what lies there is protected; the Protect button and the "
                "locks of the classes say by what.",
                seconds=6,
            )

    def _pick(self, event: PointerEvent) -> None:
        assert self.correction is not None
        label_map = self.correction.document.label_map
        row, col = math.floor(event.row), math.floor(event.col)
        if 0 <= row < label_map.shape[0] and 0 <= col < label_map.shape[1]:
            self.class_picked.emit(int(label_map[row, col]))
