"""Finding the error regions of a run, told as a job: one at a time per run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from segstudio.session.thread_jobs import Progress, ThreadJobs

if TYPE_CHECKING:
    from segstudio.session.error_analysis import ErrorAnalysis
    from segstudio.session.session import Session

__all__ = ["ErrorJobs"]


class ErrorJobs:
    """The error analyses of a session.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    jobs : ThreadJobs
        What runs; the unit is "analysed".
    """

    def __init__(self, session: Session) -> None:
        self.jobs = ThreadJobs(session)
        self._lock = threading.Lock()
        self._latest: dict[str, tuple[str, ErrorAnalysis]] = {}

    def start(self, run: str, analysis: ErrorAnalysis) -> str | None:
        """Analyse what is missing of a run.

        Returns
        -------
        str or None
            Id of the job, or of the one that is at it already; None when nothing is missing.

        Raises
        ------
        UsageError
            When there is no ground truth, or it is in another label space.
        """
        missing = analysis.missing(run)
        if not missing:
            return None

        def work(progress: Progress) -> str:
            entries = analysis.analyse(run, missing, is_cancelled=lambda: progress.cancelled)
            return progress.count_each((entry.problem for entry in entries), "analysed")

        with self._lock:  # two threads may ask at once
            job_id, asked = self._latest.get(run, ("", None))
            if asked is analysis and not self.jobs.is_over(job_id):
                return job_id
            title = f"Error regions of {run}"
            job_id = self.jobs.start(title, len(missing), work, unit="analysed")
            self._latest[run] = job_id, analysis
        return job_id
