"""The Compare panel: scores of the pair from stored counts, agreement from a job."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject

from segstudio.analysis.agreement import Agreement
from segstudio.analysis.compare import Comparison
from segstudio.analysis.consensus import Consensus
from segstudio.core.errors import SegStudioError
from segstudio.session.events import JobState
from segstudio.session.session import Session
from segstudio.ui.controllers.compare import CompareController
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.predict import PredictController
from segstudio.ui.controllers.tasks import SessionBridge, Tasks, sentence
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models import images_text, number, share
from segstudio.ui.models.compare import ComparedImageRow, signed
from segstudio.ui.models.legend import short_name
from segstudio.ui.palettes import ClassColor
from segstudio.ui.panels.compare_plots import DeltaBar, ScatterPoint

__all__ = ["CompareNumbersController"]

NAN = float("nan")


@dataclass(frozen=True, eq=False)
class _Numbers:
    """What was read for a choice of models; ``problem`` stands for a missing comparison."""

    runs: tuple[str, ...]
    pair: tuple[str, str]
    comparison: Comparison | None
    problem: str
    consensus: Consensus
    mious: dict[str, dict[str, float | None]]


class CompareNumbersController(QObject):
    """Joins the panel with the session; nothing is read before the panel is visible."""

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        bridge: SessionBridge,
        tasks: Tasks,
        desk: Desk,
        predict: PredictController,
        compare: CompareController,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._desk, self._compare = desk, compare
        self._panel = window.compare_panel
        self._numbers: _Numbers | None = None
        self._job_id = ""
        self._refused: tuple[str, ...] = ()
        compare.runs_changed.connect(self.refresh)
        desk.shown_changed.connect(lambda _shown: self._panel.set_current(desk.sample_id))
        predict.scores_stale.connect(self._on_scores)
        bridge.job_changed.connect(self._on_job)
        bridge.dataset_opened.connect(lambda _dataset: self._forget())
        self._panel.pair_chosen.connect(compare.set_pair)
        self._panel.sample_chosen.connect(desk.show)

    def _forget(self) -> None:
        """Another dataset is open."""
        self._numbers, self._job_id, self._refused = None, "", ()
        self._panel.set_images([])

    def _on_scores(self) -> None:
        if self._compare.is_active:
            self.refresh()

    def refresh(self) -> None:
        """Read the numbers of the chosen models, then count what is missing of their agreement."""
        runs, pair = self._compare.runs, self._compare.pair
        self._panel.set_runs([record.run for record in self._session.runs()], pair)
        if not all(pair):
            self._panel.set_pair_message("Choose two models to compare.")
        if not runs or self._session.dataset is None:
            self._panel.set_images([])
            return
        work = partial(self._read, runs, pair)
        self._tasks.start("compare-numbers", work, self._put, self._on_failed)

    def _read(self, runs: tuple[str, ...], pair: tuple[str, str]) -> _Numbers:
        """Read stored counts; runs in a thread."""
        session = self._session
        comparison, problem = None, ""
        if all(pair):
            try:
                comparison = session.comparisons.pair(*pair)
            except SegStudioError as error:
                problem = str(error)
        return _Numbers(
            runs,
            pair,
            comparison,
            problem,
            session.comparisons.consensus(runs),
            {run: session.sample_scores(run) for run in runs},
        )

    def _on_failed(self, error: Exception) -> None:
        self._panel.set_pair_message(sentence(error))

    def _put(self, numbers: _Numbers) -> None:
        if (numbers.runs, numbers.pair) != (self._compare.runs, self._compare.pair):
            return
        self._numbers = numbers
        self._compare.set_mious(numbers.mious)
        comparison = numbers.comparison
        if all(numbers.pair) and (comparison is None or not comparison.samples):
            none = "These images have no ground truth, so nobody is right or wrong."
            self._panel.set_pair_message(numbers.problem or none)
        self._show(numbers)
        self._start(numbers.runs)

    def _show(self, numbers: _Numbers) -> None:
        comparison, consensus = numbers.comparison, numbers.consensus
        if comparison is not None and comparison.samples:
            points = [ScatterPoint(entry.sample_id, *entry.miou) for entry in comparison.samples]
            summary = _summary(comparison, _agreement(consensus, numbers.pair))
            self._panel.set_pair(summary, _bars(comparison), points)
        self._panel.set_consensus(consensus.runs, consensus.kappa, consensus.share)
        self._panel.set_images(_rows(comparison, consensus))
        self._panel.set_current(self._desk.sample_id)

    # -- agreement --------------------------------------------------------------------------

    def _start(self, runs: tuple[str, ...]) -> None:
        if len(runs) < 2 or runs == self._refused:
            return
        self._tasks.start(
            "compare-agreement",
            lambda: self._session.comparisons.start(runs),
            self._on_started,
            self._on_failed,
        )

    def _on_started(self, job_id: str | None) -> None:
        if job_id is None:
            self._panel.progress.set_text("")
            self._job_id = ""
            return
        states = {state.job_id: state for state in self._session.jobs()}
        self._job_id = job_id
        self._on_job(states[job_id])  # it may have been quicker than this answer

    def _on_job(self, state: JobState) -> None:
        if state.unit != "compared" or state.job_id != self._job_id:
            return
        if not state.is_over:
            self._panel.progress.set_text(f"comparing {state.done} of {state.total}")
            return
        self._job_id = ""
        stopped = state.state != "done"
        # Who has stopped it is not asked again for the same models.
        self._refused = self._compare.runs if stopped else ()
        self._panel.progress.set_text("not complete: it was stopped" if stopped else "")
        self._tasks.start(
            "compare-consensus",
            partial(self._session.comparisons.consensus, self._compare.runs),
            self._on_consensus,
            self._on_failed,
        )

    def _on_consensus(self, consensus: Consensus) -> None:
        numbers = self._numbers
        if numbers is None or consensus.runs != numbers.runs:
            return
        self._numbers = _Numbers(
            numbers.runs,
            numbers.pair,
            numbers.comparison,
            numbers.problem,
            consensus,
            numbers.mious,
        )
        self._show(self._numbers)


def _agreement(consensus: Consensus, pair: tuple[str, str]) -> tuple[Agreement, bool] | None:
    """Return the agreement of a pair, and whether it was counted as (b, a)."""
    found = consensus.pairs.get(pair)
    if found is not None:
        return found, False
    found = consensus.pairs.get((pair[1], pair[0]))
    return None if found is None else (found, True)


def _summary(comparison: Comparison, agreement: tuple[Agreement, bool] | None) -> str:
    first, second = (pooled["miou"] for pooled in comparison.pooled)
    low, high = (signed(value, 3) for value in comparison.miou_interval)
    arrow, dot = "\N{RIGHTWARDS ARROW}", "  \N{MIDDLE DOT}  "
    parts = [
        f"mIoU {number(first, 3)} {arrow} {number(second, 3)}",
        f"{signed(second - first, 3)}  [{low}, {high}]",
        images_text(comparison.scored),
    ]
    if agreement is not None and agreement[0].labelled:
        counted, turned = agreement
        ways = counted.only_a_right, counted.only_b_right
        only_a, only_b = (part / counted.labelled for part in (ways[::-1] if turned else ways))
        wrong = counted.both_wrong_same + counted.both_wrong_different
        parts.append(f"only A right {share(only_a)}")
        parts.append(f"only B right {share(only_b)}")
        sure = counted.both_wrong_and_sure() / counted.labelled
        parts.append(f"neither {share(wrong / counted.labelled)}, both sure {share(sure)}")
    return dot.join(parts)


def _bars(comparison: Comparison) -> list[DeltaBar]:
    """Return the mean, then the classes from B's gain to A's; those without a number last."""
    colors = [ClassColor.of(entry) for entry in comparison.label_space.classes]
    bars = [
        DeltaBar(
            short_name(entry.name), colors[entry.index], entry.iou, entry.delta, entry.interval
        )
        for entry in comparison.classes
    ]
    known = [bar for bar in bars if bar.delta == bar.delta]
    known.sort(key=lambda bar: -bar.delta)
    first, second = (pooled["miou"] for pooled in comparison.pooled)
    mean = DeltaBar("mIoU", None, (first, second), second - first, comparison.miou_interval)
    return [mean, *known, *(bar for bar in bars if bar.delta != bar.delta)]


def _rows(comparison: Comparison | None, consensus: Consensus) -> list[ComparedImageRow]:
    """Return a row for every image of which anything is known."""
    differs = dict(consensus.disagreement)
    pairs = {} if comparison is None else {entry.sample_id: entry for entry in comparison.samples}
    rows = []
    for sample_id in sorted({*differs, *pairs}):
        entry = pairs.get(sample_id)
        miou = (NAN, NAN) if entry is None else entry.miou
        sure = NAN if entry is None else min(entry.sure_errors)
        rows.append(ComparedImageRow(sample_id, differs.get(sample_id, NAN), miou, sure))
    return rows
