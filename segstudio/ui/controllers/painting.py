"""Painting: what the pointer does becomes strokes of the tool in use."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication

from segstudio.core.errors import SegStudioError
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.tool import sorted_tools
from segstudio.session.corrections import Correction
from segstudio.session.plugins import PluginInfo, load_plugins
from segstudio.session.session import Session
from segstudio.ui.actions import ActionSpec
from segstudio.ui.canvas.previews import OutlinePreview
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.shapes import ShapeGesture
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.controllers.tooling import Tooling
from segstudio.ui.icons import GLYPHS
from segstudio.ui.main_window import MainWindow

__all__ = ["Painter"]

_NOT_PAINTING = ("pick", "pan")
_MORE_KEYS = {"brush": ("P",), "fill": ("G",)}
"""Keys of other editors beside a tool's own."""

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
        self._parts: Generator[None] | None = None
        self._breath = QTimer(self)
        self._breath.setSingleShot(True)
        self._breath.setInterval(0)
        self._breath.timeout.connect(self._paint_part)
        self._is_finding = False
        self._outline = OutlinePreview()
        window.canvas.add_preview(self._outline)
        self._shape = ShapeGesture(window.canvas, window.actions_, self._outline)
        self._busy = QTimer(self)
        self._busy.setSingleShot(True)
        self._busy.setInterval(_BUSY_MS)
        self._busy.timeout.connect(self._show_busy)
        self._groups: dict[str, list[str]] = {}
        self._add_tools()
        self._connect()
        # Plugins import what they like, so not while the window waits.
        tasks.start("plugins", load_plugins, self._on_plugins)

    @property
    def is_working(self) -> bool:
        """Whether a slow tool is at work in a thread."""
        return self._working is not None

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
        self._add_tools()
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

    def _add_tools(self) -> None:
        """Make an action and a button of every tool in the registry that has none yet."""
        actions = self._window.actions_
        known = {spec.action_id for spec in actions.specs}
        for name, tool in sorted_tools():
            if f"tool_{name}" in known:
                continue
            keys = (tool.shortcut, *_MORE_KEYS.get(name, ()))
            action = actions.add(
                ActionSpec(
                    f"tool_{name}",
                    tool.title,
                    tuple(key for key in keys if key),
                    tool.icon if tool.icon in GLYPHS else "tool",
                    None,
                    True,
                    "tool",
                    scope="Correct",
                ),
                help=tool.description,
            )
            self._window.addAction(action)
            self._on_choice(name)
        groups: dict[str, list[str]] = {}
        for name, tool in sorted_tools():
            groups.setdefault(tool.group, []).append(f"tool_{name}")
        if groups != self._groups:
            self._groups = groups
            self._window.tool_column.set_groups(list(groups.values()))

    def _on_plugins(self, found: list[PluginInfo]) -> None:
        self._add_tools()
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
        if correction is None or self._working is not None:
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
            stroke = driver.handle(event)
            if event.kind is PointerKind.RELEASE and stroke is None:
                self._say_protected(driver)
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
            strokes = [driver.handle(event) for event in events]
            if strokes[-1] is None:
                self._say_protected(driver)
        except SegStudioError as error:
            self._window.show_notice("correct", str(error), kind="error")

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
        self._paint_part()

    def _paint_part(self) -> None:
        """Apply the next part of a large patch, then let the window breathe."""
        if self._parts is None or self.correction is None:
            return
        try:
            next(self._parts)
        except StopIteration:
            document, driver = self.correction.document, self._working
            self._tasks.start(
                "tool",
                document.prepare_commit,
                lambda _done: self._commit() if self._working is driver else None,
                priority=3,
            )
        except SegStudioError as failure:
            self._parts = None
            self._stop_working()
            self._window.show_notice("correct", str(failure), kind="error")
        else:
            self._breath.start()

    def _commit(self) -> None:
        """Finish a stroke of a slow tool, with the parts of it that were not applied yet."""
        parts, self._parts = self._parts, None
        if parts is None or self.correction is None:
            return
        try:
            for _ in parts:
                pass
            self.correction.document.commit_stroke()
        except SegStudioError as failure:
            self._window.show_notice("correct", str(failure), kind="error")
        self._stop_working()

    def _stop_working(self) -> None:
        self._working = None
        self._show_busy()

    def _on_finding(self, finding: bool) -> None:
        self._is_finding = finding
        if finding:
            self._busy.start()
        else:
            self._show_busy()

    def _show_busy(self) -> None:
        """Show the busy pointer while something is worked on."""
        busy = self._working is not None or self._is_finding
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
