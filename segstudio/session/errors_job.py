"""Finding the error regions of a run in a thread, told as a job."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from segstudio.core.errors import CancelledError, SegStudioError
from segstudio.session.events import JobState

if TYPE_CHECKING:
    from segstudio.session.error_analysis import ErrorAnalysis
    from segstudio.session.session import Session

__all__ = ["ErrorJobs"]

_SECONDS_BETWEEN_NEWS = 0.1
_CLOSE_SECONDS = 10.0
"""Longer than any sample takes; a thread that is still at work then finds the project closed."""


@dataclass
class _Job:
    run: str
    analysis: ErrorAnalysis
    state: JobState
    cancel: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    told: float = 0.0


class ErrorJobs:
    """The error analyses of a session, one thread each, one at a time per run.

    Parameters
    ----------
    session : Session
        Whose `job_changed` carries the news; the unit is "analysed".
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.RLock()
        self._closed = False

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
        with self._lock:
            for job_id, job in self._jobs.items():
                if job.run == run and job.analysis is analysis and not job.state.is_over:
                    return job_id
            job_id = uuid.uuid4().hex[:12]
            title = f"Error regions of {run}"
            state = JobState(job_id, title, 0, len(missing), 0, None, "starting", unit="analysed")
            job = self._jobs[job_id] = _Job(run, analysis, state)
            job.thread = threading.Thread(
                target=self._run, args=(job, missing), name=f"errors-{run}", daemon=True
            )
        self._session.job_changed.emit(state)
        job.thread.start()
        return job_id

    def states(self) -> list[JobState]:
        """Return where every analysis of the session stands, oldest first."""
        with self._lock:
            return [job.state for job in self._jobs.values()]

    def cancel(self, job_id: str) -> bool:
        """Stop a job after the sample at hand; False when it is none."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            return False
        job.cancel.set()
        self._change(job, state="cancelling", seconds_left=None)
        return True

    def cancel_all(self) -> None:
        """Stop every job and wait until none touches the project."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if not job.state.is_over]
        for job in jobs:
            job.cancel.set()
        for job in jobs:
            # A job of another thread may be entered and not started yet.
            if job.thread is not None and job.thread.is_alive():
                job.thread.join(_CLOSE_SECONDS)

    def close(self) -> None:
        """Stop every job; nothing is told any more."""
        self._closed = True
        self.cancel_all()

    # -- in the job's thread ----------------------------------------------------------------

    def _run(self, job: _Job, missing: list[str]) -> None:
        try:
            problem = self._analyse(job, missing)
        except CancelledError:
            self._end(job, "cancelled", "")
            return
        except SegStudioError as error:
            # A project that was closed under a job that should have stopped is no damage.
            self._end(job, "cancelled" if job.cancel.is_set() else "failed", str(error))
            return
        except Exception as error:  # noqa: BLE001 - a bug becomes a sentence, not a silent thread
            sentence = f"An unexpected error stopped it: {type(error).__name__}: {error}"
            self._end(job, "failed", sentence)
            return
        self._end(job, "done", "")
        if problem and not self._closed:
            self._session.problem.emit(problem)

    def _analyse(self, job: _Job, missing: list[str]) -> str:
        """Analyse and store; return a sentence when samples failed."""
        started = time.monotonic()
        first, failed = "", 0
        entries = job.analysis.analyse(job.run, missing, is_cancelled=job.cancel.is_set)
        for done, entry in enumerate(entries, 1):
            if entry.problem is not None:
                failed += 1
                first = first or entry.problem
            now = time.monotonic()
            if now - job.told >= _SECONDS_BETWEEN_NEWS or done == len(missing):
                job.told = now
                left = (now - started) / done * (len(missing) - done)
                self._change(job, state="running", done=done, failed=failed, seconds_left=left)
        if failed > 1:
            return f"{failed} images could not be analysed; the first: {first}"
        return first

    def _end(self, job: _Job, state: str, message: str) -> None:
        told = message if state == "failed" else ""
        self._change(job, state=state, seconds_left=None, message=told)
        if told and not self._closed:
            self._session.problem.emit(told)

    def _change(self, job: _Job, **changes: Any) -> None:
        with self._lock:
            # An end is final, and nobody wants to see a stopped job run again.
            if job.state.is_over or (changes["state"] == "running" and job.cancel.is_set()):
                return
            job.state = state = replace(job.state, **changes)
        if not self._closed:
            self._session.job_changed.emit(state)
