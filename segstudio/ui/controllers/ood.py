"""Out of distribution: what runs make of categories that their models were not made for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog

from segstudio.analysis.ood import detect, detection_histogram, score_categories
from segstudio.analysis.ood_report import OodRun
from segstudio.core.errors import SegStudioError
from segstudio.metrics import uncertainty
from segstudio.session.events import JobState
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.mapping import MappingController
from segstudio.ui.controllers.predict import PredictController
from segstudio.ui.controllers.tasks import SessionBridge, Tasks, sentence
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models import images_text
from segstudio.ui.models.ood import CategoryRow
from segstudio.ui.palettes import ClassColor

__all__ = ["OodController"]

_INSIDE = "ood inside"
"""Note of the project: where the data is that its models were made for."""


@dataclass(frozen=True, eq=False)
class _Found:
    """What is known of a run's categories, and of other runs over the same ones."""

    run: str
    mapping: str
    result: OodRun
    missing: int
    others: tuple[OodRun, ...]
    problem: str


class OodController(QObject):
    """Joins the out-of-distribution panel with the session; counts when it is first seen."""

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        bridge: SessionBridge,
        tasks: Tasks,
        desk: Desk,
        predict: PredictController,
        mapping: MappingController,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks, self._desk = window, session, tasks, desk
        self._stale = True
        self._job_id = ""
        self._found: _Found | None = None
        self._asked: set[tuple[int, str, str]] = set()
        panel = window.ood_panel
        window.docks["ood"].visibilityChanged.connect(lambda _visible: self._refresh_if_seen())
        desk.run_changed.connect(lambda _run: self.refresh())
        predict.finished.connect(lambda _state: self.refresh())
        mapping.chosen.connect(self.refresh)
        bridge.job_changed.connect(self._on_job)
        panel.count_requested.connect(self._start)
        panel.threshold_changed.connect(lambda _value: self._show())
        panel.inside_requested.connect(self._ask_inside)
        panel.mapping_requested.connect(mapping.edit)
        panel.category_activated.connect(self._select)

    def refresh(self) -> None:
        """Read again what is counted, now or when the panel is seen."""
        self._stale = True
        self._refresh_if_seen()

    def _refresh_if_seen(self) -> None:
        if not self._stale or not self._window.docks["ood"].isVisible():
            return
        self._stale = False
        run, panel = self._desk.run, self._window.ood_panel
        if not run:
            panel.set_message(
                "Run a model over images whose ground truth knows other things than the model "
                "does, as COCO's animals under a network of street scenes."
            )
            return
        self._tasks.start("ood", partial(self._read, run), self._on_read, self._on_failed)

    def _read(self, run: str) -> _Found:
        """Add up what is stored; runs in a thread."""
        studies = self._session.studies
        mapping = studies.ood_mapping(run)
        note = self._session.store.note(_INSIDE)
        problem = ""
        try:
            result, missing = studies.ood_result(run, Path(note) if note else None)
        except SegStudioError as error:
            # Only the comparison may be at fault; without it the rest stands.
            result, missing = studies.ood_result(run)
            problem = str(error)
        others = []
        for record in self._session.runs():
            if record.run == run or record.label_space.name != mapping.target:
                continue
            try:
                other, lacks = studies.ood_result(record.run)
            except SegStudioError:
                continue  # it has no image in common with the ground truth
            if other.samples and not lacks:
                others.append(other)
        return _Found(run, mapping.name, result, missing, tuple(others), problem)

    def _on_failed(self, error: Exception) -> None:
        self._found = None
        both = self._session.studies.spaces(self._desk.run) if self._desk.run else None
        self._window.ood_panel.set_message(sentence(error), mapping=both is not None)

    def _on_read(self, found: _Found) -> None:
        if found.run != self._desk.run:
            return
        self._found = found
        panel = self._window.ood_panel
        panel.set_missing(found.missing if not self._job_id else 0)
        self._show()
        key = self._session.generation, found.run, found.mapping
        if found.missing and key not in self._asked:
            self._asked.add(key)  # once: who has stopped it is asked by the strip's button
            self._start()

    # -- counting ---------------------------------------------------------------------------

    def _start(self) -> None:
        run = self._desk.run
        self._tasks.start(
            "ood job", lambda: self._session.studies.start_ood(run), self._on_started, self._fail
        )

    def _fail(self, error: Exception) -> None:
        self._window.show_notice("ood", sentence(error), kind="error")

    def _on_started(self, job_id: str | None) -> None:
        states = {state.job_id: state for state in self._session.jobs()}
        if job_id is not None and not states[job_id].is_over:
            self._job_id = job_id
        else:  # it was quicker than this answer
            self.refresh()

    def _on_job(self, state: JobState) -> None:
        if not self._job_id or state.job_id != self._job_id:
            return
        if state.is_over:
            self._job_id = ""
            self.refresh()
        else:
            done = state.done + state.failed
            self._window.ood_panel.set_missing(0, done=done, total=state.total)

    # -- what is shown ----------------------------------------------------------------------

    def _show(self) -> None:
        """Show what is counted under the threshold; no file is read."""
        found, panel = self._found, self._window.ood_panel
        if found is None:
            return
        threshold = panel.threshold.value()
        rows = [
            row for run in (found.result, *found.others) for row in category_rows(run, threshold)
        ]
        rows.sort(key=lambda row: found.result.categories.source.names.index(row.name))
        categories = found.result.categories
        title = (
            f"{categories.source.name} seen as {categories.target.name} by {found.mapping}  ·  "
            f"{images_text(found.result.samples)}  ·  Enter lists a category's images"
        )
        panel.set_rows(rows, found.problem or title)
        self._show_entropy(found.result)
        panel.set_figures(ood_figures(found.result))

    def _show_entropy(self, result: OodRun) -> None:
        panel = self._window.ood_panel
        if result.shift is not None:
            panel.set_histograms(
                ("its own data", result.shift.in_entropy), ("this data", result.shift.out_entropy)
            )
            return
        inside, outside = detection_histogram(result.categories, result.counts.entropy)
        panel.set_histograms(("with a class", inside), ("out of the label space", outside))

    def _ask_inside(self) -> None:
        """Choose the data that the model was made for; it has to have been run there before."""
        folder = QFileDialog.getExistingDirectory(
            self._window, "Dataset that this model was made for and was run on", ""
        )
        if folder:
            self.compare_with(Path(folder))

    def compare_with(self, folder: Path) -> None:
        """Compare with the same model's run in another project."""
        store = self._session.store
        self._tasks.start(
            "ood inside", lambda: store.set_note(_INSIDE, str(folder)), lambda _none: self.refresh()
        )

    def _select(self, name: str) -> None:
        """List the images that hold a category, in a thread: their ground truth is read."""
        dataset, window = self._session.dataset, self._window
        if dataset is None or dataset.label_space is None:
            return
        space = dataset.label_space
        entry = space.find(name)
        if entry is None:
            return

        def work() -> list[str]:
            held = []
            for sample in dataset.samples:
                if sample.target_path is None:
                    continue
                try:
                    target = dataset.read_target(sample, space)
                except SegStudioError:
                    continue  # the jobs panel has said so
                if bool((target == entry.index).any()):
                    held.append(sample.sample_id)
            return held

        def show(held: list[str]) -> None:
            window.samples.set_subset(held, f"with {name}")
            window.show_panel("samples")

        self._tasks.start("ood images", work, show)


def category_rows(run: OodRun, threshold: float) -> list[CategoryRow]:
    """Return a row for each category that has pixels."""
    source = run.categories.source
    rows = []
    for entry in score_categories(run.categories, run.counts, confident=threshold):
        known = source.find(entry.name)
        assert known is not None  # it is one of the source's
        rows.append(
            CategoryRow(
                entry.name,
                ClassColor.of(known),
                run.run,
                entry.mapped_to,
                entry.images,
                entry.pixels,
                entry.recall,
                entry.mean_entropy,
                entry.confident_error_share,
                entry.confused_with,
            )
        )
    return rows


def ood_figures(run: OodRun) -> list[tuple[str, str, float, bool]]:
    """Return the figures of detection, components and shift, those that exist."""
    by_entropy, by_confidence = detect(run.categories, run.counts)
    what = "How well {} tells pixels out of the label space from those with a class"
    figures: list[tuple[str, str, float, bool]] = []
    for name, meaning in (
        ("auroc", "the probability of the higher value, a tie being half"),
        ("auprc", "average precision"),
        ("fpr95", "share of those with a class that are flagged with 95 % of the others"),
    ):
        for title, entry in (("entropy", by_entropy), ("confidence", by_confidence)):
            value = getattr(entry, name)
            if not math.isnan(value):
                words = f"{name.upper()}, {title}"
                figures.append((words, f"{what.format(title)}: {meaning}.", value, False))
    if run.components is not None:
        found = run.components
        flagged = f"flagged from entropy {found.threshold:.2f} on, as in SegmentMeIfYouCan"
        figures += [
            ("sIoU", f"Adjusted IoU of {found.targets} components, {flagged}.", found.siou, False),
            ("PPV", f"Precision of {found.predicted} components, {flagged}.", found.ppv, False),
            ("F1", f"Mean over thresholds 0.25 to 0.75, {flagged}.", found.f1, False),
        ]
    if run.shift is not None:
        shift = run.shift
        low, high = shift.drop_interval
        figures += [
            (
                "shift",
                "Probability that a pixel of this data has the higher entropy.",
                shift.auroc,
                False,
            ),
            ("accuracy there", "Pixel accuracy on the model's own data.", shift.in_accuracy, True),
            ("accuracy here", "Of the categories that have a class.", shift.out_accuracy, True),
            ("lost", f"95 % interval {100 * low:.1f} to {100 * high:.1f} %.", shift.drop, True),
        ]
    wrong = uncertainty.right_and_wrong(run.counts.entropy)[1].sum()
    pixels = int(run.counts.joint.sum())
    part = uncertainty.ratio(float(wrong), pixels)
    figures.append(("wrong pixels", "Of all categories.", part, True))
    return figures
