"""The window's shell: bars, docks, workspaces. It knows widgets only; controllers do the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import (
    QCloseEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QKeyEvent,
    QShowEvent,
)
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QMainWindow,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.actions import WORKSPACES, Actions, ActionSpec
from segstudio.ui.canvas.comparison import ComparisonGrid
from segstudio.ui.canvas.image_canvas import ImageCanvas
from segstudio.ui.dock_layouts import DockLayouts, decode, encode
from segstudio.ui.models.image_scores import ImageScoreModel
from segstudio.ui.models.jobs import JobsModel
from segstudio.ui.models.legend import LegendModel
from segstudio.ui.models.objects import ObjectTableModel
from segstudio.ui.models.ood import CategoryTableModel
from segstudio.ui.models.regions import RegionModel
from segstudio.ui.models.samples import SampleListModel
from segstudio.ui.models.scores import ScoreTableModel
from segstudio.ui.models.slices import SliceTableModel
from segstudio.ui.panels.classes import ClassesPanel
from segstudio.ui.panels.compare import ComparePanel
from segstudio.ui.panels.compare_grid import CompareGridPanel
from segstudio.ui.panels.confusion import ConfusionPanel
from segstudio.ui.panels.inside import InsidePanel
from segstudio.ui.panels.jobs import JobsPanel
from segstudio.ui.panels.kinds import KindsPanel
from segstudio.ui.panels.layers import LayersPanel
from segstudio.ui.panels.objects import ObjectsPanel
from segstudio.ui.panels.ood import OodPanel
from segstudio.ui.panels.regions import RegionsPanel
from segstudio.ui.panels.review import ReviewStrip
from segstudio.ui.panels.samples import SamplesPanel
from segstudio.ui.panels.scores import ScoresPanel
from segstudio.ui.panels.second_view import SecondViewPanel
from segstudio.ui.panels.slices import SlicesPanel
from segstudio.ui.panels.tools import ToolColumn, ToolStrip
from segstudio.ui.panels.uncertainty import UncertaintyPanel
from segstudio.ui.widgets.bars import StatusBar, TopBar
from segstudio.ui.widgets.basic import dropped_paths
from segstudio.ui.widgets.docks import PanelDock
from segstudio.ui.widgets.notice import Notice, NoticeArea

__all__ = ["MainWindow"]

_HOLD_KEYS = (Qt.Key.Key_V, Qt.Key.Key_0)


class MainWindow(QMainWindow):
    """All widgets of the window, by name, and the signals that are wishes of the whole window."""

    workspace_changed = Signal(str)
    overlays_held = Signal(bool)  # True while the photograph alone is wanted
    path_dropped = Signal(Path)
    closing = Signal()
    first_shown = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("SegStudio")
        self.setDockNestingEnabled(True)
        self.setAnimated(False)
        self.setAcceptDrops(True)
        self.actions_ = Actions(self)
        self.samples = SampleListModel(self)
        self.legend = LegendModel(self)
        self.class_scores = ScoreTableModel(self)
        self.image_scores = ImageScoreModel(self)
        self.jobs = JobsModel(self)
        self.regions = RegionModel(self)
        self.slices = SliceTableModel(self)
        self.objects = ObjectTableModel(self)
        self.categories = CategoryTableModel(self)
        self.canvas = ImageCanvas()
        self.compare_grid = CompareGridPanel()
        self.compare_panel = ComparePanel()
        self.notices = NoticeArea()
        self.tool_column = ToolColumn(self.actions_)
        self.tool_strip = ToolStrip(self.actions_)
        self.review_strip = ReviewStrip(self.actions_)
        self.top_bar = TopBar(self.actions_)
        self.status = StatusBar()
        self.samples_panel = SamplesPanel(self.samples)
        self.layers_panel = LayersPanel()
        self.classes_panel = ClassesPanel(self.legend)
        self.scores_panel = ScoresPanel(self.class_scores, self.image_scores)
        self.jobs_panel = JobsPanel(self.jobs)
        self.confusion_panel = ConfusionPanel()
        self.regions_panel = RegionsPanel(self.regions)
        self.kinds_panel = KindsPanel()
        self.uncertainty_panel = UncertaintyPanel()
        self.inside_panel = InsidePanel()
        self.slices_panel = SlicesPanel(self.slices)
        self.objects_panel = ObjectsPanel(self.objects)
        self.ood_panel = OodPanel(self.categories)
        self.second_view = SecondViewPanel()
        self._workspace = "browse"
        self._hidden_docks: list[PanelDock] | None = None
        self._held: set[int] = set()
        self._build()
        self._connect()
        self.addActions(list(self.actions_))

    # -- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        self.setMenuWidget(self.top_bar)
        self.setStatusBar(self.status)
        center = QWidget()
        column = QVBoxLayout(center)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.notices)
        column.addWidget(self.tool_strip)
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.tool_column)
        self._middle = QStackedWidget()
        self._middle.addWidget(self.canvas)
        self._middle.addWidget(self.compare_grid)
        row.addWidget(self._middle, 1)
        column.addLayout(row, 1)
        column.addWidget(self.review_strip)
        self.setCentralWidget(center)
        self.docks = {
            "samples": PanelDock("dockSamples", "Images", self.samples_panel),
            "layers": PanelDock("dockLayers", "Layers", self.layers_panel, foldable=True),
            "classes": PanelDock("dockClasses", "Classes", self.classes_panel, foldable=True),
            "scores": PanelDock("dockScores", "Scores", self.scores_panel),
            "jobs": PanelDock("dockJobs", "Jobs", self.jobs_panel),
            "confusion": PanelDock("dockConfusion", "Confusion", self.confusion_panel),
            "regions": PanelDock("dockRegions", "Error regions", self.regions_panel),
            "kinds": PanelDock("dockKinds", "Kinds of errors", self.kinds_panel),
            "compare": PanelDock("dockCompare", "Compare", self.compare_panel),
            "uncertainty": PanelDock("dockUncertainty", "Uncertainty", self.uncertainty_panel),
            "inside": PanelDock("dockInside", "Inside", self.inside_panel),
            "slices": PanelDock("dockSlices", "Slices", self.slices_panel),
            "ood": PanelDock("dockOod", "Out of distribution", self.ood_panel),
            "second": PanelDock("dockSecond", "Second view", self.second_view),
            "objects": PanelDock("dockObjects", "Boundaries and sizes", self.objects_panel),
        }
        self._layouts = DockLayouts(self, self.docks)
        view_menu = self.top_bar.menus.findChild(QObject, "menuView")
        panels = view_menu.addMenu("Panels")  # type: ignore[union-attr]
        for name, dock in self.docks.items():
            panels.addAction(dock.toggleViewAction())
            # No key of its own, but the command palette finds it.
            spec = ActionSpec(f"panel_{name}", f"Panel: {dock.windowTitle()}", icon="panels")
            show = self.actions_.add(spec, help="Show this panel in front of the others")
            show.triggered.connect(lambda _checked, name=name: self.show_panel(name))
        for part in (self.tool_column, self.tool_strip, self.review_strip):
            part.hide()
        self.setMinimumSize(880, 560)
        self.resize(1440, 900)

    def _connect(self) -> None:
        actions = self.actions_
        for name in WORKSPACES:
            self._on(f"workspace_{name}", partial(self.set_workspace, name))
        self._on("previous_sample", lambda: self.samples_panel.step(-1))
        self._on("next_sample", lambda: self.samples_panel.step(1))
        self._on("fit", lambda: self._surface.fit())
        self._on("actual_size", lambda: self._surface.set_scale(1.0))
        self._on("zoom_in", lambda: self._surface.zoom_by(1.25))
        self._on("zoom_out", lambda: self._surface.zoom_by(0.8))
        self._on("opacity_up", lambda: self._step_opacity(10))
        self._on("opacity_down", lambda: self._step_opacity(-10))
        self._on("brush_smaller", lambda: self.tool_strip.step_size(-1))
        self._on("brush_larger", lambda: self.tool_strip.step_size(1))
        self._on("find_class", lambda: self._find("classes", self.classes_panel.search))
        self._on("find_sample", lambda: self._find("samples", self.samples_panel.search))
        self._on("reset_layout", self.reset_layout)
        self._on("quit", self.close)
        actions["toggle_panels"].toggled.connect(self.set_panels_hidden)
        actions["workspace_browse"].setChecked(True)
        for surface in (self.canvas, self.compare_grid.grid):
            surface.scale_changed.connect(lambda _percent: self._show_zoom())
        self.canvas.brush_size_step.connect(self.tool_strip.step_size)
        self.canvas.paths_dropped.connect(lambda paths: self.path_dropped.emit(paths[0]))
        self.samples_panel.sample_activated.connect(
            lambda _sample: self.actions_["workspace_correct"].trigger()
        )
        self.scores_panel.sample_activated.connect(self.samples_panel.sample_selected)
        self.scores_panel.subset_requested.connect(self.samples.set_subset)
        self.scores_panel.subset_requested.connect(lambda _ids, _title: self.show_panel("samples"))
        self.image_scores.set_thumbnails(self.samples.thumbnail)
        self.samples.thumbnail_changed.connect(self.image_scores.refresh_thumbnail)
        self.jobs_panel.sample_activated.connect(self.samples_panel.sample_selected)
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        application.focusChanged.connect(self._on_focus)

    def _on(self, action_id: str, call: Callable[[], Any]) -> None:
        self.actions_[action_id].triggered.connect(lambda _checked=False: call())

    # -- workspaces and layout ----------------------------------------------------------------

    @property
    def workspace(self) -> str:
        """One of `segstudio.ui.actions.WORKSPACES`."""
        return self._workspace

    def set_workspace(self, name: str) -> None:
        """Show a workspace with the docks as they were left there."""
        if name == self._workspace or name not in WORKSPACES:
            return
        self.actions_["toggle_panels"].setChecked(False)
        before, self._workspace = self._workspace, name
        self.actions_[f"workspace_{name}"].setChecked(True)
        correcting = name == "correct"
        self.tool_column.setVisible(correcting)
        self.tool_strip.setVisible(correcting)
        self.review_strip.setVisible(correcting)
        self._layouts.switch(before, name)
        self._middle.setCurrentIndex(1 if name == "compare" else 0)
        self._surface.setFocus()
        self._show_zoom()
        self.workspace_changed.emit(name)

    def show_panel(self, name: str) -> None:
        """Show a dock in front of the others that share its place, unfolded."""
        dock = self.docks[name]
        dock.show()
        dock.raise_()
        dock.set_folded(False)

    def reset_layout(self) -> None:
        """Put every panel where it was at first."""
        self.actions_["toggle_panels"].setChecked(False)
        self._layouts.reset(self._workspace)

    def set_panels_hidden(self, hidden: bool) -> None:
        """Give the picture the whole window, or bring back what was hidden."""
        if hidden and self._hidden_docks is None:
            self._hidden_docks = [dock for dock in self.docks.values() if not dock.isHidden()]
            for dock in self._hidden_docks:
                dock.hide()
            self._surface.setFocus()
        elif not hidden and self._hidden_docks is not None:
            for dock in self._hidden_docks:
                dock.show()
            self._hidden_docks = None
        self.actions_["toggle_panels"].setChecked(hidden)

    def save_layout(self) -> dict[str, Any]:
        """Return geometry and docks as JSON-ready values."""
        self.actions_["toggle_panels"].setChecked(False)
        return {
            "geometry": encode(self.saveGeometry()),
            **self._layouts.save(self._workspace),
        }

    def restore_layout(self, saved: Any) -> None:
        """Restore what `save_layout` returned; anything else is ignored."""
        if not isinstance(saved, dict):
            return
        if isinstance(saved.get("geometry"), str):
            self.restoreGeometry(decode(saved["geometry"]))
        self._layouts.restore(saved, self._workspace)

    # -- words --------------------------------------------------------------------------------

    def show_notice(
        self,
        topic: str,
        text: str,
        *,
        kind: str = "info",
        seconds: float | None = None,
        **parts: Any,
    ) -> None:
        """Show a strip above the picture; see `segstudio.ui.widgets.notice.Notice`."""
        self.notices.show_notice(topic, Notice(text, kind=kind, **parts), seconds=seconds)

    def set_dataset_title(self, title: str, path: Path | None) -> None:
        """Name what is open in the window's title."""
        self.setWindowTitle(f"{title} — SegStudio" if title else "SegStudio")
        self.setWindowFilePath(str(path) if path else "")

    @property
    def _surface(self) -> ImageCanvas | ComparisonGrid:
        """The picture in the middle, or the grid of pictures."""
        return self.compare_grid.grid if self._workspace == "compare" else self.canvas

    def _step_opacity(self, percent: int) -> None:
        slider = self.compare_grid.opacity
        if self._workspace == "compare":
            slider.setValue(slider.value() + percent)
        else:
            self.layers_panel.step_opacity(percent)

    def _show_zoom(self) -> None:
        surface = self._surface
        self.status.set_zoom(100.0 * surface.scale if surface.image_shape else None)

    def _find(self, dock: str, field: QLineEdit) -> None:
        self.show_panel(dock)
        field.setFocus()
        field.selectAll()

    # -- keys ---------------------------------------------------------------------------------

    def _on_focus(self, _old: QWidget | None, new: QWidget | None) -> None:
        """Give plain keys to the actions while the picture or the list of images has the focus."""
        near = new is None or new in (self, self.samples_panel.view)
        views = self._middle, self.second_view.canvas
        near = near or any(view.isAncestorOf(new) for view in views)  # type: ignore[arg-type]
        self.actions_.set_soft_keys(near)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Hide the overlays while V or 0 is held, unless someone is typing."""
        kind = event.type()
        if kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease) and isinstance(event, QKeyEvent):
            if event.key() in _HOLD_KEYS and self._hold(event):
                return True
        elif kind == QEvent.Type.FocusOut and self._held:
            self._held.clear()
            self.overlays_held.emit(False)
        return super().eventFilter(watched, event)

    def _hold(self, event: QKeyEvent) -> bool:
        focus = QApplication.focusWidget()
        typing = isinstance(focus, QLineEdit | QAbstractSpinBox | QComboBox)
        pressed = event.type() == QEvent.Type.KeyPress
        plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        if pressed and (typing or not plain or not self.isActiveWindow()):
            return False
        if event.isAutoRepeat():
            return event.key() in self._held
        before = bool(self._held)
        if pressed:
            self._held.add(event.key())
        elif event.key() in self._held:
            self._held.discard(event.key())
        else:
            return False
        if bool(self._held) != before:
            self.overlays_held.emit(bool(self._held))
        return True

    # -- files dropped beside the picture -----------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take what is a local file or folder, wherever in the window it is."""
        if dropped_paths(event):
            event.acceptProposedAction()
            self.canvas.show_drop_frame(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Take the frame away."""
        self.canvas.show_drop_frame(False)

    def dropEvent(self, event: QDropEvent) -> None:
        """Hand on the path."""
        self.canvas.show_drop_frame(False)
        paths = dropped_paths(event)
        if paths:
            event.acceptProposedAction()
            self.path_dropped.emit(paths[0])

    # -- life ---------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """Put the focus on the picture, so that its keys work at once."""
        super().showEvent(event)
        # On the native window, not the application: a filter in Python on every event of every
        # widget would cost more than the brush does.
        self.windowHandle().installEventFilter(self)
        self.canvas.setFocus()
        self.first_shown.emit()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Let the controllers finish; nothing is asked."""
        self.closing.emit()
        super().closeEvent(event)
