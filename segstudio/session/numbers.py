"""What a session says of the runs of the open project; no pixels are read for it."""

from __future__ import annotations

import abc
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from segstudio.core.errors import UsageError
from segstudio.core.label_space import LabelMapping
from segstudio.datasets.base import Dataset
from segstudio.metrics.counts import SampleCounts
from segstudio.metrics.report import EvaluationReport
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import RunRecord, Store
from segstudio.session.errors_job import ErrorJobs
from segstudio.session.evaluation import evaluate_runs

if TYPE_CHECKING:
    from segstudio.analysis.regions import RegionFilter
    from segstudio.session.analysis import Analysis
    from segstudio.session.error_analysis import ErrorAnalysis, ErrorSummary, RegionSelection
    from segstudio.session.studies import Studies

__all__ = ["SessionNumbers"]


class SessionNumbers(abc.ABC):
    """The part of `segstudio.session.session.Session` that answers from stored counts."""

    studies: Studies
    _error_jobs: ErrorJobs
    _lock: threading.RLock
    _errors: ErrorAnalysis | None = None

    @property
    @abc.abstractmethod
    def store(self) -> Store:
        """Database of the open project."""

    @property
    @abc.abstractmethod
    def layout(self) -> ProjectLayout:
        """Paths of the open project."""

    @abc.abstractmethod
    def runs(self) -> list[RunRecord]:
        """Return the open project's runs, oldest first."""

    @abc.abstractmethod
    def unsaved_samples(self) -> list[str]:
        """Return the samples whose journal holds strokes that were never saved."""

    @abc.abstractmethod
    def _opened(self) -> Dataset:
        """Return the open dataset, or raise that there is none."""

    # -- numbers ----------------------------------------------------------------------------

    def sample_scores(self, run: str) -> dict[str, float | None]:
        """Return the per-image mIoU of a run's scored samples; no pixels are read."""
        return self.store.mious(run)

    def sample_counts(self, run: str, sample_id: str) -> SampleCounts | None:
        """Return the stored counts of one sample, None when it was not scored."""
        stored = self.store.sample_counts(run, sample_id)
        return None if stored is None else SampleCounts.from_bytes(stored)

    def evaluate(
        self, runs: Sequence[str] | None = None, *, mapping: LabelMapping | None = None
    ) -> EvaluationReport:
        """Return the report of runs from their stored counts; see `evaluate_runs`."""
        names = [record.run for record in self.runs()] if runs is None else list(runs)
        if not names:
            raise UsageError("Nothing has been run on this dataset yet; run a model first.")
        chosen = mapping or self.studies.mappings
        return evaluate_runs(self._opened(), self.store, self.layout, names, mapping=chosen)

    def analysis(self, mapping: LabelMapping | None = None) -> Analysis:
        """Return the slices and pairs of the open project's runs; it keeps counts, so keep it."""
        from segstudio.session.analysis import Analysis

        chosen = mapping or self.studies.mappings
        return Analysis(self._opened(), self.store, self.layout, mapping=chosen)

    # -- errors -----------------------------------------------------------------------------

    @property
    def errors(self) -> ErrorAnalysis:
        """The error analysis of the open project; it keeps what it read of the store."""
        from segstudio.session.error_analysis import ErrorAnalysis

        with self._lock:
            if self._errors is None:
                self._errors = ErrorAnalysis(
                    self._opened(), self.store, self.layout, mapping=self.studies.mappings
                )
            return self._errors

    def start_error_analysis(self, run: str) -> str | None:
        """Find the error regions that a run lacks and return the job's id, None if none lack."""
        return self._error_jobs.start(run, self.errors)

    def error_summary(self, run: str) -> ErrorSummary:
        """Return kinds, boundary IoU and scores by size from what is stored of a run's errors."""
        return self.errors.summary(run)

    def error_regions(
        self, run: str, wanted: RegionFilter | None = None, *, limit: int | None = None
    ) -> RegionSelection:
        """Return a run's stored error regions, the largest and most confident first."""
        return self.errors.regions(run, wanted, limit=limit)

    def status(self, sample_id: str) -> str:
        """Return "new", "predicted", "in progress", "corrected" or a review state set by hand."""
        return self.statuses().get(sample_id, "new")

    def statuses(self) -> dict[str, str]:
        """Return the states of all samples that are not "new"."""
        found: dict[str, str] = {}
        for record in self.runs():
            for sample_id, result in self.store.results(record.run).items():
                if result.error is None:
                    found[sample_id] = "predicted"
        corrected = self.store.corrected_samples()
        there = (key for key in corrected if self.layout.correction(key).exists())
        found.update(dict.fromkeys(there, "corrected"))
        found.update(dict.fromkeys(self.unsaved_samples(), "in progress"))
        found.update(self.store.reviews())
        return found
