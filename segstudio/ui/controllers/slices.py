"""Slices: any column of the images scored by its values; a row selects its images."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject, Signal

from segstudio.analysis.slices import SliceScores, score_groups, score_slice
from segstudio.core.errors import SegStudioError
from segstudio.session.session import Session
from segstudio.ui.controllers.analyse import AnalyseController
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models.legend import short_name
from segstudio.ui.models.slices import SliceRow
from segstudio.ui.panels.slices import SLICE_COLUMNS

__all__ = ["SlicesController"]

_NO_VALUE = "not known"


@dataclass(frozen=True, eq=False)
class _Sliced:
    """The slices of a run by a column."""

    run: str
    by: str
    tags: tuple[str, ...]
    classes: tuple[tuple[str, str], ...]
    rows: tuple[SliceRow, ...]
    whole: SliceRow
    samples: dict[str, list[str]]


class SlicesController(QObject):
    """Joins the slices panel with the session; counts are read when the panel is first seen.

    Attributes
    ----------
    progress : Signal(int, int)
        Images looked at, images to look at; from the thread that slices.
    """

    progress = Signal(int, int)

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        tasks: Tasks,
        desk: Desk,
        analyse: AnalyseController,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._desk, self._analyse = desk, analyse
        self._stale = True
        self._stop = threading.Event()
        self._sliced: _Sliced | None = None
        panel = window.slices_panel
        panel.set_column(str(session.settings.get("slice_by", "folder")))
        panel.column_changed.connect(self._on_column)
        panel.slice_selected.connect(self.select)
        window.docks["slices"].visibilityChanged.connect(lambda _visible: self._refresh_if_seen())
        window.samples.subset_changed.connect(self._on_subset)
        analyse.counts_changed.connect(self.refresh)
        self.progress.connect(self._on_progress)

    def refresh(self) -> None:
        """Slice again, now or when the panel is seen."""
        self._stale = True
        self._refresh_if_seen()

    def select(self, name: str) -> None:
        """Restrict the list of images to a slice; "" takes the restriction off."""
        sliced, samples = self._sliced, self._window.samples
        if not name or sliced is None or name not in sliced.samples:
            samples.set_subset(None)
            return
        samples.set_subset(sliced.samples[name], f"{_title(sliced.by)}: {name}")
        self._window.show_panel("samples")

    def stop(self) -> None:
        """Stop looking at images: the window closes."""
        self._stop.set()

    # -- inside -----------------------------------------------------------------------------

    def _refresh_if_seen(self) -> None:
        if not self._stale or not self._window.docks["slices"].isVisible():
            return
        self._stale = False
        panel, run = self._window.slices_panel, self._desk.run
        self._stop.set()
        self._stop = stop = threading.Event()
        if not run:
            panel.set_message("Run a model on images with ground truth; then slice them here.")
            return
        self._tasks.start(
            "slices", partial(self._slice, run, panel.column, stop), self._on_sliced, self._fail
        )

    def _slice(self, run: str, by: str, stop: threading.Event) -> _Sliced | None:
        """Score the slices; runs in a thread."""
        analysis = self._analyse.questions()
        table, space = analysis.table(run), analysis.label_space(run)
        names = tuple((entry.name, short_name(entry.name)) for entry in space.classes)
        if by.startswith("class:") and space.find(by.removeprefix("class:")) is None:
            by = f"class:{names[0][0]}"
        tags = analysis.columns.tags()
        if by.startswith("tag:") and by.removeprefix("tag:") not in tags:
            by = "folder"
        try:
            column = analysis.column(run, by, progress=self.progress.emit, cancelled=stop.is_set)
        except SegStudioError:
            if stop.is_set():
                return None  # somebody asks for another column
            raise
        named: list[Hashable] = [_NO_VALUE if value is None else str(value) for value in column]
        samples: dict[str, list[str]] = {}
        for sample_id, value in zip(table.sample_ids, named, strict=True):
            samples.setdefault(str(value), []).append(sample_id)
        rows = tuple(_row(entry) for entry in score_groups(table, named))
        return _Sliced(run, by, tags, names, rows, _row(score_slice(table)), samples)

    def _on_sliced(self, sliced: _Sliced | None) -> None:
        if sliced is None or sliced.run != self._desk.run:
            return
        panel = self._window.slices_panel
        self._sliced = sliced
        panel.set_tags(sliced.tags)
        panel.set_classes(sliced.classes)
        if not sliced.whole.samples:
            panel.set_message(f"No image of {sliced.run} is scored yet.")
            return
        panel.set_rows(sliced.rows, sliced.whole)

    def _fail(self, error: Exception) -> None:
        self._sliced = None
        self._window.slices_panel.set_message(sentence(error))

    def _on_progress(self, done: int, total: int) -> None:
        self._window.slices_panel.set_message(f"Looking at the images: {done} of {total} …")

    def _on_column(self, by: str) -> None:
        try:
            self._session.settings.set("slice_by", by)
        except SegStudioError as error:
            self._window.show_notice("settings", str(error), kind="warning")
        self.refresh()

    def _on_subset(self, title: str) -> None:
        self._window.slices_panel.set_chosen(title)


def _title(by: str) -> str:
    titles = {name: title for name, title, _ in SLICE_COLUMNS}
    kind, _, rest = by.partition(":")
    return rest if rest else titles.get(kind, kind)


def _row(entry: SliceScores) -> SliceRow:
    errors = entry.errors
    return SliceRow(
        entry.name,
        entry.samples,
        entry.pixels,
        entry.miou,
        entry.miou_interval,
        entry.pixel_accuracy,
        entry.pixel_accuracy_interval,
        errors.confident / errors.wrong if errors.wrong else float("nan"),
        entry.ece,
    )
