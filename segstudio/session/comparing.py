"""Comparing the runs of the open project: the layers of an image, numbers of a pair, agreement."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from segstudio.analysis.compare import Comparison
from segstudio.analysis.consensus import Consensus
from segstudio.analysis.side_by_side import ComparedImage, ComparedRun
from segstudio.core.errors import SegStudioError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import LabelMap
from segstudio.datasets.images import read_source_map
from segstudio.session.agreement import RunAgreements
from segstudio.session.thread_jobs import Progress, ThreadJobs

if TYPE_CHECKING:
    from segstudio.session.analysis import Analysis
    from segstudio.session.session import Session

__all__ = ["Comparisons"]


class Comparisons:
    """What the Compare workspace asks of a session; everything but `start` reads files.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.jobs = ThreadJobs(session)
        self._lock = threading.RLock()
        self._generation = -1
        self._agreements: RunAgreements | None = None
        self._analysis: Analysis | None = None

    # -- one image --------------------------------------------------------------------------

    def read_run(self, run: str, sample_id: str, shape: tuple[int, int]) -> ComparedRun:
        """Return what a run says of an image; what cannot be read is told in `problem`.

        Parameters
        ----------
        run, sample_id : str
        shape : (int, int)
            Height and width of the image; results of another size are refused.

        Raises
        ------
        UsageError
            When there is no such run.
        """
        session = self._session
        space = session.store.run(run).label_space
        try:
            labels = session.read_layer(run, "labels", sample_id)
            entropy = session.read_layer(run, "entropy", sample_id)
        except SegStudioError as error:
            return ComparedRun(run, space, None, None, str(error))
        if labels is None:
            return ComparedRun(run, space, None, None, "no result for this image")
        if labels.shape != shape:
            return ComparedRun(run, space, None, None, "of another size; run it again")
        if entropy is not None and entropy.shape != shape:
            entropy = None
        levels = None if entropy is None else np.ascontiguousarray(entropy, np.uint8)
        return ComparedRun(run, space, labels, levels)

    def read_correction(
        self, sample_id: str, shape: tuple[int, int]
    ) -> tuple[LabelMap, LabelSpace] | None:
        """Return the saved correction of an image, None when there is none that fits.

        Raises
        ------
        SegStudioError
            When its file cannot be read.
        """
        session = self._session
        space = session.store.correction_label_space(sample_id)
        path = session.layout.correction(sample_id)
        if space is None or not path.exists():
            return None
        labels = read_source_map(path)
        return None if labels.shape != shape else (labels, space)

    def read(self, runs: Sequence[str], sample_id: str, pair: Sequence[str] = ()) -> ComparedImage:
        """Return an image with all that is known of it.

        Parameters
        ----------
        runs : sequence of str
            The rows.
        sample_id : str
        pair : sequence of str, optional
            The names of a and b, where both are among ``runs``.

        Raises
        ------
        SegStudioError
            When the image cannot be read.
        """
        session = self._session
        image = session.read_image(sample_id)
        shape = image.shape[0], image.shape[1]
        try:
            target = session.read_target(sample_id)
        except SegStudioError:
            target = None  # said when the image is shown
        if target is not None and target.shape != shape:
            target = None
        correction = self.read_correction(sample_id, shape)
        places = [runs.index(run) for run in pair if run in runs]
        return ComparedImage(
            sample_id,
            image,
            tuple(self.read_run(run, sample_id, shape) for run in runs),
            target,
            session.label_space,
            None if correction is None else correction[0],
            None if correction is None else correction[1],
            (places[0], places[1]) if len(places) == 2 else None,
        )

    # -- many images ------------------------------------------------------------------------

    def pair(self, run_a: str, run_b: str) -> Comparison:
        """Compare two runs by their stored counts; differences are b minus a.

        Raises
        ------
        UsageError
            When nothing joins their label spaces, or they have no scored image in common.
        """
        with self._lock:
            self._follow()
            if self._analysis is None:
                self._analysis = self._session.analysis()
            analysis = self._analysis
        return analysis.compare(run_a, run_b, pixels=False)[0]

    def forget_counts(self) -> None:
        """Read stored counts again when they are asked for: a run has made them anew."""
        with self._lock:
            self._analysis = None

    def start(self, runs: Sequence[str]) -> str | None:
        """Count the agreement that is missing in a job and return its id, None if none is.

        Raises
        ------
        UsageError
            When there is no such run, or no dataset is open.
        """
        self.jobs.cancel_all()  # a new question ends the one before
        agreements = self._current()
        missing = agreements.missing(runs)
        if not missing:
            return None

        def work(progress: Progress) -> str:
            counted = agreements.count(missing, is_cancelled=lambda: progress.cancelled)
            return progress.count_each(counted, "compared")

        title = f"Agreement of {len(runs)} runs"
        return self.jobs.start(title, len(missing), work, unit="compared")

    def consensus(self, runs: Sequence[str]) -> Consensus:
        """Return the agreement of these runs as far as it is counted; no pixel is read."""
        return self._current().consensus(runs)

    def _current(self) -> RunAgreements:
        session = self._session
        with self._lock:
            self._follow()
            if self._agreements is None:
                dataset = session.analysis().dataset
                assert dataset is not None  # or `analysis` would have raised
                self._agreements = RunAgreements(dataset, session.store, session.layout)
            return self._agreements

    def _follow(self) -> None:
        """Forget what belongs to a dataset that is no longer open."""
        if self._generation != self._session.generation:
            self._generation = self._session.generation
            self._agreements = self._analysis = None
