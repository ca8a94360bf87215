"""The grid of the Compare workspace: which models, which columns, and the image in them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from PySide6.QtCore import QObject, QTimer, Signal

from segstudio.analysis.side_by_side import (
    CellStyle,
    Column,
    ComparedImage,
    ComparedRun,
    Key,
    color_keys,
)
from segstudio.session.session import Session
from segstudio.ui.canvas.comparison_paint import GridRow
from segstudio.ui.canvas.comparison_picture import CellKey, GridCell, build_cells
from segstudio.ui.canvas.comparison_readout import read_pixel
from segstudio.ui.controllers.compare_choice import CompareChoice
from segstudio.ui.controllers.compare_reading import BuiltImage, read_image
from segstudio.ui.controllers.desk import Desk, Shown
from segstudio.ui.controllers.edit import EditController
from segstudio.ui.controllers.predict import PredictController
from segstudio.ui.controllers.tasks import SessionBridge, Tasks, sentence
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models import number
from segstudio.ui.palettes import class_style, style_news
from segstudio.ui.theme import theme

__all__ = ["CompareController"]

_FIRST_RUNS = 4
"""Models that are rows before anybody has chosen."""

_KEPT_LAYERS = 64
_STROKE_MS = 60
_LABEL_COLUMNS = (Column.TARGET, Column.CORRECTION, Column.SEGMENTATION)


class CompareController(QObject):
    """Joins the grid with the session and the desk.

    Nothing is read before the workspace is shown.

    Attributes
    ----------
    runs_changed : Signal()
        Other models are compared, or another pair.
    """

    runs_changed = Signal()

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        bridge: SessionBridge,
        tasks: Tasks,
        desk: Desk,
        predict: PredictController,
        edit: EditController,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._desk, self._edit = desk, edit
        self._panel = window.compare_grid
        self._grid = window.compare_grid.grid
        self.runs: tuple[str, ...] = ()
        self.pair: tuple[str, str] = ("", "")
        self.compared: ComparedImage | None = None
        self._layers: OrderedDict[tuple[str, str], ComparedRun] = OrderedDict()
        self._highlight = ""
        self._mious: dict[str, dict[str, float | None]] = {}
        self._painted = QTimer(self)
        self._painted.setSingleShot(True)
        self._painted.setInterval(_STROKE_MS)
        self._painted.timeout.connect(self.show_image)
        self._choice = CompareChoice(window, session)
        self._panel.set_columns(self._choice.columns())
        self._panel.opacity.setValue(self._choice.opacity())
        self._connect(bridge, predict)

    def _connect(self, bridge: SessionBridge, predict: PredictController) -> None:
        window, panel, grid = self._window, self._panel, self._grid
        window.workspace_changed.connect(self._on_workspace)
        window.overlays_held.connect(grid.set_photo_only)
        self._desk.shown_changed.connect(self._on_shown)
        self._desk.run_changed.connect(lambda _run: self.refresh_runs())
        bridge.dataset_opened.connect(lambda _dataset: self._forget())
        bridge.prediction_ready.connect(self._on_prediction)
        predict.finished.connect(lambda _state: self._on_run_finished())
        self._edit.opened.connect(
            lambda correction: correction.document.changed.connect(self._on_painted)
        )
        self._edit.saved.connect(lambda _sample_id: self._on_painted())
        panel.runs_chosen.connect(self._on_runs_chosen)
        panel.columns_chosen.connect(self._on_columns)
        panel.opacity_changed.connect(self._on_opacity)
        panel.run_requested.connect(predict.ask)
        panel.legend.class_hovered.connect(self._on_class_hovered)
        grid.hovered.connect(self._on_hovered)
        grid.rows_seen.connect(self._fill)
        grid.theme_changed.connect(self._redraw)
        style_news().changed.connect(self._redraw)

    @property
    def is_active(self) -> bool:
        """Whether the workspace is shown."""
        return self._window.workspace == "compare"

    @property
    def style(self) -> CellStyle:
        """How cells are drawn now, without a class that stands out."""
        return CellStyle(
            self._panel.opacity.value() / 100, theme().name == "dark", classes=class_style()
        )

    # -- which models -----------------------------------------------------------------------

    def _forget(self) -> None:
        """Another dataset is open."""
        self._layers.clear()
        self._mious.clear()
        self.runs, self.pair, self.compared = (), ("", ""), None
        self._grid.set_image(None, {})
        self.refresh_runs()

    def _on_workspace(self, name: str) -> None:
        if name == "compare":
            self.refresh_runs()
            self.show_image()  # another image or other strokes, meanwhile
        elif self.compared is not None:
            self._window.status.set_readout("")

    def refresh_runs(self) -> None:
        """Offer the project's runs, those chosen before or the newest of them as rows."""
        if not self.is_active:
            return
        if self._session.dataset is None:
            self._panel.set_message("Open a dataset to compare models on it.")
            return
        names = [record.run for record in self._session.runs()]
        kept, pair = self._choice.runs()
        wanted = self.runs or kept
        pair = self.pair if all(self.pair) else pair
        runs = [run for run in names if run in wanted] or names[-_FIRST_RUNS:]
        self._panel.set_runs(names, runs)
        self._set_runs(runs, pair)

    def _on_run_finished(self) -> None:
        self._session.comparisons.forget_counts()
        self.refresh_runs()

    def _set_runs(self, runs: Sequence[str], pair: Sequence[str]) -> None:
        inside = [run for run in pair if run in runs]
        rest = [run for run in runs if run not in inside]
        chosen = [*inside, *rest][:2]
        before = self.runs, self.pair
        self.runs = tuple(runs)
        self.pair = (chosen[0], chosen[1]) if len(chosen) == 2 else ("", "")
        self._show_rows()
        if not runs:
            self.compared = None
            self._grid.set_image(None, {})
            lines = ["Each model that has run over these images becomes a row here."]
            self._panel.set_message("No model has run here yet", lines, run=True)
        else:
            self._panel.show_grid()
        if (self.runs, self.pair) != before or self.compared is None:
            self.show_image()
        self.runs_changed.emit()

    def _on_runs_chosen(self, runs: list[str]) -> None:
        self._set_runs(runs, self.pair)
        if not runs:
            self._panel.show_grid()  # whoever has unchecked all wants to check others
        self._choice.remember_runs(self.runs, self.pair)

    def set_pair(self, a: str, b: str) -> None:
        """Compare these two; one that is no row yet becomes one."""
        names = [record.run for record in self._session.runs()]
        runs = [run for run in names if run in (*self.runs, a, b)]
        self._panel.set_runs(names, runs)
        self._set_runs(runs, (a, b))
        self._choice.remember_runs(self.runs, self.pair)

    def set_mious(self, mious: dict[str, dict[str, float | None]]) -> None:
        """Show each image's mean IoU beside its model's name."""
        self._mious = mious
        self._show_rows()

    def _show_rows(self) -> None:
        sample_id, rows = self._desk.sample_id, []
        for run in self.runs:
            badge = "A" if run == self.pair[0] else "B" if run == self.pair[1] else ""
            miou = self._mious.get(run, {}).get(sample_id)
            remark = "" if miou is None else f"mIoU {number(miou)}"
            rows.append(GridRow(run, badge if all(self.pair) else "", remark))
        self._grid.set_rows(rows)

    # -- the image --------------------------------------------------------------------------

    def _on_shown(self, shown: Shown | None) -> None:
        if shown is None:
            self.compared = None
            self._grid.set_image(None, {})
        elif shown.sample_id == self._desk.sample_id:
            self.show_image()

    def show_image(self) -> None:
        """Read what the models say of the image on the desk and draw what is in view."""
        shown = self._desk.shown
        if not self.is_active or shown is None or shown.sample_id != self._desk.sample_id:
            return
        known = {
            run: self._layers[shown.sample_id, run]
            for run in self.runs
            if (shown.sample_id, run) in self._layers
        }
        keys = self._grid.visible_keys()
        work = partial(
            read_image, self._session, shown, self.runs, self.pair, known, keys, self.style
        )
        self._tasks.start("compare-image", work, self._put, self._on_failed, priority=2)

    def _put(self, built: BuiltImage) -> None:
        """Show what was read and drawn."""
        self._layers.update(built.read)
        while len(self._layers) > _KEPT_LAYERS:
            self._layers.popitem(last=False)
        compared = built.compared
        runs = tuple(entry.run for entry in compared.runs)
        if compared.sample_id != self._desk.sample_id or runs != self.runs:
            return
        self.compared = compared
        self._show_rows()
        self._grid.set_image(compared.shape if runs else None, built.cells)
        self._panel.legend.set_entries(built.classes, self._keys())
        if built.problem:
            self._window.show_notice("compare", built.problem, kind="warning")
        self._fill()
        self._prefetch()

    def _on_failed(self, error: Exception) -> None:
        self._window.show_notice("compare", sentence(error), kind="error")

    def _prefetch(self) -> None:
        """Read what the models say of the next image."""
        neighbours = self._window.samples_panel.neighbours(self._desk.sample_id)[:1]
        shape = None if self.compared is None else self.compared.shape
        wanted = [
            (key, run) for key in neighbours for run in self.runs if (key, run) not in self._layers
        ]
        if not wanted or shape is None:
            return

        def read() -> dict[tuple[str, str], ComparedRun]:
            comparisons = self._session.comparisons
            return {(key, run): comparisons.read_run(run, key, shape) for key, run in wanted}

        def keep(found: dict[tuple[str, str], ComparedRun]) -> None:
            # An image of another size is read again when it is shown.
            self._layers.update({key: run for key, run in found.items() if run.labels is not None})

        # What cannot be read is said when the image is opened.
        self._tasks.start("compare-next", read, keep, lambda _error: None)

    def _on_prediction(self, event: object) -> None:
        key = event.sample_id, event.run  # type: ignore[attr-defined]
        self._layers.pop(key, None)
        if not self.is_active:
            return
        if not self.runs:
            self.refresh_runs()
        elif key[0] == self._desk.sample_id and key[1] in self.runs:
            self.show_image()

    def _on_painted(self, _patch: object = None) -> None:
        if self.is_active and not self._painted.isActive():
            self._painted.start()

    # -- drawing ----------------------------------------------------------------------------

    def _keys(self) -> tuple[Key, ...]:
        return color_keys(self._panel.columns, dark=self.style.dark)

    def _fill(self) -> None:
        """Draw the cells in view that are not drawn yet."""
        compared, missing = self.compared, self._grid.missing_cells()
        if compared is None or not missing or not self.is_active:
            return
        if max(row for row, _ in missing) >= len(compared.runs):
            return  # rows of models that are being read
        work = partial(build_cells, compared, missing, self.style)
        self._tasks.start("compare-cells", work, partial(self._add, compared))

    def _add(self, compared: ComparedImage, cells: dict[CellKey, GridCell]) -> None:
        if compared is self.compared:
            self._grid.add_cells(cells)

    def _redraw(self) -> None:
        """Draw the cells anew; those there are stay until then."""
        compared = self.compared
        if compared is None or not self.is_active:
            return
        self._panel.legend.set_entries(self._panel.legend.classes, self._keys())
        work = partial(build_cells, compared, self._grid.visible_keys(), self.style)

        def put(cells: dict[CellKey, GridCell]) -> None:
            if compared is self.compared:
                self._grid.set_image(compared.shape, cells)
                self._fill()

        self._tasks.start("compare-cells", work, put)

    def _on_columns(self, names: list[str]) -> None:
        self._choice.remember("compare_columns", names)
        self._panel.legend.set_entries(self._panel.legend.classes, self._keys())
        self._fill()

    def _on_opacity(self, opacity: float) -> None:
        self._choice.remember("compare_opacity", round(100 * opacity))
        self._redraw()

    def _on_class_hovered(self, name: str) -> None:
        """Let a class stand out in the label maps; "" ends it."""
        compared = self.compared
        if compared is None or name == self._highlight:
            return
        self._highlight = name
        style = replace(self.style, highlight=name or None)
        keys = [key for key in self._grid.visible_keys() if key[1] in _LABEL_COLUMNS]
        work = partial(build_cells, compared, keys, style)
        self._tasks.start("compare-highlight", work, partial(self._add, compared))

    # -- the pointer ------------------------------------------------------------------------

    def _on_hovered(self, row: int | None, col: int | None) -> None:
        compared = self.compared
        if row is None or col is None or compared is None:
            self._grid.set_pointed([])
            self._window.status.set_readout("")
            return
        if row >= compared.shape[0] or col >= compared.shape[1]:
            return
        values, words = read_pixel(compared, row, col)
        self._grid.set_pointed(values)
        self._window.status.set_readout(words)
