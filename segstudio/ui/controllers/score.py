"""Scores on screen: of the run, of the image, and of the correction as it is painted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject

from segstudio.core.errors import SegStudioError
from segstudio.metrics.report import EvaluationReport
from segstudio.metrics.scores import iou, mean_iou
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk, Shown
from segstudio.ui.controllers.predict import PredictController
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models import number
from segstudio.ui.models.image_scores import ImageRow
from segstudio.ui.models.scores import ClassRow
from segstudio.ui.palettes import ClassColor

__all__ = ["ScoreController"]


class ScoreController(QObject):
    """Joins the tables and the legend with the session's counts."""

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        tasks: Tasks,
        desk: Desk,
        predict: PredictController,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks, self._desk = window, session, tasks, desk
        self._stored: NDArray[np.int64] | None = None
        desk.run_changed.connect(lambda _run: self.refresh())
        desk.space_changed.connect(window.legend.set_label_space)
        desk.shown_changed.connect(self._on_shown)
        predict.scores_stale.connect(self.refresh)

    def refresh(self) -> None:
        """Make the run's report again, from stored counts, in a thread."""
        run = self._desk.run
        if not run:
            self._window.scores_panel.set_message(
                "Scores appear here when a model has run on images with ground truth."
            )
            self._window.samples.set_scores({})
            return

        def work() -> tuple[EvaluationReport | None, str, dict[str, float | None]]:
            scores = self._session.sample_scores(run)
            try:
                return self._session.evaluate([run]), "", scores
            except SegStudioError as error:
                return None, str(error), scores

        self._tasks.start("report", work, self._on_report, self._on_failed)

    def _on_failed(self, error: Exception) -> None:
        self._window.scores_panel.set_message(sentence(error))

    def _on_report(self, result: tuple[EvaluationReport | None, str, dict[str, Any]]) -> None:
        report, problem, scores = result
        window = self._window
        window.samples.set_scores(scores)
        if report is None or not report.runs[0].per_sample:
            window.scores_panel.set_message(problem or "No image of this run is scored yet.")
            return
        run = report.runs[0]
        space = report.label_space
        rows = [
            ClassRow(
                entry.name,
                ClassColor.of(space.classes[entry.index]),
                pooled_iou=entry.iou,
                interval=entry.iou_interval,
                accuracy=entry.accuracy,
                precision=entry.precision,
                pixels=entry.target_pixels,
            )
            for entry in run.classes
        ]
        mean = ClassRow(
            "Mean over classes",
            None,
            pooled_iou=run.miou,
            interval=run.miou_interval,
            accuracy=run.mean_accuracy,
        )
        window.class_scores.set_rows(rows, mean)
        window.image_scores.set_rows(
            [
                ImageRow(entry.sample_id, entry.miou, entry.pixel_accuracy)
                for entry in run.per_sample
            ]
        )
        window.scores_panel.set_summary(
            run.run,
            miou=number(run.miou, 4),
            accuracy=number(run.pixel_accuracy, 4),
            images=len(run.per_sample),
        )
        self._read_sample()

    # -- the image shown --------------------------------------------------------------------

    def _on_shown(self, shown: Shown | None) -> None:
        self._show_shares()
        self._read_sample()

    def _show_shares(self) -> None:
        shown, space = self._desk.shown, self._desk.space
        if self._desk.corrected is not None and shown is not None:
            return  # told with every stroke
        if shown is None or shown.counts is None or space is None:
            self._window.legend.set_shares(None)
            return
        counts = shown.counts[: len(space)]
        self._window.legend.set_shares(counts / max(1, shown.image.shape[0] * shown.image.shape[1]))

    def _read_sample(self) -> None:
        """Show the stored scores of the image, unless a correction is scored live."""
        run, sample_id = self._desk.run, self._desk.sample_id
        self._stored = None
        if run and sample_id:
            try:
                counts = self._session.sample_counts(run, sample_id)
            except SegStudioError as error:
                self._window.show_notice("sample", str(error), kind="warning")
                counts = None
            self._stored = None if counts is None else counts.confusion()
        if self._desk.corrected is None:
            self._show(self._stored, None)

    def show_live(self, confusion: NDArray[np.int64] | None, shares: NDArray[np.float64]) -> None:
        """Show the scores of a correction, beside what they were before it.

        Parameters
        ----------
        confusion : ndarray of shape (C, C + 1) or None
            Of ground truth and correction, None without ground truth.
        shares : ndarray of shape (C,)
            Each class's share of the correction, 0..1.
        """
        before = self._stored
        same = before is not None and confusion is not None and before.shape == confusion.shape
        self._show(confusion, before if same else None)
        if len(shares) == self._window.legend.rowCount():
            self._window.legend.set_shares(shares)

    def _show(self, confusion: NDArray[np.int64] | None, before: NDArray[np.int64] | None) -> None:
        window = self._window
        if confusion is None:
            window.legend.set_iou(None)
            window.class_scores.set_image_iou([], float("nan"))
            window.scores_panel.set_image_miou(None)
            return
        values = iou(confusion)
        mean = float(mean_iou(confusion))
        if len(values) == window.legend.rowCount():
            window.legend.set_iou(values)
        window.class_scores.set_image_iou(list(values), mean)
        window.scores_panel.set_image_miou(
            mean, None if before is None else float(mean_iou(before))
        )
