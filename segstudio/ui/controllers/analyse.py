"""Analysis: from a cell of the confusion matrix to regions, to the picture, to a correction."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from segstudio.analysis.regions import ErrorRegion, RegionFilter
from segstudio.analysis.taxonomy import ErrorKind
from segstudio.core.label_space import LabelSpace
from segstudio.session.analysis import Analysis
from segstudio.session.error_analysis import ErrorSummary, RegionSelection, region_mask
from segstudio.session.events import JobState
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk, Shown
from segstudio.ui.controllers.edit import EditController
from segstudio.ui.controllers.error_tables import count_text, error_bars, object_rows
from segstudio.ui.controllers.predict import PredictController
from segstudio.ui.controllers.tasks import SessionBridge, Tasks, sentence
from segstudio.ui.dock_layouts import ANALYSIS_DOCKS
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models import share
from segstudio.ui.models.confusion import ConfusionData
from segstudio.ui.models.legend import short_name
from segstudio.ui.palettes import ClassColor
from segstudio.ui.panels.uncertainty import UncertaintyData

__all__ = ["AnalyseController"]

_ARRANGEMENT = "confusion "
"""Note of the project on a label space's classes in the confusion matrix."""

Classes = int | tuple[int, ...] | None

_LISTED = 2000
"""Regions that are listed at most; the filters reach the others."""


@dataclass(frozen=True, eq=False)
class _Loaded:
    """What the panels show of a run."""

    run: str
    space: LabelSpace
    confusion: ConfusionData
    uncertainty: UncertaintyData
    summary: ErrorSummary
    arrangement: dict[str, Any]


class AnalyseController(QObject):
    """Joins the panels of the Analyse workspace with the session.

    Nothing is read before one of its panels is visible.

    Attributes
    ----------
    counts_changed : Signal
        Another run is shown, or its counts may be others.
    """

    counts_changed = Signal()

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
        self._analysis: tuple[int, Analysis] | None = None
        self._loaded: _Loaded | None = None
        self._stale = True
        self._asked: set[tuple[int, str]] = set()
        self._job_id = ""
        self._region: ErrorRegion | None = None
        self._revealing = False
        self._connect(bridge, predict)

    def _connect(self, bridge: SessionBridge, predict: PredictController) -> None:
        window, desk = self._window, self._desk
        window.workspace_changed.connect(self._on_workspace)
        for name in ANALYSIS_DOCKS:
            window.docks[name].visibilityChanged.connect(lambda _visible: self._refresh_if_seen())
        desk.run_changed.connect(lambda _run: self.refresh())
        desk.shown_changed.connect(self._on_shown)
        predict.finished.connect(lambda _state: self.refresh())
        bridge.job_changed.connect(self._on_job)
        bridge.dataset_opened.connect(lambda _dataset: self._forget())
        self._edit.saved.connect(lambda _sample_id: self._ask_corrected())
        self._edit.opened.connect(lambda _correction: self._choose_class())
        window.confusion_panel.regions_requested.connect(self.show_pair)
        window.confusion_panel.arrangement_changed.connect(self._keep_arrangement)
        panel = window.regions_panel
        panel.filter_changed.connect(self._ask_regions)
        panel.region_selected.connect(self.show_region)
        panel.region_activated.connect(self.correct_region)
        panel.analysis_requested.connect(self._start)
        for action, step in (("next_region", 1), ("previous_region", -1)):
            window.actions_[action].triggered.connect(lambda _checked, step=step: panel.step(step))
        window.kinds_panel.kind_clicked.connect(self._show_kind)
        window.objects_panel.class_activated.connect(lambda index: self.show_pair(index, None))
        window.uncertainty_panel.regions_requested.connect(self._show_entropy)

    # -- reading ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the run again, now or when one of the panels is seen."""
        self._stale = True
        self._refresh_if_seen()
        self.counts_changed.emit()

    def recount(self) -> None:
        """Forget the counts, because ground truth and run meet in another way now."""
        if self._analysis is not None:
            self._analysis[1].forget()
        self._asked.clear()
        self.refresh()

    def questions(self) -> Analysis:
        """Return the project's analysis with the counts it keeps; may be called in a thread."""
        generation = self._session.generation
        kept = self._analysis
        if kept is None or kept[0] != generation:
            kept = self._analysis = generation, self._session.analysis()
        return kept[1]

    def _refresh_if_seen(self) -> None:
        docks = self._window.docks
        if not self._stale or not any(docks[name].isVisible() for name in ANALYSIS_DOCKS):
            return
        self._stale = False
        run = self._desk.run
        if not run:
            self._say("Run a model on images with ground truth; then its errors appear here.")
            return
        self._tasks.start("analyse", partial(self._read, run), self._on_read, self._on_failed)

    def _forget(self) -> None:
        """Another dataset is open."""
        self._loaded, self._region, self._job_id = None, None, ""
        self._window.regions.set_regions(None)
        self._window.regions_panel.set_pair(None, None, "")
        self.refresh()

    def _read(self, run: str) -> _Loaded:
        """Read a run's counts and stored errors; runs in a thread."""
        analysis = self.questions()
        table, space = analysis.table(run), analysis.label_space(run)
        names = tuple(short_name(entry.name) for entry in space.classes)
        colors = tuple(ClassColor.of(entry) for entry in space.classes)
        return _Loaded(
            run,
            space,
            ConfusionData(table.confusion(), names, colors),
            UncertaintyData(
                table.entropy_by_class(), table.confidence_by_class(), table.edge_entropy_ratio()
            ),
            self._session.error_summary(run),
            self._read_arrangement(space),
        )

    def _read_arrangement(self, space: LabelSpace) -> dict[str, Any]:
        """Return which classes are merged and hidden in this project."""
        text = self._session.store.note(_ARRANGEMENT + space.name)
        try:
            found = json.loads(text or "{}")
        except ValueError:
            found = {}
        return found if isinstance(found, dict) else {}

    def _keep_arrangement(self, arrangement: dict[str, Any]) -> None:
        """Remember merged and hidden classes for this project."""
        loaded = self._loaded
        if loaded is None:
            return
        name, text = _ARRANGEMENT + loaded.space.name, json.dumps(arrangement)
        store = self._session.store
        self._tasks.start("arrangement", lambda: store.set_note(name, text), lambda _none: None)

    def _on_failed(self, error: Exception) -> None:
        self._loaded = None
        self._say(sentence(error))

    def _say(self, text: str) -> None:
        window = self._window
        for panel in (
            window.confusion_panel,
            window.regions_panel,
            window.kinds_panel,
            window.objects_panel,
            window.uncertainty_panel,
        ):
            panel.set_message(text)

    def _on_read(self, loaded: _Loaded) -> None:
        if loaded.run != self._desk.run:
            return
        before, self._loaded = self._loaded, loaded
        window, summary = self._window, loaded.summary
        if not loaded.confusion.counts.any():
            self._say(f"No image of {loaded.run} is scored yet.")
            return
        fresh = before is None or before.space.names != loaded.space.names
        window.confusion_panel.set_data(loaded.confusion, loaded.arrangement if fresh else None)
        if loaded.uncertainty.entropy.any() or loaded.uncertainty.confidence.any():
            window.uncertainty_panel.set_data(loaded.uncertainty, loaded.confusion.names)
        else:
            window.uncertainty_panel.set_message(
                f"{loaded.run} came from another program, without entropy or confidence."
            )
        window.regions.set_classes(loaded.confusion.names, loaded.confusion.colors)
        if summary.analysed:
            window.kinds_panel.set_bars(*error_bars(summary))
            window.objects_panel.set_rows(object_rows(summary), summary.counts.size_edges)
        else:
            window.kinds_panel.set_message("The kinds of errors come with the error regions.")
            window.objects_panel.set_message(
                "Boundary IoU and scores by object size come with the error regions."
            )
        window.regions_panel.set_missing(summary.missing if not self._job_id else 0)
        self._ask_regions()
        key = (self._session.generation, loaded.run)
        if summary.missing and key not in self._asked:
            self._asked.add(key)  # once: who has stopped it is asked by the strip's button
            self._start()

    # -- finding regions --------------------------------------------------------------------

    def _start(self) -> None:
        run = self._desk.run
        self._tasks.start(
            "errors",
            lambda: self._session.start_error_analysis(run),
            self._on_started,
            lambda error: self._window.regions_panel.set_message(sentence(error)),
        )

    def _on_started(self, job_id: str | None) -> None:
        states = {state.job_id: state for state in self._session.jobs()}
        if job_id is not None and not states[job_id].is_over:
            self._job_id = job_id
        else:  # it was quicker than this answer
            self.refresh()

    def _on_job(self, state: JobState) -> None:
        if state.unit != "analysed" or state.job_id != self._job_id:
            return
        if state.is_over:
            self._job_id = ""
            self.refresh()
        else:
            self._window.regions_panel.set_missing(
                state.total - state.done, done=state.done, total=state.total
            )

    # -- the list ---------------------------------------------------------------------------

    def show_pair(self, target: Classes, prediction: Classes) -> None:
        """List the regions of a cell; a tuple stands for any of them, None for any class."""
        if self._loaded is None:
            return
        data = self._loaded.confusion
        names = [_names(data, classes) for classes in (target, prediction)]
        text = f"{names[0]} \N{RIGHTWARDS ARROW} {names[1]}"
        self._window.regions_panel.set_pair(target, prediction, text)
        self._window.confusion_panel.set_chosen(target, prediction)
        self._show_dock()
        self._ask_regions()

    def _show_kind(self, kind: ErrorKind) -> None:
        self._show_dock()
        self._window.regions_panel.set_kind(kind)

    def _show_entropy(self, low: float, high: float) -> None:
        self._show_dock()
        self._window.regions_panel.set_entropy(low, high)

    def _show_dock(self) -> None:
        dock = self._window.docks["regions"]
        dock.show()
        dock.raise_()

    def _ask_regions(self) -> None:
        loaded = self._loaded
        if loaded is None:
            return
        wanted = self._window.regions_panel.wanted(len(loaded.space))
        if wanted.target is None or wanted.prediction is None:
            self._window.confusion_panel.set_chosen(None, None)
        run = loaded.run

        def work() -> tuple[RegionFilter, RegionSelection]:
            return wanted, self._session.error_regions(run, wanted, limit=_LISTED)

        self._tasks.start("regions", work, partial(self._on_regions, run))

    def _on_regions(self, run: str, result: tuple[RegionFilter, RegionSelection]) -> None:
        _, found = result
        if self._loaded is None or self._loaded.run != run:
            return
        self._window.regions.set_regions(found.table)
        part = found.pixels / found.all_pixels if found.all_pixels else None
        text = f"{count_text(found.regions)} regions, {share(part)} of all wrong pixels"
        if found.regions > len(found.table):
            text += f"; the first {count_text(len(found.table))} by area and confidence are listed"
        self._window.regions_panel.show_list(text + ".  Enter corrects a region.")
        self._ask_corrected()

    def _ask_corrected(self) -> None:
        """See in a thread which of the listed regions are put right."""
        if self._loaded is None:
            return
        run, table = self._loaded.run, self._window.regions.table

        def work() -> list[float | None]:
            return self._session.errors.corrected_shares(run, table.regions())

        self._tasks.start(
            "corrected", work, lambda shares: self._window.regions.set_corrected(table, shares)
        )

    # -- a region ---------------------------------------------------------------------------

    def show_region(self, region: ErrorRegion) -> None:
        """Bring a region to the middle, outline it and choose its class."""
        self._region, self._revealing = region, True
        self._choose_class()
        if region.sample_id == self._desk.sample_id and self._desk.shown is not None:
            self._on_shown(self._desk.shown)
        else:
            self._desk.show(region.sample_id)

    def correct_region(self, region: ErrorRegion) -> None:
        """Open a region in Correct, at its place and with the right class, ready to paint."""
        self.show_region(region)
        self._window.set_workspace("correct")
        self._reveal_later()

    def _on_workspace(self, name: str) -> None:
        self._refresh_if_seen()
        if name == "analyse":
            self._reveal_later()
        elif name == "browse":
            self._region = None
            self._window.canvas.set_outline(None)

    def _reveal_later(self) -> None:
        """Bring the region to the middle again: the panels move, the picture's size changes."""
        if self._region is not None:
            self._revealing = True
            QTimer.singleShot(0, self, lambda: self._on_shown(self._desk.shown))

    def _choose_class(self) -> None:
        if self._region is not None and self._region.sample_id == self._desk.sample_id:
            self._edit.choose_class(self._region.target)

    def _on_shown(self, shown: Shown | None) -> None:
        """Outline the region once its image is there."""
        canvas, region = self._window.canvas, self._region
        self._window.regions_panel.set_sample("" if shown is None else shown.sample_id)
        if region is None or shown is None or shown.sample_id != region.sample_id:
            if shown is not None and shown.sample_id == self._desk.sample_id:
                self._region = None
                canvas.set_outline(None)
            return
        if shown.target is None or shown.prediction is None or self._loaded is None:
            canvas.set_outline(None)
            return
        box = region.box
        mask = region_mask(
            region,
            shown.target[box.slices],
            shown.prediction[box.slices],
            classes=len(self._loaded.space),
        )
        canvas.set_outline(mask, box.top, box.left)
        if self._revealing:
            self._revealing = False
            canvas.reveal(box)
        self._choose_class()


def _names(data: ConfusionData, classes: Classes) -> str:
    if classes is None:
        return "any class"
    members = classes if isinstance(classes, tuple) else (classes,)
    return " + ".join(data.name(index) for index in members)
